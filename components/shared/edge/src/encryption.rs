//! Whether the chain node's wallet is encrypted as the settings say, for the start-up check.

use crate::bindings::duxnet::chain::admin;
use futures::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

/// How long the chain node may take: a start does not wait for it.
const DEADLINE: Duration = Duration::from_secs(3);

/// How settings and node go together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// The wallet is as the settings say.
    AsSet,
    /// It is not, and the service must not start.
    Fault(String),
    /// The node gave no answer, which is no reason not to start.
    Unknown(String),
}

/// Compares the node's wallet with `wallet_encryption`. Gives a line for the operator that names
/// what is wrong and how to mend it.
pub async fn check(wallet_encryption: bool) -> Finding {
    let status = match select(pin!(admin::status()), pin!(spin_sdk::time::sleep(DEADLINE))).await {
        Either::Left((status, _)) => status,
        Either::Right(((), _)) => return unknown("no answer within 3 s"),
    };
    match status {
        Ok(status) => compare(wallet_encryption, status.unlocked_until.is_some()),
        Err(error) => {
            eprintln!("encryption check: {error:?}");
            unknown("see the log")
        }
    }
}

fn compare(wallet_encryption: bool, is_encrypted: bool) -> Finding {
    match (wallet_encryption, is_encrypted) {
        (true, true) | (false, false) => Finding::AsSet,
        (true, false) => Finding::Fault(
            "wallet_encryption is true, but the chain node's wallet is not encrypted: encrypt it with encryptwallet, or set wallet_encryption to false".to_owned(),
        ),
        (false, true) => Finding::Fault(
            "wallet_encryption is false, but the chain node's wallet is encrypted: set wallet_encryption to true".to_owned(),
        ),
    }
}

fn unknown(why: &str) -> Finding {
    Finding::Unknown(format!(
        "the chain node cannot be asked whether its wallet is encrypted as wallet_encryption says: {why}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_that_is_not_as_set_is_a_fault_either_way() {
        assert_eq!(compare(true, true), Finding::AsSet);
        assert_eq!(compare(false, false), Finding::AsSet);
        for (set, is_encrypted) in [(true, false), (false, true)] {
            let Finding::Fault(line) = compare(set, is_encrypted) else {
                panic!("no fault");
            };
            assert!(line.starts_with(&format!("wallet_encryption is {set}, but")));
        }
    }
}

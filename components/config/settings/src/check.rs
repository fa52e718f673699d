//! What each variable may hold.

use duxnet_units::{Amount, Network};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Every variable that is read. `rpc_*` belong to the gateway and are only checked here.
pub const VARIABLES: [&str; 12] = [
    "network",
    "auth_mode",
    "max_transaction_amount",
    "rate_limit_window",
    "max_transactions_per_window",
    "confirmations_required",
    "rpc_host",
    "rpc_port",
    "rpc_user",
    "rpc_password",
    "rpc_wallet_passphrase",
    "rpc_timeout_seconds",
];

/// Values by name; what is not set is absent.
pub type Variables = BTreeMap<&'static str, String>;

/// Settings that passed every check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Which chain.
    pub network: Network,
    /// Whether requests must be signed.
    pub is_signed: bool,
    /// Largest amount of one payment.
    pub max_transaction_amount: Amount,
    /// Seconds.
    pub rate_limit_window: u32,
    /// Payments per window.
    pub max_transactions_per_window: u32,
    /// Blocks.
    pub confirmations_required: u32,
}

struct Checker<'a> {
    variables: &'a Variables,
    faults: Vec<String>,
}

impl Checker<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// A value that `read` accepts; otherwise a fault that says what is allowed.
    fn value<T>(
        &mut self,
        name: &str,
        allowed: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(text) = self.text(name) else {
            self.faults
                .push(format!("{name} is not set; allowed: {allowed}"));
            return None;
        };
        let value = read(text);
        if value.is_none() {
            let fault = format!("{name} is {text:?}; allowed: {allowed}");
            self.faults.push(fault);
        }
        value
    }

    fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        name: &str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        self.value(name, &allowed, |text| {
            text.parse().ok().filter(|n| range.contains(n))
        })
    }

    /// A secret's value is never told.
    fn secret(&mut self, name: &str) {
        if self.text(name).is_none() {
            self.faults
                .push(format!("{name} is not set; allowed: any text"));
        }
    }
}

/// Checks all variables.
///
/// # Errors
/// One line per fault: the variable, its value (never a secret's) and what is allowed.
pub fn check(variables: &Variables) -> Result<Settings, Vec<String>> {
    let mut checker = Checker {
        variables,
        faults: Vec::new(),
    };
    let network = checker.value("network", "main, test, regtest", Network::from_name);
    let is_signed = checker.value("auth_mode", "required, off", |text| match text {
        "required" => Some(true),
        "off" => Some(false),
        _ => None,
    });
    let max_transaction_amount = checker.value(
        "max_transaction_amount",
        "FLOP above 0 and below 10000000000 with at most 8 decimals",
        |text| {
            Amount::from_flop_literal(text)
                .ok()
                .filter(|amount| !amount.is_zero())
        },
    );
    let rate_limit_window = checker.number("rate_limit_window", 1..=31_536_000);
    let max_transactions_per_window = checker.number("max_transactions_per_window", 1..=1_000_000);
    let confirmations_required = checker.number("confirmations_required", 1..=1_000);
    checker.value("rpc_host", "a host name or an IP address", |text| {
        is_host(text).then_some(())
    });
    checker.number::<u16>("rpc_port", 1..=u16::MAX);
    checker.value("rpc_user", "text without a colon", |text| {
        (!text.contains(':')).then_some(())
    });
    checker.secret("rpc_password");
    if checker.text("rpc_timeout_seconds").is_some() {
        checker.number::<u32>("rpc_timeout_seconds", 1..=25);
    }
    if is_signed == Some(false) && network.is_some_and(|network| network != Network::Regtest) {
        checker
            .faults
            .push("auth_mode is \"off\"; allowed only with network \"regtest\"".to_owned());
    }
    match (
        network,
        is_signed,
        max_transaction_amount,
        rate_limit_window,
        max_transactions_per_window,
        confirmations_required,
    ) {
        (
            Some(network),
            Some(is_signed),
            Some(max_transaction_amount),
            Some(rate_limit_window),
            Some(max_transactions_per_window),
            Some(confirmations_required),
        ) if checker.faults.is_empty() => Ok(Settings {
            network,
            is_signed,
            max_transaction_amount,
            rate_limit_window,
            max_transactions_per_window,
            confirmations_required,
        }),
        _ => Err(checker.faults),
    }
}

fn is_host(text: &str) -> bool {
    text.len() <= 253
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-:_".contains(&b))
}

/// What an operator should know of valid settings.
#[must_use]
pub fn warnings(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    if !settings.is_signed {
        warnings.push(
            "auth_mode is off: anyone who reaches this service can spend from every wallet (regtest only)".to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Variables {
        BTreeMap::from([
            ("network", "regtest".to_owned()),
            ("auth_mode", "required".to_owned()),
            ("max_transaction_amount", "1000.0".to_owned()),
            ("rate_limit_window", "3600".to_owned()),
            ("max_transactions_per_window", "10".to_owned()),
            ("confirmations_required", "6".to_owned()),
            ("rpc_host", "127.0.0.1".to_owned()),
            ("rpc_port", "32553".to_owned()),
            ("rpc_user", "flopcoinrpc".to_owned()),
            ("rpc_password", "s3cret-value".to_owned()),
        ])
    }

    #[test]
    fn the_specifications_values_pass() {
        let settings = check(&good()).unwrap();
        assert_eq!(settings.max_transaction_amount.to_string(), "1000.0");
        assert!(warnings(&settings).is_empty());
    }

    #[test]
    fn all_faults_come_at_once_and_name_value_and_mend() {
        let mut variables = good();
        variables.insert("network", "mainnet".to_owned());
        variables.insert("rate_limit_window", "0".to_owned());
        variables.insert("max_transaction_amount", "1e-9".to_owned());
        variables.insert("rpc_port", "99999".to_owned());
        variables.remove("rpc_password");
        let faults = check(&variables).unwrap_err();
        assert_eq!(faults.len(), 5, "{faults:?}");
        assert_eq!(
            faults[0],
            "network is \"mainnet\"; allowed: main, test, regtest"
        );
        assert!(
            faults
                .iter()
                .any(|f| f == "rpc_password is not set; allowed: any text")
        );
    }

    #[test]
    fn unsigned_requests_are_for_regtest_only() {
        let mut variables = good();
        variables.insert("auth_mode", "off".to_owned());
        assert_eq!(warnings(&check(&variables).unwrap()).len(), 1);
        variables.insert("network", "main".to_owned());
        assert_eq!(
            check(&variables).unwrap_err(),
            ["auth_mode is \"off\"; allowed only with network \"regtest\""]
        );
    }

    #[test]
    fn a_secret_is_never_told() {
        let mut variables = good();
        variables.insert("rpc_user", "a:b".to_owned());
        let faults = check(&variables).unwrap_err().join("\n");
        assert!(!faults.contains("s3cret-value"));
    }
}

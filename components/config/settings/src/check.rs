//! What each variable may hold.

use duxnet_units::{Amount, Network};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// What the settings are made of.
pub const SETTINGS: [&str; 6] = [
    "network",
    "auth_mode",
    "max_transaction_amount",
    "rate_limit_window",
    "max_transactions_per_window",
    "confirmations_required",
];

/// What the gateway and background work read; only checked here.
pub const OTHERS: [&str; 7] = [
    "rpc_host",
    "rpc_port",
    "rpc_user",
    "rpc_password",
    "rpc_timeout_seconds",
    "wallet_encryption",
    "backup_interval",
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

/// Checks the settings.
///
/// # Errors
/// One line per fault: the variable, its value and what is allowed.
pub fn settings(variables: &Variables) -> Result<Settings, Vec<String>> {
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
    if is_signed == Some(false) && network.is_some_and(|network| network != Network::Regtest) {
        checker
            .faults
            .push("auth_mode is \"off\"; allowed only with network \"regtest\"".to_owned());
    }
    let settings = (|| {
        Some(Settings {
            network: network?,
            is_signed: is_signed?,
            max_transaction_amount: max_transaction_amount?,
            rate_limit_window: rate_limit_window?,
            max_transactions_per_window: max_transactions_per_window?,
            confirmations_required: confirmations_required?,
        })
    })();
    match settings {
        Some(settings) if checker.faults.is_empty() => Ok(settings),
        _ => Err(checker.faults),
    }
}

/// Checks what is not part of the settings; gives the faults.
#[must_use]
pub fn other_faults(variables: &Variables) -> Vec<String> {
    let mut checker = Checker {
        variables,
        faults: Vec::new(),
    };
    checker.value("rpc_host", "a host name or an IP address", |text| {
        is_host(text).then_some(())
    });
    checker.number::<u16>("rpc_port", 1..=u16::MAX);
    checker.value("rpc_user", "text without a colon", |text| {
        (!text.contains(':')).then_some(())
    });
    checker.secret("rpc_password");
    checker.number::<u32>("rpc_timeout_seconds", 1..=25);
    checker.value("wallet_encryption", "true, false", |text| {
        text.parse::<bool>().ok()
    });
    checker.number::<u32>("backup_interval", 0..=31_536_000);
    checker.faults
}

fn is_host(text: &str) -> bool {
    text.len() <= 253
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-:_".contains(&b))
}

/// What an operator should know of valid settings.
#[must_use]
pub fn warnings(settings: &Settings, others: &Variables) -> Vec<String> {
    let mut warnings = Vec::new();
    if !settings.is_signed {
        warnings.push(
            "auth_mode is off: anyone who reaches this service can spend from every wallet (regtest only)".to_owned(),
        );
    }
    for (name, idle) in [("wallet_encryption", "false"), ("backup_interval", "0")] {
        if others.get(name).is_some_and(|value| value != idle) {
            warnings.push(format!(
                "{name} is set, but this version does not act on it"
            ));
        }
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
            ("rpc_timeout_seconds", "10".to_owned()),
            ("wallet_encryption", "false".to_owned()),
            ("backup_interval", "0".to_owned()),
        ])
    }

    fn faults(variables: &Variables) -> Vec<String> {
        let mut faults = settings(variables).err().unwrap_or_default();
        faults.extend(other_faults(variables));
        faults
    }

    #[test]
    fn the_specifications_values_pass() {
        let settings = settings(&good()).unwrap();
        assert_eq!(settings.max_transaction_amount.to_string(), "1000.0");
        assert!(warnings(&settings, &good()).is_empty());
        assert!(other_faults(&good()).is_empty());
    }

    #[test]
    fn all_faults_come_at_once_and_name_value_and_mend() {
        let mut variables = good();
        variables.insert("network", "mainnet".to_owned());
        variables.insert("rate_limit_window", "0".to_owned());
        variables.insert("max_transaction_amount", "1e-9".to_owned());
        variables.insert("rpc_port", "99999".to_owned());
        variables.remove("rpc_password");
        let faults = faults(&variables);
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
        assert_eq!(
            warnings(&settings(&variables).unwrap(), &variables).len(),
            1
        );
        variables.insert("network", "main".to_owned());
        assert_eq!(
            faults(&variables),
            ["auth_mode is \"off\"; allowed only with network \"regtest\""]
        );
    }

    #[test]
    fn a_secret_is_never_told() {
        let mut variables = good();
        variables.insert("rpc_user", "a:b".to_owned());
        assert!(!faults(&variables).join("\n").contains("s3cret-value"));
    }
}

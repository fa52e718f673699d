//! What each variable may hold.

use duxnet_units::{Amount, Network};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// What the settings are made of.
pub const SETTINGS: [&str; 11] = [
    "network",
    "auth_mode",
    "max_transaction_amount",
    "rate_limit_window",
    "max_transactions_per_window",
    "confirmations_required",
    "balance_max_age",
    "watchdog_interval",
    "watchdog_max_drift",
    "wallet_encryption",
    "backup_interval",
];

/// What the gateway and the host's schedule read; only checked here.
pub const OTHERS: [&str; 7] = [
    "rpc_host",
    "rpc_port",
    "rpc_user",
    "rpc_password",
    "rpc_wallet_passphrase",
    "rpc_timeout_seconds",
    "tracker_interval",
];

/// Shortest time between two backups, seconds: each is a file that stays.
const MIN_BACKUP_SECONDS: u32 = 60;

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
    /// Seconds.
    pub balance_max_age: u32,
    /// Seconds; 0 for no watchdog.
    pub watchdog_interval: u32,
    /// Largest drift that does not stop payments.
    pub watchdog_max_drift: Amount,
    /// Whether the chain node's wallet is to be encrypted.
    pub wallet_encryption: bool,
    /// Seconds; 0 for no backups.
    pub backup_interval: u32,
}

/// A value without the blanks around it; none for an empty one.
pub(crate) fn text<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables
        .get(name)
        .map(|value| value.trim())
        .filter(|value| !value.is_empty())
}

pub(crate) struct Checker<'a> {
    variables: &'a Variables,
    pub(crate) faults: Vec<String>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(variables: &'a Variables) -> Self {
        Checker {
            variables,
            faults: Vec::new(),
        }
    }

    /// What was read, unless there are faults.
    pub(crate) fn finish<T>(self, read: Option<T>) -> Result<T, Vec<String>> {
        match read {
            Some(read) if self.faults.is_empty() => Ok(read),
            _ => Err(self.faults),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        text(self.variables, name)
    }

    /// A value that `read` accepts; otherwise a fault that says what is allowed.
    pub(crate) fn value<T>(
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

    pub(crate) fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        name: &str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        self.value(name, &allowed, |text| {
            text.parse().ok().filter(|n| range.contains(n))
        })
    }

    fn backup_interval(&mut self) -> Option<u32> {
        let range = MIN_BACKUP_SECONDS..=31_536_000;
        let allowed = format!(
            "0, or a whole number of seconds from {} to {}",
            range.start(),
            range.end()
        );
        self.value("backup_interval", &allowed, |text| {
            let seconds = text.parse::<u32>().ok();
            seconds.filter(|seconds| *seconds == 0 || range.contains(seconds))
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
    let mut checker = Checker::new(variables);
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
    let balance_max_age = checker.number("balance_max_age", 0..=3_600);
    let watchdog_interval = checker.number("watchdog_interval", 0..=86_400);
    let watchdog_max_drift = checker.value(
        "watchdog_max_drift",
        "FLOP from 0, below 10000000000 with at most 8 decimals",
        |text| Amount::from_flop_literal(text).ok(),
    );
    let wallet_encryption = checker.value("wallet_encryption", "true, false", |text| {
        text.parse::<bool>().ok()
    });
    let backup_interval = checker.backup_interval();
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
            balance_max_age: balance_max_age?,
            watchdog_interval: watchdog_interval?,
            watchdog_max_drift: watchdog_max_drift?,
            wallet_encryption: wallet_encryption?,
            backup_interval: backup_interval?,
        })
    })();
    checker.finish(settings)
}

/// Checks what is not part of the settings; gives the faults.
#[must_use]
pub fn other_faults(variables: &Variables) -> Vec<String> {
    let mut checker = Checker::new(variables);
    checker.value("rpc_host", "a host name or an IP address", |text| {
        is_host(text).then_some(())
    });
    checker.number::<u16>("rpc_port", 1..=u16::MAX);
    checker.value("rpc_user", "text without a colon", |text| {
        (!text.contains(':')).then_some(())
    });
    checker.secret("rpc_password");
    checker.number::<u32>("rpc_timeout_seconds", 1..=25);
    checker.value(
        "tracker_interval",
        "0, or seconds from 0.05 to 3600 as a decimal",
        |text| is_tracker_interval(text).then_some(()),
    );
    checker.faults
}

fn is_tracker_interval(text: &str) -> bool {
    let is_decimal = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_decimal
        && text
            .parse::<f64>()
            .is_ok_and(|seconds| seconds == 0.0 || (0.05..=3600.0).contains(&seconds))
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
    if settings.wallet_encryption && text(others, "rpc_wallet_passphrase").is_none() {
        warnings.push(
            "rpc_wallet_passphrase is not set, but wallet_encryption is true: no payment can be signed while the chain node's wallet is locked".to_owned(),
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
            ("balance_max_age", "2".to_owned()),
            ("watchdog_interval", "300".to_owned()),
            ("watchdog_max_drift", "0".to_owned()),
            ("wallet_encryption", "false".to_owned()),
            ("backup_interval", "0".to_owned()),
            ("rpc_host", "127.0.0.1".to_owned()),
            ("rpc_port", "32553".to_owned()),
            ("rpc_user", "flopcoinrpc".to_owned()),
            ("rpc_password", "s3cret-value".to_owned()),
            ("rpc_wallet_passphrase", String::new()),
            ("rpc_timeout_seconds", "10".to_owned()),
            ("tracker_interval", "1".to_owned()),
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
    fn every_variable_is_of_one_list_and_none_is_forgotten() {
        let mut names: Vec<&str> = SETTINGS.into_iter().chain(OTHERS).collect();
        names.sort_unstable();
        assert_eq!(names, good().into_keys().collect::<Vec<_>>());
    }

    #[test]
    fn limits_are_inclusive_and_nothing_beyond_passes() {
        for (name, passing, failing) in [
            ("balance_max_age", "0 3600", "-1 3601 2.5 x"),
            ("watchdog_interval", "0 300 86400", "86401 -1 1e2"),
            (
                "watchdog_max_drift",
                "0 0.0 0.00000001 5 9999999999.99999999",
                "-1 -0 1e-9 10000000000 x",
            ),
            ("wallet_encryption", "true false", "yes 1 True"),
            ("backup_interval", "0 60 31536000", "1 59 31536001 x"),
            (
                "tracker_interval",
                "0 0.0 0.05 .5 1 2.25 3600",
                "0.04 3600.1 -1 1e1 inf NaN . 1,5",
            ),
        ] {
            for (values, expected) in [(passing, 0), (failing, 1)] {
                for value in values.split(' ') {
                    let mut variables = good();
                    variables.insert(name, value.to_owned());
                    let faults = faults(&variables);
                    assert_eq!(faults.len(), expected, "{name}={value}: {faults:?}");
                    assert!(faults.iter().all(|fault| fault.starts_with(name)));
                }
            }
        }
    }

    #[test]
    fn what_is_set_empty_is_not_set() {
        let mut variables = good();
        variables.insert("balance_max_age", " ".to_owned());
        let fault = "balance_max_age is not set; allowed: a whole number from 0 to 3600";
        assert_eq!(faults(&variables), [fault]);
    }

    #[test]
    fn an_encrypted_wallet_without_a_passphrase_is_warned_of() {
        let mut variables = good();
        variables.insert("wallet_encryption", "true".to_owned());
        variables.insert("backup_interval", "3600".to_owned());
        let settings = settings(&variables).unwrap();
        assert!(settings.wallet_encryption && settings.backup_interval == 3600);
        assert_eq!(warnings(&settings, &variables).len(), 1);
        variables.insert("rpc_wallet_passphrase", "correct horse".to_owned());
        assert!(warnings(&settings, &variables).is_empty());
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
}

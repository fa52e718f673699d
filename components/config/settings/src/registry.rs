//! The rules of the registry around the wallets: heartbeats, health, reputation, recipients.

use crate::check::{Checker, Variables};
use duxnet_units::Amount;

/// The variables of this group.
pub const NAMES: [&str; 10] = [
    "heartbeat_stale_after",
    "heartbeat_offline_after",
    "health_window",
    "payment_patience",
    "reputation_payment_confirmed",
    "reputation_payment_failed",
    "reputation_double_spend",
    "reputation_daily_cap",
    "reputation_min_amount",
    "recipient_policy_delay",
];

/// Rules that passed every check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registry {
    /// Seconds after a heartbeat.
    pub heartbeat_stale_after: u32,
    /// Seconds after a heartbeat.
    pub heartbeat_offline_after: u32,
    /// Seconds of the past.
    pub health_window: u32,
    /// Seconds a payment may take to confirm.
    pub payment_patience: u32,
    /// Points.
    pub reputation_payment_confirmed: i32,
    /// Points, none or fewer.
    pub reputation_payment_failed: i32,
    /// Points, none or fewer.
    pub reputation_double_spend: i32,
    /// Points a day.
    pub reputation_daily_cap: u32,
    /// Payments below bring no points.
    pub reputation_min_amount: Amount,
    /// Seconds.
    pub recipient_policy_delay: u32,
}

/// Checks the group.
///
/// # Errors
/// One line per fault.
pub fn registry(variables: &Variables) -> Result<Registry, Vec<String>> {
    let mut checker = Checker::new(variables);
    let heartbeat_stale_after = checker.number("heartbeat_stale_after", 1..=86_400);
    let heartbeat_offline_after = checker.number("heartbeat_offline_after", 2..=604_800);
    let health_window = checker.number("health_window", 60..=2_592_000);
    let payment_patience = checker.number("payment_patience", 1..=604_800);
    let reputation_payment_confirmed = checker.number("reputation_payment_confirmed", 0..=100);
    let reputation_payment_failed = checker.number("reputation_payment_failed", -100..=0);
    let reputation_double_spend = checker.number("reputation_double_spend", -100..=0);
    let reputation_daily_cap = checker.number("reputation_daily_cap", 0..=100);
    let reputation_min_amount = checker.value(
        "reputation_min_amount",
        "FLOP from 0, below 10000000000 with at most 8 decimals",
        |text| Amount::from_flop_literal(text).ok(),
    );
    let recipient_policy_delay = checker.number("recipient_policy_delay", 0..=2_592_000);
    if let (Some(stale), Some(offline)) = (heartbeat_stale_after, heartbeat_offline_after)
        && offline <= stale
    {
        checker.faults.push(format!(
            "heartbeat_offline_after is \"{offline}\"; allowed: more than heartbeat_stale_after, which is {stale}"
        ));
    }
    let rules = (|| {
        Some(Registry {
            heartbeat_stale_after: heartbeat_stale_after?,
            heartbeat_offline_after: heartbeat_offline_after?,
            health_window: health_window?,
            payment_patience: payment_patience?,
            reputation_payment_confirmed: reputation_payment_confirmed?,
            reputation_payment_failed: reputation_payment_failed?,
            reputation_double_spend: reputation_double_spend?,
            reputation_daily_cap: reputation_daily_cap?,
            reputation_min_amount: reputation_min_amount?,
            recipient_policy_delay: recipient_policy_delay?,
        })
    })();
    checker.finish(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Variables {
        NAMES
            .into_iter()
            .zip([
                "90", "300", "86400", "3600", "1", "-2", "-25", "5", "1.0", "86400",
            ])
            .map(|(name, value)| (name, value.to_owned()))
            .collect()
    }

    #[test]
    fn the_defaults_pass_and_every_limit_is_kept() {
        assert!(registry(&good()).is_ok());
        for (name, passing, failing) in [
            ("heartbeat_stale_after", "1 299", "0 300 86401 x"),
            ("heartbeat_offline_after", "91 604800", "90 604801 -1"),
            ("health_window", "60 2592000", "59 2592001"),
            ("payment_patience", "1 604800", "0 604801"),
            ("reputation_payment_confirmed", "0 100", "-1 101 1.5"),
            ("reputation_payment_failed", "-100 0", "1 -101"),
            ("reputation_double_spend", "-100 0", "1 -101"),
            ("reputation_daily_cap", "0 100", "101 -1"),
            ("reputation_min_amount", "0 0.00000001 5", "-1 1e-9 x"),
            ("recipient_policy_delay", "0 2592000", "2592001 -1"),
        ] {
            for (values, expected) in [(passing, 0), (failing, 1)] {
                for value in values.split(' ') {
                    let mut variables = good();
                    variables.insert(name, value.to_owned());
                    let faults = registry(&variables).err().unwrap_or_default();
                    assert_eq!(faults.len(), expected, "{name}={value}: {faults:?}");
                }
            }
        }
    }
}

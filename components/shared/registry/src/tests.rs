//! Natively, on a real database.

use crate::Rules;
use duxnet_units::Amount;

/// The defaults of spin.toml.
pub(crate) fn rules() -> Rules {
    Rules {
        heartbeat_stale_after: 90,
        heartbeat_offline_after: 300,
        health_window: 86_400,
        payment_patience: 3_600,
        reputation_payment_confirmed: 1,
        reputation_payment_failed: -2,
        reputation_double_spend: -25,
        reputation_daily_cap: 5,
        reputation_min_amount: Amount::from_florins(100_000_000).unwrap(),
        recipient_policy_delay: 86_400,
    }
}

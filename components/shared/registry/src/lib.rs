//! The registry around the wallets.
//!
//! [`Registry`] has what every operation needs; [`Registry::tick`] is the background work. They need
//! a [`Store`](duxnet_store::Store) and a [`Clock`](duxnet_wallet::Clock), and know nothing of HTTP,
//! SQL or the SDK.

mod error;
pub mod peers;
mod tick;

pub use error::RegistryError;
pub use tick::Report;

use duxnet_store::Store;
use duxnet_units::Amount;

/// The operator's rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Seconds after its last heartbeat from which a node is stale.
    pub heartbeat_stale_after: u32,
    /// Seconds from which it is offline.
    pub heartbeat_offline_after: u32,
    /// Seconds of the past in which payments count for health.
    pub health_window: u32,
    /// Seconds after which a payment that is not confirmed counts as late.
    pub payment_patience: u32,
    /// Points of reputation for a payment that confirmed.
    pub reputation_payment_confirmed: i32,
    /// For one that failed by the sender's fault.
    pub reputation_payment_failed: i32,
    /// For a payment with coins that were taken back.
    pub reputation_double_spend: i32,
    /// Most points that payments bring a node in a day.
    pub reputation_daily_cap: u32,
    /// Payments below bring no points.
    pub reputation_min_amount: Amount,
    /// Seconds until a wallet's recipient rules loosen.
    pub recipient_policy_delay: u32,
}

/// The domain's surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'a, D, C> {
    /// The database.
    pub store: &'a Store<D>,
    /// The time.
    pub clock: &'a C,
    /// The rules.
    pub rules: &'a Rules,
}

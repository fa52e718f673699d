//! The settings, from the imported interface `duxnet:config`.

use crate::bindings::duxnet::config::settings::{self as imported, AuthMode};
use crate::bindings::duxnet::config::{notifications, registry};
use duxnet_api::problem::{Code, Problem};
use duxnet_registry::Rules;
use duxnet_units::net::Reach;
use duxnet_units::{Amount, Network};
use duxnet_wallet::Policy;
use std::cell::OnceCell;
use std::rc::Rc;

/// Checked settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The domain's rules.
    pub policy: Policy,
    /// Whether every request must be signed.
    pub is_signed: bool,
    /// Seconds after which a read of the balance looks at the chain again.
    pub balance_max_age: u32,
    /// Seconds between two comparisons of the ledger with the chain node's wallet; 0 for none.
    pub watchdog_interval: u32,
    /// Largest drift between the two that does not stop payments.
    pub watchdog_max_drift: Amount,
    /// Whether the chain node's wallet is to be encrypted.
    pub wallet_encryption: bool,
    /// Seconds between two backups of the chain node's wallet; 0 for none.
    pub backup_interval: u32,
}

thread_local! {
    /// Variables do not change while an instance lives.
    static SETTINGS: OnceCell<Rc<Settings>> = const { OnceCell::new() };
    static RULES: OnceCell<Rc<Rules>> = const { OnceCell::new() };
}

/// The settings, or every fault at once.
///
/// # Errors
/// One line per fault.
pub async fn load() -> Result<Rc<Settings>, Vec<String>> {
    if let Some(known) = SETTINGS.with(|cell| cell.get().cloned()) {
        return Ok(known);
    }
    let loaded = imported::load().await?;
    let settings = Rc::new(Settings {
        policy: Policy {
            network: match loaded.network {
                imported::Network::Main => Network::Main,
                imported::Network::Test => Network::Test,
                imported::Network::Regtest => Network::Regtest,
            },
            max_transaction_amount: Amount::from_florins(loaded.max_transaction_amount)
                .map_err(|e| vec![format!("max_transaction_amount: {e}")])?,
            rate_limit_window: loaded.rate_limit_window,
            max_transactions_per_window: loaded.max_transactions_per_window,
            confirmations_required: loaded.confirmations_required,
        },
        is_signed: match loaded.auth_mode {
            AuthMode::Required => true,
            AuthMode::Off => false,
        },
        balance_max_age: loaded.balance_max_age,
        watchdog_interval: loaded.watchdog_interval,
        watchdog_max_drift: Amount::from_florins(loaded.watchdog_max_drift)
            .map_err(|e| vec![format!("watchdog_max_drift: {e}")])?,
        wallet_encryption: loaded.wallet_encryption,
        backup_interval: loaded.backup_interval,
    });
    Ok(SETTINGS.with(|cell| cell.get_or_init(|| settings).clone()))
}

/// Every fault and every warning of all the service's variables.
pub async fn check() -> (Vec<String>, Vec<String>) {
    let report = imported::check().await;
    (report.faults, report.warnings)
}

/// The rules of the registry, or every fault at once.
///
/// # Errors
/// One line per fault.
pub async fn registry() -> Result<Rc<Rules>, Vec<String>> {
    if let Some(known) = RULES.with(|cell| cell.get().cloned()) {
        return Ok(known);
    }
    let loaded = registry::load().await?;
    let rules = Rc::new(Rules {
        heartbeat_stale_after: loaded.heartbeat_stale_after,
        heartbeat_offline_after: loaded.heartbeat_offline_after,
        health_window: loaded.health_window,
        payment_patience: loaded.payment_patience,
        reputation_payment_confirmed: loaded.reputation_payment_confirmed,
        reputation_payment_failed: loaded.reputation_payment_failed,
        reputation_double_spend: loaded.reputation_double_spend,
        reputation_daily_cap: loaded.reputation_daily_cap,
        reputation_min_amount: Amount::from_florins(loaded.reputation_min_amount)
            .map_err(|e| vec![format!("reputation_min_amount: {e}")])?,
        recipient_policy_delay: loaded.recipient_policy_delay,
    });
    Ok(RULES.with(|cell| cell.get_or_init(|| rules).clone()))
}

/// Where webhooks may point, or every fault at once.
///
/// # Errors
/// One line per fault.
pub async fn reach() -> Result<Reach, Vec<String>> {
    let loaded = notifications::load().await?;
    Ok(if loaded.private_networks {
        Reach::Anywhere
    } else {
        Reach::Public
    })
}

/// The answer while the settings are at fault; the faults go to the log.
pub(crate) fn misconfigured(faults: &[String]) -> Problem {
    for fault in faults {
        eprintln!("setting at fault: {fault}");
    }
    Problem::new(Code::Misconfigured)
}

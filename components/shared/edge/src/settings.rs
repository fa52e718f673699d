//! The settings, from the imported interface `duxnet:config`.

use crate::bindings::duxnet::config::settings::{self as imported, AuthMode};
use duxnet_api::problem::{Code, Problem};
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
}

thread_local! {
    /// Variables do not change while an instance lives.
    static SETTINGS: OnceCell<Rc<Settings>> = const { OnceCell::new() };
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
    });
    Ok(SETTINGS.with(|cell| cell.get_or_init(|| settings).clone()))
}

/// Every fault and every warning of all the service's variables.
pub async fn check() -> (Vec<String>, Vec<String>) {
    let report = imported::check().await;
    (report.faults, report.warnings)
}

/// The answer while the settings are at fault; the faults go to the log.
pub(crate) fn misconfigured(faults: &[String]) -> Problem {
    for fault in faults {
        eprintln!("setting at fault: {fault}");
    }
    Problem::new(Code::Misconfigured)
}

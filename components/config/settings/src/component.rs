//! The component: variables in, `duxnet:config` exported.

use crate::check::{self, Variables};
use bindings::exports::duxnet::config::operator;
use bindings::exports::duxnet::config::settings::{AuthMode, Guest, Network, Report, Settings};
use spin_sdk::variables;
use std::cell::OnceCell;
use std::rc::Rc;

#[allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    reason = "generated from wit/config"
)]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package duxnet:config-settings;
            world component {
                export duxnet:config/settings@1.0.0;
                export duxnet:config/operator@1.0.0;
            }
        ",
        path: "../../../wit/config",
        world: "duxnet:config-settings/component",
        runtime_path: "spin_sdk::wit_bindgen::rt",
    });
}

type Checked = Result<check::Settings, Vec<String>>;

thread_local! {
    /// Variables do not change while an instance lives.
    static CHECKED: OnceCell<Rc<Checked>> = const { OnceCell::new() };
}

/// What is not set is absent: whether that is a fault, `check` says.
async fn values(names: &[&'static str]) -> Variables {
    let mut values = Variables::new();
    for name in names {
        if let Ok(value) = variables::get(name).await {
            values.insert(name, value);
        }
    }
    values
}

async fn checked() -> Rc<Checked> {
    if let Some(known) = CHECKED.with(|cell| cell.get().cloned()) {
        return known;
    }
    let checked = Rc::new(check::settings(&values(&check::SETTINGS).await));
    CHECKED.with(|cell| cell.get_or_init(|| checked).clone())
}

struct Component;

impl Guest for Component {
    async fn load() -> Result<Settings, Vec<String>> {
        match checked().await.as_ref() {
            Ok(settings) => Ok(Settings {
                network: match settings.network {
                    duxnet_units::Network::Main => Network::Main,
                    duxnet_units::Network::Test => Network::Test,
                    duxnet_units::Network::Regtest => Network::Regtest,
                },
                auth_mode: if settings.is_signed {
                    AuthMode::Required
                } else {
                    AuthMode::Off
                },
                max_transaction_amount: settings.max_transaction_amount.florins(),
                rate_limit_window: settings.rate_limit_window,
                max_transactions_per_window: settings.max_transactions_per_window,
                confirmations_required: settings.confirmations_required,
                balance_max_age: settings.balance_max_age,
                watchdog_interval: settings.watchdog_interval,
                watchdog_max_drift: settings.watchdog_max_drift.florins(),
                wallet_encryption: settings.wallet_encryption,
                backup_interval: settings.backup_interval,
            }),
            Err(faults) => Err(faults.clone()),
        }
    }

    async fn check() -> Report {
        let others = values(&check::OTHERS).await;
        let (mut faults, warnings) = match checked().await.as_ref() {
            Ok(settings) => (Vec::new(), check::warnings(settings, &others)),
            Err(faults) => (faults.clone(), Vec::new()),
        };
        faults.extend(check::other_faults(&others));
        Report { faults, warnings }
    }
}

impl operator::Guest for Component {
    async fn tracker_token() -> Option<String> {
        let values = values(&[check::TRACKER_TOKEN]).await;
        check::tracker_token(&values).map(str::to_owned)
    }
}

#[allow(unsafe_code, reason = "the component model's exports")]
mod exported {
    use super::Component;
    super::bindings::export!(Component with_types_in super::bindings);
}

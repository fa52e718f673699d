//! The component: variables in, `duxnet:config` exported.

use crate::check::{self, Variables};
use crate::{notifications, operators, peers, registry};
use bindings::exports::duxnet::config::settings::{AuthMode, Guest, Network, Report, Settings};
use bindings::exports::duxnet::config::{
    notifications as notifications_api, operator, peers as peers_api, registry as registry_api,
};
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
                export duxnet:config/registry@1.0.0;
                export duxnet:config/peers@1.0.0;
                export duxnet:config/notifications@1.0.0;
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
        faults.extend(operators::faults(&values(&operators::NAMES).await));
        faults.extend(
            registry::registry(&values(&registry::NAMES).await)
                .err()
                .unwrap_or_default(),
        );
        faults.extend(peers::faults(&values(&peers::NAMES).await));
        faults.extend(notifications::faults(&values(&notifications::NAMES).await));
        Report { faults, warnings }
    }
}

impl operator::Guest for Component {
    async fn tracker_token() -> Option<String> {
        operators::tracker_token(&values(&operators::NAMES).await).map(str::to_owned)
    }

    async fn operators() -> Vec<operator::Identity> {
        let found = operators::operators(&values(&operators::NAMES).await);
        let identity = |operator: operators::Operator| operator::Identity {
            name: operator.name,
            token: operator.token,
        };
        found.into_iter().map(identity).collect()
    }

    async fn metrics() -> operator::MetricsAccess {
        let values = values(&operators::NAMES).await;
        operator::MetricsAccess {
            token: operators::metrics_token(&values).map(str::to_owned),
            per_node: operators::metrics_per_node(&values),
        }
    }
}

impl registry_api::Guest for Component {
    async fn load() -> Result<registry_api::RegistrySettings, Vec<String>> {
        let rules = registry::registry(&values(&registry::NAMES).await)?;
        Ok(registry_api::RegistrySettings {
            heartbeat_stale_after: rules.heartbeat_stale_after,
            heartbeat_offline_after: rules.heartbeat_offline_after,
            health_window: rules.health_window,
            payment_patience: rules.payment_patience,
            reputation_payment_confirmed: rules.reputation_payment_confirmed,
            reputation_payment_failed: rules.reputation_payment_failed,
            reputation_double_spend: rules.reputation_double_spend,
            reputation_daily_cap: rules.reputation_daily_cap,
            reputation_min_amount: rules.reputation_min_amount.florins(),
            recipient_policy_delay: rules.recipient_policy_delay,
        })
    }
}

impl peers_api::Guest for Component {
    async fn load() -> Result<Option<peers_api::PeerSettings>, Vec<String>> {
        let Some(read) = peers::peers(&values(&peers::NAMES).await)? else {
            return Ok(None);
        };
        Ok(Some(peers_api::PeerSettings {
            id: read.id,
            address: read.address,
            peers: read
                .peers
                .into_iter()
                .map(|peer| peers_api::Peer {
                    id: peer.id,
                    address: peer.address,
                    public_key: peer.public_key,
                })
                .collect(),
            sharing: read
                .sharing
                .into_iter()
                .map(|topic| match topic {
                    peers::Topic::Presence => peers_api::Topic::Presence,
                    peers::Topic::Capabilities => peers_api::Topic::Capabilities,
                    peers::Topic::Health => peers_api::Topic::Health,
                    peers::Topic::Wallet => peers_api::Topic::Wallet,
                    peers::Topic::Transactions => peers_api::Topic::Transactions,
                    peers::Topic::Balances => peers_api::Topic::Balances,
                })
                .collect(),
            exchange: read.exchange,
            messages_per_minute: read.messages_per_minute,
        }))
    }
}

impl notifications_api::Guest for Component {
    async fn load() -> Result<notifications_api::NotificationSettings, Vec<String>> {
        let read = notifications::notifications(&values(&notifications::NAMES).await)?;
        Ok(notifications_api::NotificationSettings {
            private_networks: read.private_networks,
        })
    }
}

#[allow(unsafe_code, reason = "the component model's exports")]
mod exported {
    use super::Component;
    super::bindings::export!(Component with_types_in super::bindings);
}

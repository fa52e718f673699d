//! What a request needs besides itself: settings, database, clock.

use crate::Failure;
use crate::chain::ChainNode;
use crate::clock::SystemClock;
use crate::database::SpinDatabase;
use crate::settings::{self, Settings, misconfigured};
use duxnet_registry::{Registry, RegistryError};
use duxnet_store::{Store, Wallet};
use duxnet_units::NodeId;
use duxnet_wallet::balance::AsOf;
use duxnet_wallet::{Service, WalletError};
use std::rc::Rc;

/// Opened once per request; the parts are kept per instance.
pub struct Context {
    /// Checked settings.
    pub settings: Rc<Settings>,
    /// The database.
    pub store: Store<SpinDatabase>,
    /// The time.
    pub clock: SystemClock,
}

impl Context {
    /// Loads the settings and opens the database.
    ///
    /// # Errors
    /// 503 when either is at fault.
    pub async fn open() -> Result<Self, Failure> {
        let settings = settings::load()
            .await
            .map_err(|faults| misconfigured(&faults))?;
        let store = Store::new(SpinDatabase::open().await?);
        Ok(Context {
            settings,
            store,
            clock: SystemClock,
        })
    }

    /// A node's wallet, its balance as fresh as the settings want it and the chain node allows.
    ///
    /// # Errors
    /// 404 where there is no wallet; 503 while the ledger has never seen the chain.
    pub async fn holdings(&self, node: &NodeId) -> Result<(Wallet, AsOf), Failure> {
        let log = |error: &WalletError| eprintln!("balance as the ledger has it: {error}");
        let max_age = self.settings.balance_max_age;
        Ok(self
            .service()
            .holdings(&ChainNode, node, max_age, log)
            .await?)
    }

    /// Runs something on the registry around the wallets.
    ///
    /// # Errors
    /// 503 when its settings are at fault, and what `run` fails with.
    pub async fn on_registry<T>(
        &self,
        run: impl AsyncFnOnce(&Registry<'_, SpinDatabase, SystemClock>) -> Result<T, RegistryError>,
    ) -> Result<T, Failure> {
        let rules = settings::registry()
            .await
            .map_err(|faults| misconfigured(&faults))?;
        let registry = Registry {
            store: &self.store,
            clock: &self.clock,
            rules: &rules,
        };
        Ok(run(&registry).await?)
    }

    /// The domain.
    #[must_use]
    pub fn service(&self) -> Service<'_, SpinDatabase, SystemClock> {
        Service {
            store: &self.store,
            clock: &self.clock,
            policy: &self.settings.policy,
        }
    }
}

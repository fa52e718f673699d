//! What a request needs besides itself: settings, database, clock.

use crate::Failure;
use crate::clock::SystemClock;
use crate::database::SpinDatabase;
use crate::settings::{self, Settings, misconfigured};
use duxnet_store::Store;
use duxnet_wallet::Service;
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

//! Rules that look at what happened, not at what is asked for.

use crate::{Registry, RegistryError};
use duxnet_store::Database;
use duxnet_wallet::Clock;

/// Events that one run looks at.
const EVENTS: u32 = 500;

impl<D: Database, C: Clock> Registry<'_, D, C> {
    /// Applies the rules to the events since the last run.
    pub(crate) async fn watch(&self) -> Result<(), RegistryError> {
        Ok(self.store.watch_events(EVENTS, self.clock.now()).await?)
    }
}

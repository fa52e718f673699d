//! Signs of life of nodes, and what their age makes of them.

use crate::{Registry, RegistryError};
use duxnet_store::{Database, Heartbeat, Node};
use duxnet_wallet::{Caller, Clock};

/// Nodes whose status one run of the background work changes.
const PAGE_NODES: u32 = 500;

impl<D: Database, C: Clock> Registry<'_, D, C> {
    /// Takes a node's heartbeat in: it is online, and its health is assessed anew.
    ///
    /// # Errors
    /// [`RegistryError::NodeNotFound`], [`RegistryError::NodeDeregistered`], or database trouble.
    pub async fn heartbeat(
        &self,
        caller: &Caller,
        heartbeat: &Heartbeat,
    ) -> Result<Node, RegistryError> {
        let signature = caller.signature.as_ref();
        let now = self.clock.now();
        if !self
            .store
            .note_heartbeat(&caller.node_id, heartbeat, now, signature)
            .await?
        {
            return Err(crate::refused(self.store, caller).await?);
        }
        self.assess_node(&caller.node_id).await?;
        crate::known(self.store, &caller.node_id).await
    }

    /// Brings statuses level with the age of heartbeats.
    pub(crate) async fn age_nodes(&self) -> Result<(), RegistryError> {
        self.store
            .age_nodes(
                self.before(self.rules.heartbeat_stale_after),
                self.before(self.rules.heartbeat_offline_after),
                PAGE_NODES,
            )
            .await?;
        Ok(())
    }
}

//! Registering nodes: a node id belongs to the key that came first, until that key hands it over.

use crate::{Clock, Service, WalletError};
use duxnet_store::{Database, Node, NodeChange};

/// How often a registration is tried anew when another changes the node meanwhile.
const ATTEMPTS: u32 = 3;

/// What a registration came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Registered {
    /// The node is new.
    New(Node),
    /// It was known with this key.
    Again(Node),
    /// Its key changed.
    Rotated(Node),
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// Registers a node. The caller has proved possession of the key in `change`;
    /// `handed_over(old key)` tells whether the old key agreed to the change of key.
    ///
    /// # Errors
    /// [`WalletError::NodeExists`] when another key owns the id and did not agree, or database
    /// trouble.
    pub async fn register(
        &self,
        change: &NodeChange,
        handed_over: impl Fn(Option<&str>) -> bool,
    ) -> Result<Registered, WalletError> {
        for _ in 0..ATTEMPTS {
            let Some(known) = self.store.node(&change.node_id).await? else {
                if self.store.insert_node(change).await? {
                    return self.stored(change).await.map(Registered::New);
                }
                continue;
            };
            let same_key = known.public_key == change.public_key;
            if !same_key && !handed_over(known.public_key.as_deref()) {
                return Err(WalletError::NodeExists(change.node_id.clone()));
            }
            if self
                .store
                .update_node(change, known.public_key.as_deref())
                .await?
            {
                let node = self.stored(change).await?;
                return Ok(if same_key {
                    Registered::Again(node)
                } else {
                    Registered::Rotated(node)
                });
            }
        }
        Err(WalletError::InProgress)
    }

    async fn stored(&self, change: &NodeChange) -> Result<Node, WalletError> {
        self.store
            .node(&change.node_id)
            .await?
            .ok_or_else(|| WalletError::NodeNotFound(change.node_id.clone()))
    }
}

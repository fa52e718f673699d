//! What a node says that it can do.

use crate::{RegistryError, known, refused};
use duxnet_store::{CapabilityChange, Database, Node, Store};
use duxnet_units::Capability;
use duxnet_wallet::{Caller, Clock};

/// Changes the list of the capabilities that the caller declares; `wallet` is not of it.
///
/// # Errors
/// [`RegistryError::NodeNotFound`], [`RegistryError::NodeDeregistered`], or the database's:
/// [`TooManyCapabilities`](duxnet_store::StoreError::TooManyCapabilities) among them.
pub async fn change_capabilities<D: Database>(
    store: &Store<D>,
    clock: &impl Clock,
    caller: &Caller,
    change: CapabilityChange,
    named: &[Capability],
) -> Result<Node, RegistryError> {
    let signature = caller.signature.as_ref();
    let changed = store
        .change_capabilities(&caller.node_id, change, named, clock.now(), signature)
        .await;
    match changed {
        Ok(true) => known(store, &caller.node_id).await,
        Ok(false) => Err(refused(store, caller).await?),
        Err(error) => {
            // Refused as a whole, its signature too: a copy must not pass later.
            if let Some(signature) = signature
                && error == duxnet_store::StoreError::TooManyCapabilities
            {
                store.use_signature(signature).await?;
            }
            Err(error.into())
        }
    }
}

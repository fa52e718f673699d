//! Whom a wallet may pay, by its node's own rules. To tighten them is heard at once, to loosen them
//! after a delay, so that whoever steals a key cannot undo them before somebody notices.

use crate::{Registry, RegistryError};
use duxnet_store::{Database, RecipientChange, RecipientPolicy};
use duxnet_units::{Address, NodeId};
use duxnet_wallet::{Caller, Clock, WalletError};

/// What a node asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    /// To be added.
    pub allow: Vec<Address>,
    /// To be added.
    pub deny: Vec<Address>,
    /// To be taken off either list.
    pub remove: Vec<Address>,
    /// Whether only allowed recipients may be paid; none leaves it.
    pub whitelist_only: Option<bool>,
}

impl<D: Database, C: Clock> Registry<'_, D, C> {
    /// A wallet's rules as they are now.
    ///
    /// # Errors
    /// [`WalletError::WalletNotFound`], database trouble.
    pub async fn recipients(&self, node_id: &NodeId) -> Result<RecipientPolicy, RegistryError> {
        let wallet = self.wallet_id(node_id).await?;
        Ok(self
            .store
            .recipient_policy(wallet, self.clock.now())
            .await?)
    }

    /// Changes a wallet's rules, all at once; none when there would be too many entries.
    ///
    /// # Errors
    /// [`WalletError::WalletNotFound`], a signature used twice, database trouble.
    pub async fn change_recipients(
        &self,
        caller: &Caller,
        wish: Wish,
    ) -> Result<Option<RecipientPolicy>, RegistryError> {
        let wallet_id = match self.wallet_id(&caller.node_id).await {
            Ok(wallet_id) => wallet_id,
            Err(error) => {
                self.use_up(caller).await?;
                return Err(error);
            }
        };
        let change = RecipientChange {
            wallet_id,
            allow: wish.allow,
            deny: wish.deny,
            remove: wish.remove,
            whitelist_only: wish.whitelist_only,
            delay: self.rules.recipient_policy_delay,
            at: self.clock.now(),
            signature: caller.signature.clone(),
        };
        if !self.store.change_recipients(&change).await? {
            self.use_up(caller).await?;
            return Ok(None);
        }
        self.recipients(&caller.node_id).await.map(Some)
    }

    /// A refused request must not be good for a later replay.
    async fn use_up(&self, caller: &Caller) -> Result<(), RegistryError> {
        if let Some(signature) = &caller.signature {
            self.store.use_signature(signature).await?;
        }
        Ok(())
    }

    async fn wallet_id(&self, node_id: &NodeId) -> Result<i64, RegistryError> {
        let wallet = self.store.wallet_of(node_id).await?;
        let wallet = wallet.ok_or_else(|| WalletError::WalletNotFound(node_id.clone()))?;
        Ok(wallet.id)
    }
}

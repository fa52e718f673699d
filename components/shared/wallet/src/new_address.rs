//! Another address for a wallet. Earlier ones stay the wallet's.

use crate::chain::Keys;
use crate::create::fresh_address;
use crate::{Caller, Clock, Service, WalletError};
use duxnet_store::{Database, NewAddress, StoreError, StoredAddress};
use duxnet_units::IdempotencyKey;

/// The address, and whether an earlier request made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressMade {
    /// The address.
    pub address: String,
    /// The wallet's display name.
    pub wallet_name: String,
    /// Whether this is the answer to a repeat.
    pub replayed: bool,
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// Adds an address to the caller's wallet and makes it the newest.
    ///
    /// # Errors
    /// [`WalletError::WalletNotFound`], [`WalletError::WalletInactive`], [`WalletError::AddressLimit`], or chain and database
    /// trouble.
    pub async fn new_address(
        &self,
        chain: &impl Keys,
        caller: &Caller,
        key: Option<&IdempotencyKey>,
    ) -> Result<AddressMade, WalletError> {
        let made = self.make_address(chain, caller, key).await;
        if !made.as_ref().is_ok_and(|address| !address.replayed) {
            // A new address's row has the signature. Otherwise it is used up here, so that a refused
            // request is no good for a later replay.
            self.consume_signature(caller).await?;
        }
        made
    }

    async fn make_address(
        &self,
        chain: &impl Keys,
        caller: &Caller,
        key: Option<&IdempotencyKey>,
    ) -> Result<AddressMade, WalletError> {
        let wallet = self.wallet(&caller.node_id).await?;
        let made = |address: String, replayed: bool| AddressMade {
            address,
            wallet_name: wallet.wallet_name.clone(),
            replayed,
        };
        if let Some(key) = key
            && let Some(address) = self.store.address_by_key(wallet.id, key).await?
        {
            return Ok(made(address, true));
        }
        if !wallet.is_active {
            return Err(WalletError::WalletInactive);
        }
        let mut new = NewAddress {
            wallet_id: wallet.id,
            address: None,
            idempotency_key: key.cloned(),
            at: self.clock.now(),
            signature: caller.signature.clone(),
        };
        let mut stored = self.store.insert_address(&new).await;
        if stored == Err(StoreError::PoolEmpty) {
            new.address = Some(fresh_address(chain, &caller.node_id, self.policy.network).await?);
            stored = self.store.insert_address(&new).await;
        }
        match stored? {
            StoredAddress::Added(address) => Ok(made(address, false)),
            StoredAddress::Earlier(address) => Ok(made(address, true)),
            StoredAddress::LimitReached => Err(WalletError::AddressLimit),
        }
    }
}

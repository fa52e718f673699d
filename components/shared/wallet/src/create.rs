//! Making a node's wallet.

use crate::chain::{ChainError, Keys};
use crate::{Caller, Clock, Service, WalletError};
use duxnet_store::{Database, NewWallet, StoreError, Wallet};
use duxnet_units::{Address, IdempotencyKey, Network, NodeId, WalletName};

/// A wallet to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Its display name.
    pub wallet_name: WalletName,
    /// What makes a repeat the same request.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The hash of the request's content.
    pub request_hash: String,
}

/// The wallet, and whether an earlier request made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Created {
    /// The wallet.
    pub wallet: Wallet,
    /// Whether this is the answer to a repeat.
    pub replayed: bool,
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// Makes the one wallet of a registered node; the node then has the capability `wallet`.
    ///
    /// # Errors
    /// [`WalletError::NodeNotFound`], [`WalletError::NodeDeregistered`], [`WalletError::WalletExists`], [`WalletError::KeyReused`],
    /// or chain and database trouble.
    pub async fn create_wallet(
        &self,
        chain: &impl Keys,
        caller: &Caller,
        order: &Order,
    ) -> Result<Created, WalletError> {
        let made = self.make_wallet(chain, caller, order).await;
        if !made.as_ref().is_ok_and(|created| !created.replayed) {
            // A new wallet's row has the signature. Otherwise it is used up here, so that a refused
            // request is no good for a later replay.
            self.consume_signature(caller).await?;
        }
        made
    }

    async fn make_wallet(
        &self,
        chain: &impl Keys,
        caller: &Caller,
        order: &Order,
    ) -> Result<Created, WalletError> {
        if let Some(wallet) = self.store.wallet_of(&caller.node_id).await? {
            return earlier(wallet, caller, order);
        }
        if self.store.node_key(&caller.node_id).await?.is_none() {
            return Err(WalletError::NodeNotFound(caller.node_id.clone()));
        }
        let mut new = NewWallet {
            node_id: caller.node_id.clone(),
            wallet_name: order.wallet_name.clone(),
            address: None,
            idempotency_key: order.idempotency_key.clone(),
            request_hash: order.request_hash.clone(),
            at: self.clock.now(),
            signature: caller.signature.clone(),
        };
        let mut stored = self.store.insert_wallet(&new).await;
        if stored == Err(StoreError::PoolEmpty) {
            // A key that no wallet gets to own is lost to nobody, so the order is key first.
            new.address = Some(fresh_address(chain, &caller.node_id, self.policy.network).await?);
            stored = self.store.insert_wallet(&new).await;
        }
        if stored == Err(StoreError::NodeDeregistered) {
            return Err(WalletError::NodeDeregistered(caller.node_id.clone()));
        }
        match stored? {
            Some(wallet) => Ok(Created {
                wallet,
                replayed: false,
            }),
            None => earlier(self.wallet(&caller.node_id).await?, caller, order),
        }
    }
}

fn earlier(wallet: Wallet, caller: &Caller, order: &Order) -> Result<Created, WalletError> {
    match &order.idempotency_key {
        Some(key) if wallet.idempotency_key.as_deref() == Some(key.as_str()) => {
            if wallet.request_hash == order.request_hash {
                Ok(Created {
                    wallet,
                    replayed: true,
                })
            } else {
                Err(WalletError::KeyReused)
            }
        }
        _ => Err(WalletError::WalletExists(caller.node_id.clone())),
    }
}

/// A fresh address of the chain node's wallet, checked and in canonical form.
pub(crate) async fn fresh_address(
    chain: &impl Keys,
    node_id: &NodeId,
    network: Network,
) -> Result<Address, WalletError> {
    let text = chain.new_address(node_id.as_str()).await?;
    Address::parse(&text, network)
        .map_err(|e| ChainError::BadResponse(format!("a new address is {e}")).into())
}

//! Leaving the registry, in order: pay out what can be spent, deregister when nothing is left.
//!
//! Each step is durable before the next, and a repeat goes on where the one before ended: the
//! payment is found by its idempotency key, and the database deregisters only a node whose wallet
//! holds nothing.

use crate::chain::{Reader, Relay, Signer};
use crate::send::{self, HowMuch, Sent};
use crate::{Caller, Clock, Service, WalletError};
use duxnet_store::{Balance, Database, Deregistration, PaymentState, Wallet};
use duxnet_units::{IdempotencyKey, NodeId, NodeStatus, Timestamp};

/// A node that wants to leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Where its money goes, as the client wrote it; none: it has to be gone already.
    pub send_to: Option<String>,
    /// What makes a repeat the same request.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The hash of the request's content.
    pub request_hash: String,
}

/// How far a node came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Departure {
    /// The node.
    pub node_id: NodeId,
    /// Where it stands now.
    pub status: NodeStatus,
    /// When it left.
    pub left_at: Option<Timestamp>,
    /// What it was paid out with.
    pub payment: Option<Sent>,
    /// What its wallet holds.
    pub holds: Balance,
    /// Whether this is the answer to a repeat.
    pub replayed: bool,
}

impl Departure {
    /// False: the payment is made, and the node still registered.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.status == NodeStatus::Deregistered
    }

    /// Whether an operator has, or had, to look at the payment before it is made.
    #[must_use]
    pub fn is_reviewed(&self) -> bool {
        self.payment.as_ref().is_some_and(|sent| {
            matches!(
                sent.payment.state,
                PaymentState::Held | PaymentState::Released
            )
        })
    }
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// Deregisters a node whose wallet holds nothing, or after everything that it can spend was
    /// paid to `send_to`. A repeat with the same idempotency key never pays twice.
    ///
    /// # Errors
    /// [`WalletError::WalletNotEmpty`] and everything that keeps a payment from being made; then
    /// nothing was paid and the node is registered. `Ok` with a node that has not left means that
    /// the payment was made and something is left, or its outcome is not yet known.
    pub async fn deregister(
        &self,
        chain: &(impl Reader + Signer + Relay),
        caller: &Caller,
        order: &Order,
    ) -> Result<Departure, WalletError> {
        let (before, _) = self.standing_of(caller).await?;
        let had_left = before == NodeStatus::Deregistered;
        let payment = match self.pay_out(chain, caller, order, had_left).await {
            Ok(payment) => payment,
            // Another request is paying everything out, or has done so meanwhile.
            Err(
                error @ (WalletError::WalletInactive | WalletError::InsufficientBalance { .. }),
            ) => {
                let holds = self.holds(caller).await?;
                if !holds.reserved.is_zero() {
                    return Err(WalletError::WalletNotEmpty(holds));
                }
                if holds != Balance::default() {
                    return Err(error);
                }
                self.leave(caller, false).await?;
                return self.departure(caller, None, true).await;
            }
            Err(error) => return Err(error),
        };
        match payment.as_ref().map(|sent| sent.payment.state) {
            None => {
                if self.leave(caller, true).await? == Deregistration::WalletNotEmpty {
                    self.consume_signature(caller).await?;
                    return Err(WalletError::WalletNotEmpty(self.holds(caller).await?));
                }
            }
            // Its coins are spent. What came in meanwhile keeps the node.
            Some(PaymentState::Broadcast | PaymentState::Confirmed) => {
                self.leave(caller, false).await?;
            }
            // Its coins are the wallet's until the outcome is known.
            Some(
                PaymentState::Reserved
                | PaymentState::Held
                | PaymentState::Released
                | PaymentState::Signed,
            ) => {}
            Some(PaymentState::Failed) => return Err(WalletError::PaymentFailed),
        }
        let replayed = had_left || payment.as_ref().is_some_and(|payment| payment.replayed);
        self.departure(caller, payment, replayed).await
    }

    async fn departure(
        &self,
        caller: &Caller,
        payment: Option<Sent>,
        replayed: bool,
    ) -> Result<Departure, WalletError> {
        let (status, left_at) = self.standing_of(caller).await?;
        Ok(Departure {
            node_id: caller.node_id.clone(),
            status,
            left_at,
            holds: self.holds(caller).await?,
            payment,
            replayed,
        })
    }

    /// The payment of everything that can be spent, or none where there is nothing to pay, and then
    /// the signature is not used up.
    async fn pay_out(
        &self,
        chain: &(impl Reader + Signer + Relay),
        caller: &Caller,
        order: &Order,
        had_left: bool,
    ) -> Result<Option<Sent>, WalletError> {
        let Some(send_to) = &order.send_to else {
            return Ok(None);
        };
        let Some(wallet) = self.store.wallet_of(&caller.node_id).await? else {
            return Ok(None);
        };
        let is_repeat = match &order.idempotency_key {
            Some(key) => self
                .store
                .payment_by_key(&caller.node_id, key)
                .await?
                .is_some(),
            None => false,
        };
        if !is_repeat {
            if had_left || wallet.balance == Balance::default() {
                return Ok(None);
            }
            if let Err(error) = self.can_be_emptied(&wallet, send_to).await {
                self.consume_signature(caller).await?;
                return Err(error);
            }
        }
        let payment = send::Order {
            recipient_address: send_to.clone(),
            amount: HowMuch::All,
            idempotency_key: order.idempotency_key.clone(),
            request_hash: order.request_hash.clone(),
        };
        Ok(Some(self.send(chain, caller, &payment).await?))
    }

    /// Nothing is paid while something would be left all the same.
    async fn can_be_emptied(&self, wallet: &Wallet, send_to: &str) -> Result<(), WalletError> {
        if !wallet.balance.pending.is_zero() || !wallet.balance.reserved.is_zero() {
            return Err(WalletError::WalletNotEmpty(wallet.balance));
        }
        if self.store.wallet_has_address(wallet.id, send_to).await? {
            return Err(WalletError::OwnAddress);
        }
        Ok(())
    }

    /// Uses the signature up with the step, if it is still to be.
    async fn leave(
        &self,
        caller: &Caller,
        is_signature_unused: bool,
    ) -> Result<Deregistration, WalletError> {
        let signature = caller.signature.as_ref().filter(|_| is_signature_unused);
        let now = self.clock.now();
        let left = self
            .store
            .deregister_node(&caller.node_id, now, signature)
            .await?;
        if left == Deregistration::NotThere && is_signature_unused {
            self.consume_signature(caller).await?;
        }
        Ok(left)
    }

    async fn standing_of(
        &self,
        caller: &Caller,
    ) -> Result<(NodeStatus, Option<Timestamp>), WalletError> {
        self.store
            .node_standing(&caller.node_id)
            .await?
            .ok_or_else(|| WalletError::NodeNotFound(caller.node_id.clone()))
    }

    async fn holds(&self, caller: &Caller) -> Result<Balance, WalletError> {
        let wallet = self.store.wallet_of(&caller.node_id).await?;
        Ok(wallet.map_or_else(Balance::default, |wallet| wallet.balance))
    }
}

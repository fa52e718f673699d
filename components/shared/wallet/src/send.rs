//! Paying someone, in order: check, reserve, sign, store, broadcast (DESIGN 4).
//!
//! Each step is durable before the next. Whatever happens between two of them, the payment's row
//! says how far it came, and a repeat of the request, or the tracker, goes on from there with the
//! same bytes. Coins come from the ledger: only the signature and the broadcast ask the chain node.

use crate::chain::{ChainError, Reader, Relay, Signed, Signer, Standing};
use crate::coins::{self, SelectionError, Target};
use crate::{Caller, Clock, Service, WalletError};
use duxnet_store::{
    Database, NewPayment, Payment, PaymentState, Refusal, Reservation, Signing, StoreError,
    StoredTransaction, Wallet,
};
use duxnet_units::transaction::{Output, Transaction};
use duxnet_units::{Address, Amount, IdempotencyKey, NodeId, OutPoint, Txid};
use std::time::Duration;

/// How long a request may work on its payment before another may take over. Longer than any
/// request lives: the host's own deadline is 30 s.
pub(crate) const LEASE_SECONDS: i64 = 60;
/// How long a payment waits for the change of payments under way, or a repeat for the first.
const PATIENCE_SECONDS: i64 = 15;
/// Between two looks at what others are doing.
const PAUSE: Duration = Duration::from_millis(40);
/// Between two tries to sign a payment that an operator released.
const RELEASED_PAUSE_SECONDS: i64 = 10;
/// Why a payment failed that an operator did not let go.
const REFUSED: &str = "refused";
/// Coins that suffice alone, smallest first, of which the selection chooses.
const SUFFICIENT_COINS: u32 = 20;

/// How much is paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HowMuch {
    /// This; never zero. The fee comes on top.
    Exactly(Amount),
    /// Everything that can be spent, less the fee: the wallet keeps none of it.
    All,
}

/// A payment to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Who is paid, as the client wrote it.
    pub recipient_address: String,
    /// How much.
    pub amount: HowMuch,
    /// What makes a repeat the same request.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The hash of the request's content.
    pub request_hash: String,
}

/// How far a payment came: `Signed` when the chain node's answer is outstanding, `Held` when it
/// waits for an operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// As it is now.
    pub payment: Payment,
    /// Its history row, once it is signed.
    pub transaction: Option<StoredTransaction>,
    /// Whether this is the answer to a repeat.
    pub replayed: bool,
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// Pays. A repeat with the same idempotency key never pays twice.
    ///
    /// # Errors
    /// Everything that keeps the payment from being made. `Ok` with state `Signed` means that the
    /// payment is made and its outcome not yet known; with `Held`, that an operator decides.
    pub async fn send(
        &self,
        chain: &(impl Reader + Signer + Relay),
        caller: &Caller,
        order: &Order,
    ) -> Result<Sent, WalletError> {
        let reserved = match self.reserve(caller, order).await {
            Ok(reserved) => reserved,
            // Of two requests with one key, the second may find the coins or the quota taken by
            // the first: that refuses nothing, it is a repeat.
            Err(error) => match self.earlier(caller, order).await {
                Ok(Some(payment)) => Reserved::Earlier(payment),
                Ok(None) | Err(_) => {
                    // A refused request must not be good for a later replay either.
                    self.consume_signature(caller).await?;
                    return Err(error);
                }
            },
        };
        match reserved {
            Reserved::New(payment) if payment.state == PaymentState::Held => {
                self.answer(*payment, false).await
            }
            Reserved::New(payment) => self.carry_out(chain, *payment, false).await,
            Reserved::Earlier(payment) => {
                self.consume_signature(caller).await?;
                self.resume(chain, *payment, caller, order).await
            }
        }
    }

    /// Steps 1 and 2: checks the order and takes what it needs, or finds the payment that an
    /// earlier request of the same key made.
    async fn reserve(&self, caller: &Caller, order: &Order) -> Result<Reserved, WalletError> {
        let wallet = self.wallet(&caller.node_id).await?;
        if let Some(payment) = self.earlier(caller, order).await? {
            return Ok(Reserved::Earlier(payment));
        }
        let recipient = self.check(&wallet, order)?;
        // A reservation that was never signed gives its coins back.
        self.store
            .fail_abandoned(Some(wallet.id), self.clock.now())
            .await?;
        let fee_rate = self.fee_rate().await?;
        let change_address = self.stored_address("wallets.address", &wallet.address)?;
        let deadline = self.after(PATIENCE_SECONDS);
        loop {
            self.check_quota(&wallet).await?;
            let (least, largest, sufficient) = match order.amount {
                HowMuch::Exactly(amount) => (amount, coins::MAX_INPUTS, SUFFICIENT_COINS),
                // One more than a payment can carry tells that it cannot carry all.
                HowMuch::All => (Amount::ZERO, coins::MAX_INPUTS + 1, 0),
            };
            let spendable = self
                .store
                .spendable_coins(wallet.id, least, largest as u32, sufficient)
                .await?;
            let selected = match order.amount {
                HowMuch::Exactly(amount) => {
                    let target = Target {
                        amount,
                        recipient: &recipient,
                        change_address: &change_address,
                        fee_rate,
                    };
                    coins::select(&spendable.coins, spendable.total, &target)
                        .map(|selection| (amount, selection))
                }
                HowMuch::All => coins::sweep(&spendable.coins, &recipient, fee_rate),
            };
            let (amount, selection) = match selected {
                Ok(selected) => selected,
                Err(SelectionError::TooManyInputs) => return Err(WalletError::TooManyCoins),
                Err(SelectionError::Insufficient { available, needed }) => {
                    let under_way = spendable.under_way;
                    if available
                        .checked_add(under_way.change)
                        .is_some_and(|sum| sum < needed)
                    {
                        let state = self.store.chain_state().await?;
                        let height = state.block.map(|block| block.height);
                        if state.synced_at.is_none() || height < state.tip_height {
                            // What is there may not be in the ledger yet.
                            return Err(WalletError::Syncing);
                        }
                        return Err(WalletError::InsufficientBalance { available, needed });
                    }
                    self.wait_for_change(&wallet, under_way.progress, deadline)
                        .await?;
                    continue;
                }
            };
            self.check_amount(amount)?;
            let payment = NewPayment {
                node_id: caller.node_id.clone(),
                wallet_id: wallet.id,
                idempotency_key: order.idempotency_key.clone(),
                request_hash: order.request_hash.clone(),
                recipient: recipient.clone(),
                amount,
                fee: selection.fee,
                change: selection.change,
                change_address: change_address.clone(),
                inputs: selection.inputs,
                at: self.clock.now(),
                lease_until: self.after(LEASE_SECONDS),
                window_seconds: self.policy.rate_limit_window,
                window_payments: self.policy.max_transactions_per_window,
                signature: caller.signature.clone(),
            };
            let outcome = self.store.reserve(&payment).await?;
            match outcome {
                Reservation::Reserved(payment) => return Ok(Reserved::New(payment)),
                Reservation::Refused(refusal) => {
                    return Err(self.refused(refusal, &caller.node_id).await?);
                }
                Reservation::KeyTaken | Reservation::CoinTaken | Reservation::RateLimited => {}
            }
            // A repeat that came second is a repeat, whatever else is in its way.
            if let Some(payment) = self.earlier(caller, order).await? {
                return Ok(Reserved::Earlier(payment));
            }
            if self.clock.now() > deadline {
                return Err(WalletError::CoinsBusy);
            }
        }
    }

    async fn earlier(
        &self,
        caller: &Caller,
        order: &Order,
    ) -> Result<Option<Box<Payment>>, WalletError> {
        match &order.idempotency_key {
            None => Ok(None),
            Some(key) => Ok(self
                .store
                .payment_by_key(&caller.node_id, key)
                .await?
                .map(Box::new)),
        }
    }

    fn check(&self, wallet: &Wallet, order: &Order) -> Result<Address, WalletError> {
        if !wallet.is_active {
            return Err(WalletError::WalletInactive);
        }
        check_frozen(wallet)?;
        let recipient = Address::parse(&order.recipient_address, self.policy.network)
            .map_err(WalletError::InvalidRecipient)?;
        if let HowMuch::Exactly(amount) = order.amount {
            self.check_amount(amount)?;
        }
        Ok(recipient)
    }

    fn check_amount(&self, amount: Amount) -> Result<(), WalletError> {
        if amount > self.policy.max_transaction_amount {
            return Err(WalletError::AmountAboveLimit(
                self.policy.max_transaction_amount,
            ));
        }
        let dust_limit = Amount::from_florins(coins::DUST_LIMIT_FLORINS).unwrap_or(Amount::MAX);
        if amount < dust_limit {
            return Err(WalletError::AmountBelowDust(dust_limit));
        }
        Ok(())
    }

    /// The database decides in the end; this spares the chain node a request that cannot pass.
    async fn check_quota(&self, wallet: &Wallet) -> Result<(), WalletError> {
        let now = self.clock.now();
        let window = self.policy.rate_limit_window;
        let quota = self.store.quota(wallet.id, window, now).await?;
        if quota.used < self.policy.max_transactions_per_window {
            return Ok(());
        }
        let free_at = quota.oldest.unwrap_or(now).unix_seconds() + i64::from(window);
        let wait = free_at.saturating_sub(now.unix_seconds()).max(1);
        Err(WalletError::RateLimited {
            payments: self.policy.max_transactions_per_window,
            window_seconds: window,
            retry_after_seconds: u32::try_from(wait).unwrap_or(window),
        })
    }

    /// Waits until one of the wallet's payments under way went on since `progress` was read.
    async fn wait_for_change(
        &self,
        wallet: &Wallet,
        progress: (i64, i64),
        deadline: duxnet_units::Timestamp,
    ) -> Result<(), WalletError> {
        loop {
            self.clock.pause(PAUSE).await;
            let now = self.clock.now();
            if now > deadline {
                return Err(WalletError::CoinsBusy);
            }
            if self.store.under_way(wallet.id).await?.progress != progress {
                return Ok(());
            }
        }
    }

    /// The chain node's fee rate, as the ledger last saw it.
    async fn fee_rate(&self) -> Result<u64, WalletError> {
        let state = self.store.chain_state().await?;
        match state.network {
            Some(found) if found != self.policy.network => Err(WalletError::WrongNetwork {
                expected: self.policy.network,
                found,
            }),
            _ => state.fee_rate.ok_or(WalletError::Syncing),
        }
    }

    async fn refused(
        &self,
        refusal: Refusal,
        node_id: &NodeId,
    ) -> Result<WalletError, WalletError> {
        Ok(match refusal {
            Refusal::SendsStopped => {
                let reason = self.store.chain_state().await?.sends_stopped_reason;
                WalletError::SendsStopped(reason.unwrap_or_default())
            }
            Refusal::WalletFrozen => {
                let reason = self.wallet(node_id).await?.frozen;
                WalletError::WalletFrozen(reason.unwrap_or_default())
            }
            Refusal::RecipientNotAllowed => WalletError::RecipientNotAllowed,
            Refusal::WalletInactive => WalletError::WalletInactive,
        })
    }

    /// What a repeat of a payment that has failed hears.
    async fn failed(&self, payment: &Payment, otherwise: WalletError) -> WalletError {
        if payment.failure.as_deref() != Some(REFUSED) {
            return otherwise;
        }
        match self.store.refusal_reason(payment.id).await {
            Ok(reason) => WalletError::PaymentRefused(reason.unwrap_or_default()),
            Err(error) => error.into(),
        }
    }

    /// A repeat: the first answer, or the end of what the first request could not finish.
    async fn resume(
        &self,
        chain: &(impl Reader + Signer + Relay),
        mut payment: Payment,
        caller: &Caller,
        order: &Order,
    ) -> Result<Sent, WalletError> {
        if payment.request_hash != order.request_hash {
            return Err(WalletError::KeyReused);
        }
        // A key is kept only by a payment that was sent, or held: its request was answered with success.
        if payment.state == PaymentState::Failed {
            return Err(self.failed(&payment, WalletError::PaymentFailed).await);
        }
        let deadline = self.after(PATIENCE_SECONDS);
        loop {
            match payment.state {
                PaymentState::Held | PaymentState::Broadcast | PaymentState::Confirmed => {
                    return self.answer(payment, true).await;
                }
                // The first request has just failed and given the key back: a repeat is new.
                PaymentState::Failed => {
                    return Err(self.failed(&payment, WalletError::InProgress).await);
                }
                PaymentState::Released => check_frozen(&self.wallet(&caller.node_id).await?)?,
                PaymentState::Reserved | PaymentState::Signed => {}
            }
            let now = self.clock.now();
            if self
                .store
                .take_over(payment.id, now, self.after(LEASE_SECONDS))
                .await?
            {
                return self.carry_out(chain, payment, true).await;
            }
            if now > deadline {
                return Err(WalletError::InProgress);
            }
            self.clock.pause(PAUSE).await;
            payment = self.reload(&payment).await?;
        }
    }

    async fn reload(&self, payment: &Payment) -> Result<Payment, WalletError> {
        self.store
            .payment(payment.id)
            .await?
            .ok_or_else(|| corrupt_payment("is gone"))
    }

    /// Steps 3 and 4 for a payment that this request holds the lease of. Whatever keeps a released
    /// payment from being made leaves it released: an operator has decided, and a later try may
    /// succeed.
    pub(crate) async fn carry_out(
        &self,
        chain: &(impl Reader + Signer + Relay),
        payment: Payment,
        replayed: bool,
    ) -> Result<Sent, WalletError> {
        if let Some(signed) = stored_bytes(&payment) {
            self.broadcast(chain, &payment, &signed, false).await?;
        } else {
            let signed = match self.sign_and_store(chain, &payment).await {
                Ok(signed) => signed,
                Err(error) if payment.state == PaymentState::Released => {
                    let pause = self.after(RELEASED_PAUSE_SECONDS);
                    self.store.put_off(payment.id, pause).await?;
                    return Err(error);
                }
                Err(error) => {
                    // Nothing was signed, so nothing can be paid: coins and quota go back.
                    self.fail(&payment, PaymentState::Reserved, "not_signed")
                        .await?;
                    return Err(error);
                }
            };
            let first = payment.state == PaymentState::Reserved;
            self.broadcast(chain, &payment, &signed, first).await?;
        }
        let payment = self.reload(&payment).await?;
        self.answer(payment, replayed).await
    }

    /// Step 3: the bytes are the payment's, or the payment has gone another way.
    async fn sign_and_store(
        &self,
        chain: &impl Signer,
        payment: &Payment,
    ) -> Result<Signed, WalletError> {
        let signed = self.sign(chain, payment).await?;
        let now = self.clock.now();
        match self
            .store
            .store_signed(payment.id, &signed.txid, &signed.hex, now)
            .await?
        {
            Signing::Stored => Ok(signed),
            Signing::Overtaken => Err(WalletError::InProgress),
            Signing::Refused(refusal) => Err(self.refused(refusal, &payment.node_id).await?),
        }
    }

    /// What was signed is what was asked for.
    async fn sign(&self, chain: &impl Signer, payment: &Payment) -> Result<Signed, WalletError> {
        let recipient = self.stored_address("payments.recipient_address", &payment.recipient)?;
        let change = self.stored_address("payments.change_address", &payment.change_address)?;
        let mut payees = vec![(&recipient, payment.amount)];
        if !payment.change.is_zero() {
            payees.push((&change, payment.change));
        }
        let inputs: Vec<OutPoint> = payment
            .inputs
            .iter()
            .map(|input| input.outpoint.clone())
            .collect();
        let signed = chain
            .sign_payment(&inputs, &payees)
            .await
            .map_err(signing_error)?;
        let outputs: Vec<Output> = payees
            .iter()
            .map(|(address, value)| Output::to(address, *value))
            .collect();
        verify(&signed, &inputs, &outputs)?;
        Ok(signed)
    }

    fn stored_address(&self, column: &'static str, text: &str) -> Result<Address, WalletError> {
        Address::parse(text, self.policy.network).map_err(|_| {
            let value = text.to_owned();
            StoreError::Corrupt { column, value }.into()
        })
    }

    /// Step 4. `first` is true only for the request that stored the bytes and has never tried
    /// before: then, and only then, a refusal proves that nobody has them. Unless the lease ran out
    /// meanwhile and another request sent them too: the database knows, and refuses to fail it.
    async fn broadcast(
        &self,
        chain: &(impl Reader + Relay),
        payment: &Payment,
        signed: &Signed,
        first: bool,
    ) -> Result<(), WalletError> {
        let Err(error) = chain.broadcast(signed).await else {
            self.store
                .mark_broadcast(payment.id, self.clock.now())
                .await?;
            return Ok(());
        };
        if first
            && matches!(error, ChainError::Unreachable(_))
            && self
                .fail(payment, PaymentState::Signed, "chain_unreachable")
                .await?
        {
            return Err(error.into());
        }
        // -25 and -26 do not prove that the transaction is absent, and a call without an answer
        // may have been executed: ask (FACTS 8).
        let standing = self.standing(chain, &signed.txid).await;
        if matches!(standing, Some(Standing::Mempool | Standing::Confirmed)) {
            self.store
                .mark_broadcast(payment.id, self.clock.now())
                .await?;
            return Ok(());
        }
        if first
            && matches!(error, ChainError::Rejected { .. })
            && standing == Some(Standing::Absent)
            && self
                .fail(payment, PaymentState::Signed, "chain_rejected")
                .await?
        {
            return Err(error.into());
        }
        self.store
            .release_lease(payment.id, self.clock.now())
            .await?;
        Ok(())
    }

    pub(crate) async fn standing(&self, chain: &impl Reader, txid: &Txid) -> Option<Standing> {
        // No answer here leaves the payment's outcome open, which is where it is anyway.
        chain.standings(&[txid]).await.ok()?.into_iter().next()
    }

    async fn fail(
        &self,
        payment: &Payment,
        state: PaymentState,
        failure: &str,
    ) -> Result<bool, WalletError> {
        Ok(self
            .store
            .mark_failed(payment.id, state, failure, self.clock.now())
            .await?)
    }

    async fn answer(&self, payment: Payment, replayed: bool) -> Result<Sent, WalletError> {
        let transaction = self.store.transaction_of(&payment.payment_id).await?;
        if transaction.is_none() && payment.state != PaymentState::Held {
            return Err(WalletError::InProgress);
        }
        Ok(Sent {
            payment,
            transaction,
            replayed,
        })
    }
}

fn check_frozen(wallet: &Wallet) -> Result<(), WalletError> {
    match &wallet.frozen {
        None => Ok(()),
        Some(reason) => Err(WalletError::WalletFrozen(reason.clone())),
    }
}

enum Reserved {
    New(Box<Payment>),
    Earlier(Box<Payment>),
}

pub(crate) fn stored_bytes(payment: &Payment) -> Option<Signed> {
    Some(Signed {
        txid: payment.txid.clone()?,
        hex: payment.raw_transaction.clone()?,
    })
}

fn corrupt_payment(what: &str) -> WalletError {
    StoreError::Corrupt {
        column: "payments",
        value: what.to_owned(),
    }
    .into()
}

/// A transaction that is not exactly the payment must not be sent, whoever signed it.
fn verify(signed: &Signed, inputs: &[OutPoint], outputs: &[Output]) -> Result<(), WalletError> {
    let transaction = hex::decode(&signed.hex)
        .ok()
        .and_then(|bytes| Transaction::decode(&bytes).ok());
    let is_the_payment = transaction.is_some_and(|transaction| {
        transaction.is_signed
            && transaction.txid == signed.txid
            && transaction.inputs == inputs
            && transaction.outputs == outputs
    });
    if is_the_payment {
        Ok(())
    } else {
        Err(ChainError::BadResponse("signed another transaction than the payment".into()).into())
    }
}

/// Core's codes for a wallet that is locked (-13), has another passphrase (-14) or is not
/// encrypted as configured (-15).
fn signing_error(error: ChainError) -> WalletError {
    match error {
        ChainError::Rejected {
            code: code @ -15..=-13,
            message,
        } => WalletError::SigningUnavailable { code, message },
        error @ (ChainError::Rejected { .. }
        | ChainError::Unreachable(_)
        | ChainError::OutcomeUnknown(_)
        | ChainError::BadResponse(_)) => WalletError::Chain(error),
    }
}

//! Bringing payments and receives to an end that the chain's blocks alone do not bring them to
//! (docs/payments.md).

use super::Report;
use crate::chain::{ChainError, Reader, Relay, Standing};
use crate::send::stored_bytes;
use crate::{Clock, Service, WalletError};
use duxnet_store::{Database, FIRST_PAUSE_SECONDS, Payment, PaymentState};
use duxnet_units::transaction::Transaction;

/// Payments that one run sends again.
const PAYMENTS: u32 = 20;
/// Missing transactions that one run asks for.
const MISSING: u32 = 50;
/// Between two questions for the same missing transaction.
const ASK_AGAIN_SECONDS: i64 = 30;
/// A payment in work is left alone for so long.
const LEASE_SECONDS: i64 = 60;
/// The longest pause between two broadcasts; the first is doubled each time.
const LONGEST_PAUSE_SECONDS: i64 = 600;
/// After so long a call that was cut off cannot be waiting in the node any more: from then on a
/// payment that the node refuses and does not know was never accepted.
const CALLS_END_SECONDS: i64 = 600;

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// Sends again what is in neither block nor mempool, and ends what is provably dead.
    ///
    /// # Errors
    /// Database trouble. Chain trouble leaves the rest to the next run.
    pub async fn resolve(
        &self,
        chain: &(impl Reader + Relay),
        report: &mut Report,
    ) -> Result<(), WalletError> {
        let due = self
            .store
            .due_for_broadcast(self.clock.now(), PAYMENTS)
            .await?;
        for payment in due {
            self.send_again(chain, &payment, report).await?;
        }
        self.ask_for_missing(chain, report).await
    }

    async fn send_again(
        &self,
        chain: &(impl Reader + Relay),
        payment: &Payment,
        report: &mut Report,
    ) -> Result<(), WalletError> {
        let Some(mut signed) = stored_bytes(payment) else {
            return Ok(());
        };
        // The payment may have been seen under another id than its own bytes have.
        if let Some(own) = hex::decode(&signed.hex)
            .ok()
            .and_then(|bytes| Transaction::decode(&bytes).ok())
        {
            signed.txid = own.txid;
        }
        let now = self.clock.now();
        let next = self.after(pause_seconds(payment.broadcast_attempts));
        if !self
            .store
            .take_for_broadcast(payment.id, now, self.after(LEASE_SECONDS), next)
            .await?
        {
            return Ok(());
        }
        report.resent += 1;
        let refused = match chain.broadcast(&signed).await {
            Ok(()) => {
                self.store
                    .mark_broadcast(payment.id, self.clock.now())
                    .await?;
                false
            }
            Err(ChainError::Rejected { .. }) => true,
            Err(
                error @ (ChainError::Unreachable(_)
                | ChainError::OutcomeUnknown(_)
                | ChainError::BadResponse(_)),
            ) => {
                report.troubles.push(format!("broadcast: {error}"));
                false
            }
        };
        if refused && let Some(standing) = self.standing(chain, &signed.txid).await {
            self.end(payment, standing, report).await?;
        }
        self.store
            .release_lease(payment.id, self.clock.now())
            .await?;
        Ok(())
    }

    /// A refused payment goes on, waits, or is dead.
    async fn end(
        &self,
        payment: &Payment,
        standing: Standing,
        report: &mut Report,
    ) -> Result<(), WalletError> {
        let now = self.clock.now();
        let is_old = now.unix_seconds() - payment.signed_at.unix_seconds() > CALLS_END_SECONDS;
        let failure = match standing {
            Standing::Mempool | Standing::Confirmed => {
                self.store.mark_broadcast(payment.id, now).await?;
                return Ok(());
            }
            Standing::Conflicted(depth) if depth >= self.policy.confirmations_required => {
                "conflict"
            }
            // The node's wallet knows every transaction of ours that its mempool ever took.
            Standing::Absent if payment.state == PaymentState::Signed && is_old => "chain_rejected",
            Standing::Conflicted(_) | Standing::NotInMempool | Standing::Absent => return Ok(()),
        };
        if self.store.mark_dead(payment.id, failure, now).await? {
            report.died += 1;
        }
        Ok(())
    }

    /// Receives that vanished from mempool and chain: dead once a conflict is deep enough.
    async fn ask_for_missing(
        &self,
        chain: &impl Reader,
        report: &mut Report,
    ) -> Result<(), WalletError> {
        let now = self.clock.now();
        let mut txids = self
            .store
            .missing_transactions(self.after(-ASK_AGAIN_SECONDS), now, MISSING)
            .await?;
        txids.sort();
        txids.dedup();
        if txids.is_empty() {
            return Ok(());
        }
        let standings = match chain.standings(&txids.iter().collect::<Vec<_>>()).await {
            Ok(standings) => standings,
            Err(error) => {
                report.troubles.push(format!("missing receives: {error}"));
                return Ok(());
            }
        };
        for (txid, standing) in txids.iter().zip(standings) {
            if matches!(standing, Standing::Conflicted(depth) if depth >= self.policy.confirmations_required)
            {
                self.store.mark_outputs_dead(txid, now).await?;
                report.died += 1;
            }
        }
        Ok(())
    }
}

fn pause_seconds(attempts: u32) -> i64 {
    let doublings = attempts.saturating_sub(1).min(10);
    (FIRST_PAUSE_SECONDS << doublings).min(LONGEST_PAUSE_SECONDS)
}

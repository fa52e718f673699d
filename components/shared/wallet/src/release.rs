//! Payments that were held and that an operator has released: they are made by whoever comes first,
//! this run or a repeat of the node's request, with the same steps as every other.

use crate::chain::{ChainError, Reader, Relay, Signer};
use crate::send::LEASE_SECONDS;
use crate::{Clock, Service, WalletError};
use duxnet_store::{Database, PaymentState};

/// Payments that one run makes.
const PAYMENTS: u32 = 10;

/// What one run did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Run {
    /// Payments that are signed now.
    pub made: u32,
    /// Why others are not; they stay released, for the next run.
    pub troubles: Vec<String>,
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// Makes released payments, oldest first, until the chain node is in trouble.
    ///
    /// # Errors
    /// Database trouble.
    pub async fn make_released(
        &self,
        chain: &(impl Reader + Signer + Relay),
    ) -> Result<Run, WalletError> {
        let mut run = Run::default();
        let due = self
            .store
            .released_payments(self.clock.now(), PAYMENTS)
            .await?;
        for payment in due {
            let (now, lease) = (self.clock.now(), self.after(LEASE_SECONDS));
            if !self.store.take_over(payment.id, now, lease).await? {
                continue;
            }
            let id = payment.payment_id.clone();
            match self.carry_out(chain, payment, false).await {
                Ok(sent) => {
                    run.made += 1;
                    if sent.payment.state == PaymentState::Signed {
                        break;
                    }
                }
                Err(WalletError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    run.troubles.push(format!("payment {id}: {error}"));
                    if is_away(&error) {
                        break;
                    }
                }
            }
        }
        Ok(run)
    }
}

/// Whether the next payment would meet the same.
fn is_away(error: &WalletError) -> bool {
    matches!(
        error,
        WalletError::SigningUnavailable { .. }
            | WalletError::SendsStopped(_)
            | WalletError::Chain(ChainError::Unreachable(_) | ChainError::OutcomeUnknown(_))
    )
}

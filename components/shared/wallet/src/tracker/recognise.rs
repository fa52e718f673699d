//! Which transactions of the chain concern us, and which of them are our payments.

use crate::chain::ChainTransaction;
use crate::{Clock, Service, WalletError};
use duxnet_store::{Database, Payment, PaymentState, SeenTransaction};
use duxnet_units::{OutPoint, Txid};
use std::collections::{HashMap, HashSet};

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// Those that pay one of our addresses, or spend one of our coins.
    pub(super) async fn recognise(
        &self,
        transactions: &[&ChainTransaction],
    ) -> Result<HashMap<Txid, SeenTransaction>, WalletError> {
        if transactions.is_empty() {
            return Ok(HashMap::new());
        }
        let addresses: HashSet<&str> = transactions
            .iter()
            .flat_map(|transaction| &transaction.outputs)
            .map(|output| output.address.as_str())
            .collect();
        let addresses: Vec<&str> = addresses.into_iter().collect();
        let own: HashSet<String> = self
            .store
            .own_addresses(&addresses)
            .await?
            .into_iter()
            .collect();
        // A coin made in these very transactions may be spent in them.
        let made: HashSet<&Txid> = transactions
            .iter()
            .filter(|t| t.outputs.iter().any(|o| own.contains(&o.address)))
            .map(|transaction| &transaction.txid)
            .collect();
        let inputs: Vec<OutPoint> = transactions
            .iter()
            .flat_map(|transaction| transaction.inputs.iter().cloned())
            .collect();
        let coins: HashSet<OutPoint> = self
            .store
            .own_outpoints(&inputs)
            .await?
            .into_iter()
            .collect();
        let ours: Vec<&ChainTransaction> = transactions
            .iter()
            .copied()
            .filter(|transaction| {
                made.contains(&transaction.txid)
                    || transaction
                        .inputs
                        .iter()
                        .any(|input| coins.contains(input) || made.contains(&input.txid))
            })
            .collect();
        let payments = self.payments_among(&ours).await?;
        Ok(ours
            .into_iter()
            .map(|transaction| {
                let seen = seen(transaction, &own, &payments);
                (transaction.txid.clone(), seen)
            })
            .collect())
    }

    async fn payments_among(
        &self,
        transactions: &[&ChainTransaction],
    ) -> Result<Vec<Payment>, WalletError> {
        if transactions.is_empty() {
            return Ok(Vec::new());
        }
        let txids: Vec<&str> = transactions.iter().map(|t| t.txid.as_str()).collect();
        let inputs: Vec<OutPoint> = transactions
            .iter()
            .flat_map(|transaction| transaction.inputs.iter().cloned())
            .collect();
        Ok(self.store.payments_like(&txids, &inputs).await?)
    }
}

fn seen(
    transaction: &ChainTransaction,
    own: &HashSet<String>,
    payments: &[Payment],
) -> SeenTransaction {
    let payment = payments
        .iter()
        .find(|payment| payment.txid.as_ref() == Some(&transaction.txid))
        .or_else(|| payments.iter().find(|p| is_malleated(p, transaction)));
    // Somebody outside, if there is one, is who was paid; what comes back is change.
    let recipient = transaction
        .outputs
        .iter()
        .find(|output| !own.contains(&output.address))
        .or(transaction.outputs.first());
    SeenTransaction {
        txid: transaction.txid.clone(),
        is_coinbase: transaction.is_coinbase,
        payment: payment.map(|payment| payment.id),
        recipient: recipient.map_or_else(String::new, |output| output.address.clone()),
        inputs: transaction.inputs.clone(),
        outputs: transaction
            .outputs
            .iter()
            .filter(|output| own.contains(&output.address))
            .cloned()
            .collect(),
    }
}

/// Without SegWit anyone on the way can change a signature's encoding, and with it the txid: the
/// coins and the payees are what makes it the payment.
fn is_malleated(payment: &Payment, transaction: &ChainTransaction) -> bool {
    let pays = |vout: u32, address: &str, value| {
        transaction
            .outputs
            .iter()
            .any(|o| o.vout == vout && o.address == address && o.value == value)
    };
    let outputs = 1 + usize::from(!payment.change.is_zero());
    let is_signed = match payment.state {
        PaymentState::Reserved | PaymentState::Held | PaymentState::Released => false,
        PaymentState::Signed
        | PaymentState::Broadcast
        | PaymentState::Confirmed
        | PaymentState::Failed => true,
    };
    is_signed
        && payment.inputs.len() == transaction.inputs.len()
        && payment
            .inputs
            .iter()
            .zip(&transaction.inputs)
            .all(|(ours, theirs)| ours.outpoint == *theirs)
        && transaction.outputs.len() == outputs
        && pays(0, &payment.recipient, payment.amount)
        && (payment.change.is_zero() || pays(1, &payment.change_address, payment.change))
}

//! How far nodes are trusted: what operators say of them, and what their payments tell.

use crate::{Registry, RegistryError, known};
use duxnet_store::{Database, Judgement, Node, PaymentPoints, ReputationEvent, Store};
use duxnet_units::NodeId;
use duxnet_wallet::Clock;

/// Wallets' events that one run of the background work looks at.
const PAGE_EVENTS: u32 = 500;

/// What came of what an operator said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// The event.
    pub event: ReputationEvent,
    /// The node, as it is now.
    pub node: Node,
    /// Whether this is the answer to a repeat.
    pub replayed: bool,
}

/// Adds what an operator says of a node. A repeat with the same key changes nothing.
///
/// # Errors
/// [`RegistryError::NodeNotFound`], [`RegistryError::KeyReused`], or database trouble.
pub async fn judge<D: Database>(
    store: &Store<D>,
    judgement: &Judgement,
) -> Result<Judged, RegistryError> {
    known(store, &judgement.node_id).await?;
    let is_new = store.judge(judgement).await?;
    let event = store
        .judgement_by_key(&judgement.operator, &judgement.idempotency_key)
        .await?
        .filter(|event| event.request_hash.as_deref() == Some(judgement.request_hash.as_str()))
        .ok_or(RegistryError::KeyReused)?;
    Ok(Judged {
        event,
        node: known(store, &judgement.node_id).await?,
        replayed: !is_new,
    })
}

/// A node and its events, newest first, older than a row.
///
/// # Errors
/// [`RegistryError::NodeNotFound`], or database trouble.
pub async fn reputation<D: Database>(
    store: &Store<D>,
    node_id: &NodeId,
    before: Option<i64>,
    limit: u32,
) -> Result<(Node, Vec<ReputationEvent>), RegistryError> {
    let node = known(store, node_id).await?;
    let events = store.reputation_events(node_id, before, limit).await?;
    Ok((node, events))
}

impl<D: Database, C: Clock> Registry<'_, D, C> {
    /// Rates nodes by what wallets' events tell since the last run.
    pub(crate) async fn rate_by_payments(&self) -> Result<(), RegistryError> {
        // A look takes no lock; most runs find nothing new.
        if !self.store.has_events_to_rate().await? {
            return Ok(());
        }
        let points = PaymentPoints {
            confirmed: self.rules.reputation_payment_confirmed,
            failed: self.rules.reputation_payment_failed,
            double_spend: self.rules.reputation_double_spend,
            daily_cap: self.rules.reputation_daily_cap,
            min_amount: self.rules.reputation_min_amount,
        };
        Ok(self.store.rate_payments(&points, PAGE_EVENTS).await?)
    }
}

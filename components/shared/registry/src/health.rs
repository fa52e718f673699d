//! How well a node is, from 0 to 100: five factors, each with a weight and a value.
//!
//! The score is the sum of weight times value, over 100, rounded down. What is better never lowers
//! it, and what a node has not done yet - no payment, say - is not held against it, except that one
//! without heartbeat or wallet does not do what nodes are there for.

use crate::{Registry, RegistryError, Rules, known};
use duxnet_store::{Database, HealthFacts, HealthWindow, Node};
use duxnet_units::{NodeId, Timestamp};
use duxnet_wallet::Clock;

/// Nodes that one run of the background work assesses, those assessed longest ago first.
const PAGE_NODES: u32 = 100;
/// Seconds that an assessment is good for.
const GOOD_FOR_SECONDS: u32 = 30;
/// Seconds that the ledger may lag behind the chain node before a wallet counts as not synced.
const SYNCED_SECONDS: i64 = 60;
/// What one late payment takes from the value of its factor.
const LATE_PAYMENT_POINTS: u32 = 25;
/// A value without blemish.
const FULL: u32 = 100;

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FactorName {
    /// The age of the last heartbeat.
    Heartbeat,
    /// Whether there is a wallet that can send, on a ledger that is level with the chain.
    Wallet,
    /// Payments older than expected that have neither confirmed nor failed.
    PendingPayments,
    /// Which part of the window's payments confirmed.
    PaymentSuccess,
    /// Whether ledger and chain node agree.
    Watchdog,
}

impl FactorName {
    /// As shown, and the weight; the weights sum to 100.
    const fn row(self) -> (&'static str, u32) {
        match self {
            FactorName::Heartbeat => ("heartbeat", 30),
            FactorName::Wallet => ("wallet", 20),
            FactorName::PendingPayments => ("pending_payments", 20),
            FactorName::PaymentSuccess => ("payment_success", 20),
            FactorName::Watchdog => ("watchdog", 10),
        }
    }

    /// As shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Its part of the score, of 100.
    #[must_use]
    pub const fn weight(self) -> u32 {
        self.row().1
    }
}

/// One factor of a score.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Factor {
    /// What is looked at.
    pub name: FactorName,
    /// 0 to 100.
    pub value: u32,
    /// What was found, in words.
    pub detail: String,
}

/// A score and what it is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assessment {
    /// 0 to 100.
    pub score: u32,
    /// Every factor.
    pub factors: Vec<Factor>,
}

/// Assesses a node.
#[must_use]
pub fn assess(facts: &HealthFacts, rules: &Rules, now: Timestamp) -> Assessment {
    let factors = vec![
        factor(FactorName::Heartbeat, heartbeat(facts, rules, now)),
        factor(FactorName::Wallet, wallet(facts, now)),
        factor(FactorName::PendingPayments, pending(facts, rules)),
        factor(FactorName::PaymentSuccess, success(facts, rules)),
        factor(FactorName::Watchdog, watchdog(facts)),
    ];
    let sum: u32 = factors.iter().map(|f| f.name.weight() * f.value).sum();
    Assessment {
        score: sum / FULL,
        factors,
    }
}

fn factor(name: FactorName, (value, detail): (u32, String)) -> Factor {
    Factor {
        name,
        value: value.min(FULL),
        detail,
    }
}

/// Seconds since; a time ahead of the clock is now.
fn age(at: Timestamp, now: Timestamp) -> i64 {
    now.unix_seconds().saturating_sub(at.unix_seconds()).max(0)
}

/// Full until a node is stale, then falling to nothing when it is offline.
fn heartbeat(facts: &HealthFacts, rules: &Rules, now: Timestamp) -> (u32, String) {
    let Some(at) = facts.heartbeat_at else {
        return (0, "no heartbeat yet".to_owned());
    };
    let (age, stale, offline) = (
        age(at, now),
        i64::from(rules.heartbeat_stale_after),
        i64::from(rules.heartbeat_offline_after),
    );
    let value = if age < stale {
        FULL
    } else {
        let left = offline.saturating_sub(age).max(0);
        let span = offline.saturating_sub(stale).max(1);
        u32::try_from(i64::from(FULL) * left / span).unwrap_or(FULL)
    };
    (value, format!("last heartbeat {age} s ago"))
}

fn wallet(facts: &HealthFacts, now: Timestamp) -> (u32, String) {
    let Some(wallet) = facts.wallet else {
        return (0, "no wallet".to_owned());
    };
    if !wallet.is_active {
        return (0, "the wallet cannot send".to_owned());
    }
    match facts.service.synced_at {
        None => (
            FULL / 2,
            "the ledger was never level with the chain node".to_owned(),
        ),
        Some(at) if age(at, now) > SYNCED_SECONDS => (
            FULL / 2,
            format!(
                "the ledger was last level with the chain node {} s ago",
                age(at, now)
            ),
        ),
        Some(_) => (FULL, "present and synced".to_owned()),
    }
}

fn pending(facts: &HealthFacts, rules: &Rules) -> (u32, String) {
    let late = facts.wallet.map_or(0, |wallet| wallet.late_payments);
    (
        FULL.saturating_sub(late.saturating_mul(LATE_PAYMENT_POINTS)),
        format!(
            "{late} payments wait for longer than {} s",
            rules.payment_patience
        ),
    )
}

fn success(facts: &HealthFacts, rules: &Rules) -> (u32, String) {
    let (confirmed, failed) = facts.wallet.map_or((0, 0), |wallet| {
        (wallet.confirmed_payments, wallet.failed_payments)
    });
    let all = u64::from(confirmed) + u64::from(failed);
    if all == 0 {
        return (
            FULL,
            format!("no payments in the last {} s", rules.health_window),
        );
    }
    let value = u64::from(confirmed) * u64::from(FULL) / all;
    (
        u32::try_from(value).unwrap_or(FULL),
        format!(
            "{confirmed} of {all} payments of the last {} s confirmed",
            rules.health_window
        ),
    )
}

fn watchdog(facts: &HealthFacts) -> (u32, String) {
    let service = &facts.service;
    if service.sends_stopped {
        return (0, "payments are stopped".to_owned());
    }
    match service.watchdog_drift {
        Some(drift) if !drift.is_zero() => (
            FULL / 2,
            "ledger and chain node disagree within what is allowed".to_owned(),
        ),
        Some(_) => (FULL, "ledger and chain node agree".to_owned()),
        None => (FULL, "not compared yet".to_owned()),
    }
}

impl<D: Database, C: Clock> Registry<'_, D, C> {
    /// A node, and its health as it is at this moment.
    ///
    /// # Errors
    /// [`RegistryError::NodeNotFound`], or database trouble.
    pub async fn health(&self, node_id: &NodeId) -> Result<(Node, Assessment), RegistryError> {
        let not_found = || RegistryError::NodeNotFound(node_id.clone());
        let facts = self.store.health_facts(node_id, self.window()).await?;
        let (_, facts) = facts.ok_or_else(not_found)?;
        let node = known(self.store, node_id).await?;
        Ok((node, assess(&facts, self.rules, self.clock.now())))
    }

    /// Assesses one node and stores its score.
    pub(crate) async fn assess_node(&self, node_id: &NodeId) -> Result<(), RegistryError> {
        let found = self.store.health_facts(node_id, self.window()).await?;
        self.store_scores(found.into_iter().collect()).await
    }

    /// Assesses the nodes that were assessed longest ago.
    pub(crate) async fn assess_nodes(&self) -> Result<(), RegistryError> {
        let (until, now) = (self.before(GOOD_FOR_SECONDS), self.clock.now());
        let due = self
            .store
            .due_for_assessment(self.window(), until, now, PAGE_NODES)
            .await?;
        self.store_scores(due).await
    }

    async fn store_scores(&self, found: Vec<(i64, HealthFacts)>) -> Result<(), RegistryError> {
        if found.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let scores: Vec<(i64, u32)> = found
            .iter()
            .map(|(id, facts)| (*id, assess(facts, self.rules, now).score))
            .collect();
        Ok(self.store.store_health(&scores, now).await?)
    }

    fn window(&self) -> HealthWindow {
        HealthWindow {
            late_before: self.before(self.rules.payment_patience),
            since: self.before(self.rules.health_window),
        }
    }
}

#[cfg(test)]
mod tests;

//! What a node's health is judged by, and the scores.

use crate::row::Columns;
use crate::{Database, Row, Store, StoreError};
use duxnet_units::{Amount, NodeId, Timestamp};

/// The wallet as far as health goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalletFacts {
    /// Whether it may send.
    pub is_active: bool,
    /// Payments that were made long ago and have neither confirmed nor failed.
    pub late_payments: u32,
    /// Payments of the window that confirmed.
    pub confirmed_payments: u32,
    /// Payments of the window that failed, but for those that the service did not get as far as the
    /// chain node.
    pub failed_payments: u32,
}

/// The whole service as far as health goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceFacts {
    /// When the ledger was last level with the chain node.
    pub synced_at: Option<Timestamp>,
    /// What the watchdog's last round found; none before its first.
    pub watchdog_drift: Option<Amount>,
    /// Whether payments are stopped.
    pub sends_stopped: bool,
}

/// Everything that a node's health is judged by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthFacts {
    /// Its last heartbeat.
    pub heartbeat_at: Option<Timestamp>,
    /// Its wallet; none: it has none.
    pub wallet: Option<WalletFacts>,
    /// What all nodes share.
    pub service: ServiceFacts,
}

/// Since when payments count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthWindow {
    /// Made before and unsettled: late.
    pub late_before: Timestamp,
    /// Made since: they count for the rate of success.
    pub since: Timestamp,
}

/// What is left of a wallet's window is read by wallet and time; the plus keeps the index by state,
/// which would read the past of all wallets, out of it. A payment that waits for an operator, or
/// was let go by one, is not late before it was signed, and a frozen wallet is as good as none.
const FACTS: &str = "SELECT n.id, n.heartbeat_at, w.is_active AND w.frozen_at IS NULL,
    (SELECT COUNT(*) FROM payments AS p WHERE p.wallet_id = w.id
        AND p.state IN ('reserved', 'signed', 'broadcast') AND (p.review = '' OR p.state <> 'reserved')
        AND +COALESCE(CASE p.review WHEN 'released' THEN p.signed_at END, p.created_at) < ?1),
    (SELECT COUNT(*) FROM payments AS p WHERE p.wallet_id = w.id AND p.created_at >= ?2 AND +p.state = 'confirmed'),
    (SELECT COUNT(*) FROM payments AS p WHERE p.wallet_id = w.id AND p.created_at >= ?2 AND +p.state = 'failed'
        AND p.failure NOT IN ('abandoned', 'not_signed', 'chain_unreachable')),
    s.synced_at, s.watchdog_drift, s.sends_stopped_at IS NOT NULL
    FROM nodes AS n LEFT JOIN wallets AS w ON w.node_id = n.node_id JOIN chain_state AS s ON s.id = 1";

fn read(row: Row) -> Result<(i64, HealthFacts), StoreError> {
    let mut columns = Columns::of(row);
    let id = columns.integer("nodes.id")?;
    let heartbeat_at = columns.optional_time("nodes.heartbeat_at")?;
    let is_active = columns.optional_integer("wallets.is_active")?;
    let counts = [
        columns.small("payments")?,
        columns.small("payments")?,
        columns.small("payments")?,
    ];
    let facts = HealthFacts {
        heartbeat_at,
        wallet: is_active.map(|is_active| WalletFacts {
            is_active: is_active != 0,
            late_payments: counts[0],
            confirmed_payments: counts[1],
            failed_payments: counts[2],
        }),
        service: ServiceFacts {
            synced_at: columns.optional_time("chain_state.synced_at")?,
            watchdog_drift: columns.optional_amount("chain_state.watchdog_drift")?,
            sends_stopped: columns.integer("chain_state.sends_stopped_at")? != 0,
        },
    };
    Ok((id, facts))
}

impl<D: Database> Store<D> {
    /// What one node's health is judged by, and its row; none for an unknown one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn health_facts(
        &self,
        node_id: &NodeId,
        window: HealthWindow,
    ) -> Result<Option<(i64, HealthFacts)>, StoreError> {
        self.first(
            &format!("{FACTS} WHERE n.node_id = ?3"),
            vec![
                window.late_before.unix_seconds().into(),
                window.since.unix_seconds().into(),
                node_id.as_str().into(),
            ],
        )
        .await?
        .map(read)
        .transpose()
    }

    /// The same for the nodes whose health was assessed longest ago, `until` then or before; also
    /// for those that were, by the clock, assessed after `now`: it was set back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn due_for_assessment(
        &self,
        window: HealthWindow,
        until: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(i64, HealthFacts)>, StoreError> {
        self.database
            .query(
                &format!(
                    "{FACTS} WHERE n.id IN (
                        SELECT id FROM (
                            SELECT id FROM nodes WHERE status <> 'deregistered' AND health_at <= ?3
                            ORDER BY health_at LIMIT ?5
                        )
                        UNION ALL SELECT id FROM (
                            SELECT id FROM nodes WHERE status <> 'deregistered' AND health_at > ?4 LIMIT ?5
                        )
                     )"
                ),
                vec![
                    window.late_before.unix_seconds().into(),
                    window.since.unix_seconds().into(),
                    until.unix_seconds().into(),
                    now.unix_seconds().into(),
                    limit.into(),
                ],
            )
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    /// Stores scores (0 to 100) of nodes (their rows).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn store_health(
        &self,
        scores: &[(i64, u32)],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.database
            .query(
                "UPDATE nodes SET health = score.value ->> 1, health_at = ?2
                 FROM json_each(?1) AS score WHERE nodes.id = score.value ->> 0",
                vec![
                    serde_json::to_string(scores).unwrap_or_default().into(),
                    at.unix_seconds().into(),
                ],
            )
            .await?;
        Ok(())
    }
}

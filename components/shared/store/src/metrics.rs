//! Figures for monitoring, cheap enough to be asked for every few seconds.

use crate::row::Columns;
use crate::{Database, Store, StoreError};
use duxnet_units::Timestamp;

/// One figure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Of what.
    pub name: String,
    /// Which of them; empty for the only one.
    pub label: String,
    /// How many.
    pub value: i64,
}

const SAMPLES: &str = "
    SELECT name, label, value FROM metric_totals
    UNION ALL SELECT 'nodes', status, COUNT(*) FROM nodes GROUP BY status
    UNION ALL SELECT 'wallets', '', COUNT(*) FROM wallets
    UNION ALL SELECT 'wallets_florins', 'available', COALESCE(SUM(balance), 0) FROM wallets
    UNION ALL SELECT 'wallets_florins', 'confirmed', COALESCE(SUM(confirmed), 0) FROM wallets
    UNION ALL SELECT 'wallets_florins', 'pending', COALESCE(SUM(pending), 0) FROM wallets
    UNION ALL SELECT 'wallets_florins', 'reserved', COALESCE(SUM(reserved), 0) FROM wallets
    UNION ALL SELECT 'wallets_frozen', '', COUNT(*) FROM wallets WHERE frozen_at IS NOT NULL
    UNION ALL SELECT 'failed_signatures', 'node', failed_signatures FROM monitor_state
    UNION ALL SELECT 'failed_signatures', 'stranger', strangers_signatures FROM monitor_state
    UNION ALL SELECT 'webhook_deliveries', '', COUNT(*) FROM webhook_deliveries WHERE status = 'pending'
    UNION ALL SELECT 'peers', state, COUNT(*) FROM peers GROUP BY state
    UNION ALL SELECT 'peer_outbox', '', COUNT(*) FROM peer_outbox
    UNION ALL SELECT 'address_pool', '', COUNT(*) FROM address_pool
    UNION ALL SELECT 'ledger_height', '', height FROM chain_state WHERE height IS NOT NULL
    UNION ALL SELECT 'chain_height', '', tip_height FROM chain_state WHERE tip_height IS NOT NULL
    UNION ALL SELECT 'lag_blocks', '', MAX(tip_height - height, 0) FROM chain_state
        WHERE tip_height IS NOT NULL AND height IS NOT NULL
    UNION ALL SELECT 'ledger_age', '', MAX(?1 - synced_at, 0) FROM chain_state WHERE synced_at IS NOT NULL
    UNION ALL SELECT 'drift_florins', '', watchdog_drift FROM chain_state WHERE watchdog_drift IS NOT NULL
    UNION ALL SELECT 'watchdog_age', '', MAX(?1 - watchdog_at, 0) FROM chain_state WHERE watchdog_at IS NOT NULL
    UNION ALL SELECT 'sends_stopped', '', sends_stopped_at IS NOT NULL FROM chain_state
";

const NODE_SAMPLES: &str = "
    SELECT 'node_online', node_id, status = 'online' FROM nodes WHERE deregistered_at IS NULL
    UNION ALL SELECT 'node_health', node_id, health FROM nodes WHERE deregistered_at IS NULL AND health IS NOT NULL
    UNION ALL SELECT 'node_reputation', node_id, reputation FROM nodes WHERE deregistered_at IS NULL
";

impl<D: Database> Store<D> {
    /// The figures of the whole service.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn samples(&self, at: Timestamp) -> Result<Vec<Sample>, StoreError> {
        let rows = self
            .database
            .query(SAMPLES, vec![at.unix_seconds().into()])
            .await?;
        read(rows)
    }

    /// The figures of each node.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn node_samples(&self) -> Result<Vec<Sample>, StoreError> {
        read(self.database.query(NODE_SAMPLES, Vec::new()).await?)
    }
}

fn read(rows: Vec<crate::Row>) -> Result<Vec<Sample>, StoreError> {
    rows.into_iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok(Sample {
                name: columns.text("sample.name")?,
                label: columns.text("sample.label")?,
                value: columns.integer("sample.value")?,
            })
        })
        .collect()
}

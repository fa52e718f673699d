//! Signs of life, and what their age makes of a node.

use crate::signatures::columns;
use crate::{Database, SignatureUse, Store, StoreError};
use duxnet_units::{NodeId, Timestamp};
use serde::{Deserialize, Serialize};

/// What a node says of itself; each part may be absent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Thousandths of one busy core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_permille: Option<u32>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used: Option<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_total: Option<u64>,
    /// Since the node started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<u64>,
    /// Of the node's program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What a heartbeat's age makes of a node: the only place that says so. ?1 and older is stale, ?2 and older is
/// offline; a heartbeat that is ahead of the clock is young.
const STATUS_OF_AGE: &str = "CASE WHEN heartbeat_at <= ?2 THEN 'offline' WHEN heartbeat_at <= ?1 THEN 'stale' ELSE 'online' END";

impl<D: Database> Store<D> {
    /// Takes a heartbeat in: the node is online. False for one that is unknown or has left.
    ///
    /// # Errors
    /// [`StoreError::Replayed`] and others.
    pub async fn note_heartbeat(
        &self,
        node_id: &NodeId,
        heartbeat: &Heartbeat,
        at: Timestamp,
        signature: Option<&SignatureUse>,
    ) -> Result<bool, StoreError> {
        let [hash, expires_at] = columns(signature);
        let rows = self
            .database
            .query(
                "UPDATE nodes SET heartbeat_at = ?, heartbeat = ?, status = 'online',
                    signature_hash = ?, signature_expires_at = ?
                 WHERE node_id = ? AND status <> 'deregistered' RETURNING id",
                vec![
                    at.unix_seconds().into(),
                    serde_json::to_string(heartbeat).unwrap_or_default().into(),
                    hash,
                    expires_at,
                    node_id.as_str().into(),
                ],
            )
            .await
            .map_err(StoreError::from_signed)?;
        Ok(!rows.is_empty())
    }

    /// Brings at most `limit` statuses level with the age of their heartbeats; gives how many there were. Only
    /// those that differ are read: each part of the union is a range of an index.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn age_nodes(
        &self,
        stale_until: Timestamp,
        offline_until: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        let changed = self
            .database
            .query(
                &format!(
                    "UPDATE nodes SET status = {STATUS_OF_AGE} WHERE id IN (
                        SELECT id FROM nodes WHERE status = 'online' AND heartbeat_at <= ?1
                        UNION ALL SELECT id FROM nodes WHERE status = 'stale' AND heartbeat_at <= ?2
                        UNION ALL SELECT id FROM nodes WHERE status = 'stale' AND heartbeat_at > ?1
                        UNION ALL SELECT id FROM nodes WHERE status = 'offline' AND heartbeat_at > ?2
                        LIMIT ?3
                     ) RETURNING id"
                ),
                vec![
                    stale_until.unix_seconds().into(),
                    offline_until.unix_seconds().into(),
                    limit.into(),
                ],
            )
            .await?;
        Ok(u32::try_from(changed.len()).unwrap_or(limit))
    }
}

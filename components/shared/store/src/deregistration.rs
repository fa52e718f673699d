//! Leaving: a state of the node, and the end of its wallet's sends.

use crate::row::{Columns, corrupt};
use crate::signatures::columns;
use crate::{Database, SignatureUse, Store, StoreError, Value};
use duxnet_units::{NodeId, NodeStatus, Timestamp};

/// Whether a node is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registration {
    /// As it is now.
    pub status: NodeStatus,
    /// Once it has left.
    pub deregistered_at: Option<Timestamp>,
}

/// What came of a deregistration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deregistration {
    /// The node has left just now, and its wallet is inactive.
    Left,
    /// It is unknown, or had left before.
    NotThere,
    /// Its wallet holds something: nothing changed.
    WalletNotEmpty,
}

impl<D: Database> Store<D> {
    /// Whether a node is there; none for one that never was.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn registration(&self, node_id: &NodeId) -> Result<Option<Registration>, StoreError> {
        let sql = "SELECT status, deregistered_at FROM nodes WHERE node_id = ?";
        let Some(row) = self.first(sql, vec![node_id.as_str().into()]).await? else {
            return Ok(None);
        };
        let mut columns = Columns::of(row);
        let status = columns.text("nodes.status")?;
        Ok(Some(Registration {
            status: NodeStatus::from_name(&status)
                .ok_or_else(|| corrupt("nodes.status", &Value::Text(status)))?,
            deregistered_at: columns.optional_time("nodes.deregistered_at")?,
        }))
    }

    /// Deregisters a node whose wallet holds nothing, in one step with the look at it.
    ///
    /// # Errors
    /// [`StoreError::Replayed`] and others.
    pub async fn deregister_node(
        &self,
        node_id: &NodeId,
        at: Timestamp,
        signature: Option<&SignatureUse>,
    ) -> Result<Deregistration, StoreError> {
        let [hash, expires_at] = columns(signature);
        let result = self
            .database
            .query(
                "UPDATE nodes SET status = 'deregistered', deregistered_at = ?1, updated_at = ?1,
                    signature_hash = ?2, signature_expires_at = ?3
                 WHERE node_id = ?4 AND status <> 'deregistered' RETURNING id",
                vec![
                    at.unix_seconds().into(),
                    hash,
                    expires_at,
                    node_id.as_str().into(),
                ],
            )
            .await;
        match result {
            Ok(rows) if rows.is_empty() => Ok(Deregistration::NotThere),
            Ok(_) => Ok(Deregistration::Left),
            Err(error) if error.violates("wallet_not_empty") => Ok(Deregistration::WalletNotEmpty),
            Err(error) => Err(StoreError::from_signed(error)),
        }
    }

    /// Whether an address is one of this wallet's.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn wallet_has_address(
        &self,
        wallet_id: i64,
        address: &str,
    ) -> Result<bool, StoreError> {
        self.changed(
            "SELECT 1 FROM addresses WHERE address = ? AND wallet_id = ?",
            vec![address.into(), wallet_id.into()],
        )
        .await
    }
}

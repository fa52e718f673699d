//! Leaving: a state of the node, and the end of its wallet's sends.

use crate::row::{Columns, corrupt};
use crate::signatures::columns;
use crate::{Database, SignatureUse, Store, StoreError, Value};
use duxnet_units::{NodeId, NodeStatus, Timestamp};

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

    /// Where a node stands, and when it left; none for an unknown one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn node_standing(
        &self,
        node_id: &NodeId,
    ) -> Result<Option<(NodeStatus, Option<Timestamp>)>, StoreError> {
        let row = self
            .first(
                "SELECT status, deregistered_at FROM nodes WHERE node_id = ?",
                vec![node_id.as_str().into()],
            )
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let mut columns = Columns::of(row);
        let name = columns.text("nodes.status")?;
        let status = NodeStatus::from_name(&name)
            .ok_or_else(|| corrupt("nodes.status", &Value::Text(name)))?;
        Ok(Some((
            status,
            columns.optional_time("nodes.deregistered_at")?,
        )))
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

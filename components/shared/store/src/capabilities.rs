//! What nodes can do: each node's own list, and how many nodes can do what.

use crate::nodes::names;
use crate::row::Columns;
use crate::signatures::columns;
use crate::{Database, SignatureUse, Store, StoreError};
use duxnet_units::{Capability, NodeId, Timestamp};

/// What happens to a node's list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CapabilityChange {
    /// What is named comes to it; what is there already stays.
    Add,
    /// It becomes what is named.
    Replace,
    /// What is named leaves it; what is not there is left as it is.
    Remove,
}

/// How many nodes can do something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CapabilityCount {
    /// What.
    pub capability: String,
    /// Nodes that have not left.
    pub nodes: u32,
    /// Those of them that are online.
    pub online: u32,
}

impl<D: Database> Store<D> {
    /// Changes a node's list; false for a node that is unknown or has left.
    ///
    /// # Errors
    /// [`StoreError::TooManyCapabilities`], [`StoreError::Replayed`] and others.
    pub async fn change_capabilities(
        &self,
        node_id: &NodeId,
        change: CapabilityChange,
        named: &[Capability],
        at: Timestamp,
        signature: Option<&SignatureUse>,
    ) -> Result<bool, StoreError> {
        let [hash, expires_at] = columns(signature);
        let list = match change {
            CapabilityChange::Add => {
                "SELECT value FROM json_each(declared_capabilities) UNION SELECT value FROM json_each(?1)"
            }
            CapabilityChange::Replace => "SELECT value FROM json_each(?1)",
            CapabilityChange::Remove => {
                "SELECT value FROM json_each(declared_capabilities) EXCEPT SELECT value FROM json_each(?1)"
            }
        };
        let rows = self
            .database
            .query(
                &format!(
                    "UPDATE nodes SET declared_capabilities = (SELECT json_group_array(value) FROM ({list})),
                        updated_at = ?2, signature_hash = ?3, signature_expires_at = ?4
                     WHERE node_id = ?5 AND status <> 'deregistered' RETURNING id"
                ),
                vec![
                    names(Some(named.iter().map(Capability::as_str))),
                    at.unix_seconds().into(),
                    hash,
                    expires_at,
                    node_id.as_str().into(),
                ],
            )
            .await
            .map_err(StoreError::from_signed)?;
        Ok(!rows.is_empty())
    }

    /// How many nodes can do what, by name, after a name.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn capability_counts(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<CapabilityCount>, StoreError> {
        self.database
            .query(
                "SELECT c.capability, COUNT(*), SUM(n.status = 'online')
                 FROM node_capabilities AS c JOIN nodes AS n ON n.node_id = c.node_id
                 WHERE c.capability > ? AND n.status <> 'deregistered'
                 GROUP BY c.capability ORDER BY c.capability LIMIT ?",
                vec![after.unwrap_or_default().into(), limit.into()],
            )
            .await?
            .into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(CapabilityCount {
                    capability: columns.text("node_capabilities.capability")?,
                    nodes: columns.small("count")?,
                    online: columns.small("online")?,
                })
            })
            .collect()
    }
}

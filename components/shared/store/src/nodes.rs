//! Registered nodes.

use crate::row::Columns;
use crate::signatures::columns;
use crate::{Database, Row, SignatureUse, Store, StoreError, Value};
use duxnet_units::{Capability, NodeId, Timestamp};

/// A node as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// The row, for cursors.
    pub id: i64,
    /// Its id.
    pub node_id: NodeId,
    /// Lower-case hex; none where requests are not signed.
    pub public_key: Option<String>,
    /// Where it listens.
    pub address: Option<String>,
    /// What it can do, sorted.
    pub capabilities: Vec<String>,
    /// `registered`.
    pub status: String,
    /// First registration.
    pub created_at: Timestamp,
    /// Last registration.
    pub updated_at: Timestamp,
}

/// What a registration writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeChange {
    /// Whose.
    pub node_id: NodeId,
    /// The key from now on.
    pub public_key: Option<String>,
    /// None keeps what is known.
    pub address: Option<String>,
    /// None keeps what is known.
    pub capabilities: Option<Vec<Capability>>,
    /// Now.
    pub at: Timestamp,
    /// The request's signature.
    pub signature: Option<SignatureUse>,
}

const COLUMNS: &str = "nodes.id, nodes.node_id, public_key, address, status, created_at, updated_at,
    (SELECT json_group_array(capability) FROM
        (SELECT capability FROM node_capabilities c WHERE c.node_id = nodes.node_id ORDER BY capability))";

fn read(row: Row) -> Result<Node, StoreError> {
    let mut columns = Columns::of(row);
    Ok(Node {
        id: columns.integer("nodes.id")?,
        node_id: columns.node_id("nodes.node_id")?,
        public_key: columns.optional_text("nodes.public_key")?,
        address: columns.optional_text("nodes.address")?,
        status: columns.text("nodes.status")?,
        created_at: columns.time("nodes.created_at")?,
        updated_at: columns.time("nodes.updated_at")?,
        capabilities: {
            let json = columns.text("node_capabilities")?;
            serde_json::from_str(&json).map_err(|_| StoreError::Corrupt {
                column: "node_capabilities",
                value: json,
            })?
        },
    })
}

fn declared(capabilities: Option<&Vec<Capability>>) -> Value {
    capabilities
        .map(|list| {
            let names: Vec<&str> = list.iter().map(Capability::as_str).collect();
            serde_json::to_string(&names).unwrap_or_else(|_| "[]".into())
        })
        .into()
}

impl<D: Database> Store<D> {
    /// One node.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn node(&self, node_id: &NodeId) -> Result<Option<Node>, StoreError> {
        self.first(
            &format!("SELECT {COLUMNS} FROM nodes WHERE node_id = ?"),
            vec![node_id.as_str().into()],
        )
        .await?
        .map(read)
        .transpose()
    }

    /// The key that a node's requests are checked with: none for an unknown node, `Some(None)` for
    /// one without a key.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn node_key(&self, node_id: &NodeId) -> Result<Option<Option<String>>, StoreError> {
        self.first(
            "SELECT public_key FROM nodes WHERE node_id = ?",
            vec![node_id.as_str().into()],
        )
        .await?
        .map(|row| Columns::of(row).optional_text("nodes.public_key"))
        .transpose()
    }

    /// Nodes after a row id, oldest first, of one capability if asked.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn nodes(
        &self,
        after: Option<i64>,
        capability: Option<&Capability>,
        limit: u32,
    ) -> Result<Vec<Node>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM nodes WHERE id > ?1 AND (?2 IS NULL OR EXISTS
                (SELECT 1 FROM node_capabilities c WHERE c.node_id = nodes.node_id AND c.capability = ?2))
             ORDER BY id LIMIT ?3"
        );
        let parameters = vec![
            after.unwrap_or(0).into(),
            capability.map(Capability::as_str).into(),
            limit.into(),
        ];
        self.database
            .query(&sql, parameters)
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    /// Adds a node; false when the id is taken, then nothing changes.
    ///
    /// # Errors
    /// [`StoreError::Replayed`] and others.
    pub async fn insert_node(&self, change: &NodeChange) -> Result<bool, StoreError> {
        let [hash, expires_at] = columns(change.signature.as_ref());
        let at = Value::from(change.at.unix_seconds());
        let rows = self
            .database
            .query(
                "INSERT INTO nodes (node_id, public_key, address, declared_capabilities, created_at, updated_at,
                    signature_hash, signature_expires_at)
                 VALUES (?, ?, ?, COALESCE(?, '[]'), ?, ?, ?, ?)
                 ON CONFLICT (node_id) DO NOTHING RETURNING id",
                vec![
                    change.node_id.as_str().into(),
                    change.public_key.clone().into(),
                    change.address.clone().into(),
                    declared(change.capabilities.as_ref()),
                    at.clone(),
                    at,
                    hash,
                    expires_at,
                ],
            )
            .await
            .map_err(StoreError::from_signed)?;
        Ok(!rows.is_empty())
    }

    /// Changes a node whose key is still `current_key`; false when it is not, then nothing changes.
    ///
    /// # Errors
    /// [`StoreError::Replayed`] and others.
    pub async fn update_node(
        &self,
        change: &NodeChange,
        current_key: Option<&str>,
    ) -> Result<bool, StoreError> {
        let [hash, expires_at] = columns(change.signature.as_ref());
        let rows = self
            .database
            .query(
                "UPDATE nodes SET public_key = ?, address = COALESCE(?, address),
                    declared_capabilities = COALESCE(?, declared_capabilities), updated_at = ?,
                    signature_hash = ?, signature_expires_at = ?
                 WHERE node_id = ? AND public_key IS ? RETURNING id",
                vec![
                    change.public_key.clone().into(),
                    change.address.clone().into(),
                    declared(change.capabilities.as_ref()),
                    change.at.unix_seconds().into(),
                    hash,
                    expires_at,
                    change.node_id.as_str().into(),
                    current_key.into(),
                ],
            )
            .await
            .map_err(StoreError::from_signed)?;
        Ok(!rows.is_empty())
    }
}

//! Registered nodes.

use crate::heartbeats::Heartbeat;
use crate::row::{Columns, corrupt};
use crate::signatures::columns;
use crate::{Database, Row, SignatureUse, Store, StoreError, Value};
use duxnet_units::{Capability, NodeId, NodeStatus, Share, Timestamp};

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
    /// By the heartbeat's age.
    pub status: NodeStatus,
    /// First registration.
    pub created_at: Timestamp,
    /// Last registration.
    pub updated_at: Timestamp,
    /// 0 to 100; none before it is first assessed.
    pub health: Option<u32>,
    /// 0 to 100.
    pub reputation: u32,
    /// When it last sent one.
    pub heartbeat_at: Option<Timestamp>,
    /// What that said.
    pub heartbeat: Option<Heartbeat>,
    /// What peers may be told of its wallet.
    pub share: Vec<Share>,
    /// When it left.
    pub deregistered_at: Option<Timestamp>,
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
    /// None keeps what is known.
    pub share: Option<Vec<Share>>,
    /// Now.
    pub at: Timestamp,
    /// The request's signature.
    pub signature: Option<SignatureUse>,
}

pub(crate) const COLUMNS: &str =
    "nodes.id, nodes.node_id, public_key, address, status, created_at, updated_at, health,
    reputation, heartbeat_at, heartbeat, share, deregistered_at,
    (SELECT json_group_array(capability) FROM
        (SELECT capability FROM node_capabilities c WHERE c.node_id = nodes.node_id ORDER BY capability))";

pub(crate) fn read(row: Row) -> Result<Node, StoreError> {
    let mut columns = Columns::of(row);
    Ok(Node {
        id: columns.integer("nodes.id")?,
        node_id: columns.node_id("nodes.node_id")?,
        public_key: columns.optional_text("nodes.public_key")?,
        address: columns.optional_text("nodes.address")?,
        status: {
            let name = columns.text("nodes.status")?;
            NodeStatus::from_name(&name)
                .ok_or_else(|| corrupt("nodes.status", &Value::Text(name)))?
        },
        created_at: columns.time("nodes.created_at")?,
        updated_at: columns.time("nodes.updated_at")?,
        health: columns.optional_small("nodes.health")?,
        reputation: columns.small("nodes.reputation")?,
        heartbeat_at: columns.optional_time("nodes.heartbeat_at")?,
        heartbeat: columns
            .optional_text("nodes.heartbeat")?
            .map(|json| parsed("nodes.heartbeat", json))
            .transpose()?,
        share: {
            let json = columns.text("nodes.share")?;
            let names: Vec<String> = parsed("nodes.share", json)?;
            names
                .into_iter()
                .map(|name| {
                    Share::from_name(&name)
                        .ok_or_else(|| corrupt("nodes.share", &Value::Text(name)))
                })
                .collect::<Result<_, _>>()?
        },
        deregistered_at: columns.optional_time("nodes.deregistered_at")?,
        capabilities: parsed("node_capabilities", columns.text("node_capabilities")?)?,
    })
}

fn parsed<T: serde::de::DeserializeOwned>(
    column: &'static str,
    json: String,
) -> Result<T, StoreError> {
    serde_json::from_str(&json).map_err(|_| corrupt(column, &Value::Text(json)))
}

/// A JSON list of names as a parameter; null for none.
pub(crate) fn names<'a>(list: Option<impl Iterator<Item = &'a str>>) -> Value {
    list.map(|list| {
        serde_json::to_string(&list.collect::<Vec<_>>()).unwrap_or_else(|_| "[]".into())
    })
    .into()
}

fn declared(change: &NodeChange) -> Value {
    names(
        change
            .capabilities
            .as_ref()
            .map(|list| list.iter().map(Capability::as_str)),
    )
}

fn shared(change: &NodeChange) -> Value {
    names(
        change
            .share
            .as_ref()
            .map(|list| list.iter().map(|share| share.name())),
    )
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
                "INSERT INTO nodes (node_id, public_key, address, declared_capabilities, share, created_at, updated_at,
                    signature_hash, signature_expires_at)
                 VALUES (?, ?, ?, COALESCE(?, '[]'), COALESCE(?, '[]'), ?, ?, ?, ?)
                 ON CONFLICT (node_id) DO NOTHING RETURNING id",
                vec![
                    change.node_id.as_str().into(),
                    change.public_key.clone().into(),
                    change.address.clone().into(),
                    declared(change),
                    shared(change),
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
    /// One that had left is back, as if it had not sent a heartbeat yet, and its wallet is active.
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
                    declared_capabilities = COALESCE(?, declared_capabilities),
                    share = COALESCE(?, share), updated_at = ?,
                    status = CASE status WHEN 'deregistered' THEN 'registered' ELSE status END,
                    heartbeat_at = CASE status WHEN 'deregistered' THEN NULL ELSE heartbeat_at END,
                    heartbeat = CASE status WHEN 'deregistered' THEN NULL ELSE heartbeat END,
                    deregistered_at = NULL,
                    signature_hash = ?, signature_expires_at = ?
                 WHERE node_id = ? AND public_key IS ? RETURNING id",
                vec![
                    change.public_key.clone().into(),
                    change.address.clone().into(),
                    declared(change),
                    shared(change),
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

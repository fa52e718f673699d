//! Other registries: who they are, what they say, and what is shown of both.

use crate::row::Columns;
use crate::signatures::columns;
use crate::{Database, Row, SignatureUse, Store, StoreError};
use duxnet_units::{NodeId, Timestamp};

/// Another registry, as a request of its or a message of its is checked with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownPeer {
    /// Where it can be reached.
    pub address: String,
    /// Lower-case hex.
    pub public_key: String,
    /// `static`, `joined`, `invited` or `exchange`.
    pub source: String,
    /// `joining`, `active`, `parked`, `gone`, `blocked` or `leaving`.
    pub state: String,
}

/// A message about a node, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerMessage {
    /// The registry that says it.
    pub origin: NodeId,
    /// `node`, `health`, `wallet`, `transaction` or `balance`.
    pub topic: &'static str,
    /// About which node.
    pub node_id: NodeId,
    /// Which of several; else empty.
    pub reference: String,
    /// Unix seconds, by the origin's clock.
    pub said_at: i64,
    /// The origin's id of it.
    pub message_id: String,
    /// JSON; none when the origin takes it back.
    pub body: Option<String>,
    /// As signed.
    pub envelope: String,
    /// How often it was passed on before.
    pub hops: u32,
    /// Who brought it.
    pub received_from: NodeId,
    /// Now.
    pub at: Timestamp,
}

/// What a message between two registries changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerWord {
    /// Who says it.
    pub peer_id: NodeId,
    /// Its id of the message.
    pub message_id: String,
    /// `hello`, `goodbye`, `ping`, `pong` or `peers`.
    pub kind: &'static str,
    /// As the view `peer_hear` has it.
    pub data: String,
    /// Now.
    pub at: Timestamp,
}

/// An invited registry's first hello.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// SHA-256 of the invitation's token.
    pub token_hash: String,
    /// Its id.
    pub peer_id: NodeId,
    /// Where it can be reached.
    pub address: String,
    /// Lower-case hex.
    pub public_key: String,
    /// Its id of the message.
    pub message_id: String,
    /// Of the request.
    pub signature: SignatureUse,
    /// Now.
    pub at: Timestamp,
}

/// What became of a [`Welcome`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Welcomed {
    /// The registry is a peer now.
    In,
    /// The invitation is used, expired or unknown.
    NotInvited,
    /// There are as many peers as there may be, or one of that id.
    Full,
}

/// A peer as an operator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the table's")]
pub struct PeerRow {
    pub id: i64,
    pub peer_id: NodeId,
    pub address: String,
    pub public_key: String,
    pub source: String,
    pub state: String,
    pub seen_at: Option<Timestamp>,
    pub sent_at: Option<Timestamp>,
    pub failures: u32,
    pub next_try_at: Timestamp,
    /// Reports that wait to be sent.
    pub queued: u32,
    /// Whether it is still being told what was there before it came.
    pub is_syncing: bool,
    /// JSON object: what was refused of it, how often.
    pub refused: String,
    pub created_at: Timestamp,
    pub created_by: Option<String>,
}

/// What a registry said of one of its nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reported {
    /// The row, for cursors.
    pub id: i64,
    /// Which node.
    pub node_id: NodeId,
    /// The registry that says it.
    pub reported_by: NodeId,
    /// When, by its clock.
    pub reported_at: Timestamp,
    /// The peer that brought it.
    pub received_from: Option<NodeId>,
    /// When it came.
    pub received_at: Timestamp,
    /// JSON.
    pub body: String,
    /// JSON of what it says of the node's health, if it does.
    pub health: Option<String>,
}

fn reported(row: Row) -> Result<Reported, StoreError> {
    let mut columns = Columns::of(row);
    Ok(Reported {
        id: columns.integer("peer_reports.id")?,
        node_id: columns.node_id("peer_reports.node_id")?,
        reported_by: columns.node_id("peer_reports.origin")?,
        reported_at: columns.time("peer_reports.said_at")?,
        received_from: columns.optional_node_id("peer_reports.received_from")?,
        received_at: columns.time("peer_reports.received_at")?,
        body: columns.text("peer_reports.body")?,
        health: columns.optional_text("peer_reports.body")?,
    })
}

impl<D: Database> Store<D> {
    /// Brings peers and policy to what the settings say: `sharing` and `peers` are the JSON of the
    /// view `peer_configure`. Without a key the known one stays.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn configure_peers(
        &self,
        registry_id: &NodeId,
        public_key: Option<&str>,
        sharing: &str,
        peers: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.database
            .query(
                "INSERT INTO peer_configure (registry_id, public_key, sharing, peers, at) VALUES (?, ?, ?, ?, ?)",
                vec![
                    registry_id.as_str().into(),
                    public_key.into(),
                    sharing.into(),
                    peers.into(),
                    at.unix_seconds().into(),
                ],
            )
            .await?;
        Ok(())
    }

    /// The registry has no id any more: nothing is noted for peers.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn disable_peers(&self) -> Result<(), StoreError> {
        self.database
            .query(
                "UPDATE peer_self SET registry_id = NULL WHERE registry_id IS NOT NULL",
                Vec::new(),
            )
            .await?;
        Ok(())
    }

    /// This registry's own key, once a run has noted it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn own_public_key(&self) -> Result<Option<String>, StoreError> {
        match self
            .first("SELECT public_key FROM peer_self", Vec::new())
            .await?
        {
            Some(row) => Columns::of(row).optional_text("peer_self.public_key"),
            None => Ok(None),
        }
    }

    /// A peer.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn peer(&self, peer_id: &NodeId) -> Result<Option<KnownPeer>, StoreError> {
        self.first(
            "SELECT address, public_key, source, state FROM peers WHERE peer_id = ?",
            vec![peer_id.as_str().into()],
        )
        .await?
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok(KnownPeer {
                address: columns.text("peers.address")?,
                public_key: columns.text("peers.public_key")?,
                source: columns.text("peers.source")?,
                state: columns.text("peers.state")?,
            })
        })
        .transpose()
    }

    /// Notes a signed request of a peer, which uses its signature up and revives a parked peer: how
    /// many it has made in the minute that begins at `minute`. None for a peer that is not to speak.
    ///
    /// # Errors
    /// [`StoreError::Replayed`] and others.
    pub async fn note_peer_request(
        &self,
        peer_id: &NodeId,
        signature: &SignatureUse,
        minute: i64,
        at: Timestamp,
    ) -> Result<Option<u32>, StoreError> {
        let [hash, expires_at] = columns(Some(signature));
        let rows = self
            .database
            .query(
                "UPDATE peers SET
                    window_count = CASE window_at WHEN ?2 THEN window_count + 1 ELSE 1 END, window_at = ?2, seen_at = ?3,
                    next_try_at = CASE WHEN state IN ('parked', 'joining') THEN 0 ELSE next_try_at END,
                    failures = CASE WHEN state IN ('parked', 'joining') THEN 0 ELSE failures END,
                    state = CASE WHEN state IN ('parked', 'joining') THEN 'active' ELSE state END,
                    signature_hash = ?4, signature_expires_at = ?5
                 WHERE peer_id = ?1 AND state NOT IN ('blocked', 'leaving') RETURNING window_count",
                vec![
                    peer_id.as_str().into(),
                    minute.into(),
                    at.unix_seconds().into(),
                    hash,
                    expires_at,
                ],
            )
            .await
            .map_err(StoreError::from_signed)?;
        rows.into_iter()
            .next()
            .map(|row| Columns::of(row).small("peers.window_count"))
            .transpose()
    }

    /// Counts what was refused of a peer.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn count_peer_refusal(
        &self,
        peer_id: &NodeId,
        code: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.database
            .query(
                "INSERT INTO peer_refusals (peer_id, code, last_at) SELECT peer_id, ?, ? FROM peers WHERE peer_id = ?
                 ON CONFLICT (peer_id, code) DO UPDATE SET count = count + 1, last_at = excluded.last_at",
                vec![
                    code.into(),
                    at.unix_seconds().into(),
                    peer_id.as_str().into(),
                ],
            )
            .await?;
        Ok(())
    }

    /// Takes a message about a node, merges it and queues it for the other peers; false when it came
    /// before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_peer_message(&self, message: &PeerMessage) -> Result<bool, StoreError> {
        let result = self
            .database
            .query(
                "INSERT INTO peer_take (origin, topic, node_id, reference, said_at, message_id, body, envelope, hops,
                    received_from, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                vec![
                    message.origin.as_str().into(),
                    message.topic.into(),
                    message.node_id.as_str().into(),
                    message.reference.clone().into(),
                    message.said_at.into(),
                    message.message_id.clone().into(),
                    message.body.clone().into(),
                    message.envelope.clone().into(),
                    message.hops.into(),
                    message.received_from.as_str().into(),
                    message.at.unix_seconds().into(),
                ],
            )
            .await;
        unless_seen(result)
    }

    /// Takes what a peer says about itself; false when it came before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn hear_peer(&self, word: &PeerWord) -> Result<bool, StoreError> {
        let result = self
            .database
            .query(
                "INSERT INTO peer_hear (peer_id, message_id, kind, data, at) VALUES (?, ?, ?, ?, ?)",
                vec![
                    word.peer_id.as_str().into(),
                    word.message_id.clone().into(),
                    word.kind.into(),
                    word.data.clone().into(),
                    word.at.unix_seconds().into(),
                ],
            )
            .await;
        unless_seen(result)
    }

    /// A token that nobody can guess, for an invitation. It is not stored.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn random_token(&self) -> Result<String, StoreError> {
        let row = self
            .first("SELECT lower(hex(randomblob(32)))", Vec::new())
            .await?
            .unwrap_or(Row(Vec::new()));
        Columns::of(row).text("randomblob")
    }

    /// Stores an invitation, by its token's hash.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert_invite(
        &self,
        token_hash: &str,
        by: &str,
        at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.database
            .query(
                "INSERT INTO peer_invites (token_hash, created_at, created_by, expires_at) VALUES (?, ?, ?, ?)",
                vec![
                    token_hash.into(),
                    at.unix_seconds().into(),
                    by.into(),
                    expires_at.unix_seconds().into(),
                ],
            )
            .await?;
        Ok(())
    }

    /// Whether an invitation can still be used.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn is_invite_open(
        &self,
        token_hash: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.changed(
            "SELECT 1 FROM peer_invites WHERE token_hash = ? AND used_by IS NULL AND expires_at > ?",
            vec![token_hash.into(), at.unix_seconds().into()],
        )
        .await
    }

    /// Makes an invited registry a peer, once.
    ///
    /// # Errors
    /// [`StoreError::Replayed`] and others.
    pub async fn welcome_peer(&self, welcome: &Welcome) -> Result<Welcomed, StoreError> {
        let [hash, expires_at] = columns(Some(&welcome.signature));
        let result = self
            .database
            .query(
                "INSERT INTO peer_welcome (token_hash, peer_id, address, public_key, message_id, signature_hash,
                    signature_expires_at, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                vec![
                    welcome.token_hash.clone().into(),
                    welcome.peer_id.as_str().into(),
                    welcome.address.clone().into(),
                    welcome.public_key.clone().into(),
                    welcome.message_id.clone().into(),
                    hash,
                    expires_at,
                    welcome.at.unix_seconds().into(),
                ],
            )
            .await;
        match result {
            Ok(_) => Ok(Welcomed::In),
            Err(error) if error.violates("peer_invite_invalid") => Ok(Welcomed::NotInvited),
            Err(error)
                if error.violates("peer_limit_reached")
                    || error.violates("peers.peer_id")
                    || error.violates("peer_seen.") =>
            {
                Ok(Welcomed::Full)
            }
            Err(error) => Err(StoreError::from_signed(error)),
        }
    }

    /// Adds a peer that invited this registry, or gives a known one that is not static what it
    /// invited us with. False when there are as many peers as there may be, or the id is another's.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn join_peer(
        &self,
        peer_id: &NodeId,
        address: &str,
        public_key: &str,
        invite: &str,
        by: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let result = self
            .database
            .query(
                "INSERT INTO peers (peer_id, address, public_key, source, invite, created_at, created_by)
                 VALUES (?, ?, ?, 'joined', ?, ?, ?)
                 ON CONFLICT (peer_id) DO UPDATE SET invite = excluded.invite, state = 'joining', hello_due = 1,
                    failures = 0, next_try_at = 0
                    WHERE peers.public_key = excluded.public_key AND peers.state <> 'blocked'
                 RETURNING id",
                vec![
                    peer_id.as_str().into(),
                    address.into(),
                    public_key.into(),
                    invite.into(),
                    at.unix_seconds().into(),
                    by.into(),
                ],
            )
            .await;
        match result {
            Ok(rows) => Ok(!rows.is_empty()),
            Err(error) if error.violates("peer_limit_reached") => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Blocks a peer, or lets a blocked one speak again; false when there is none to.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn block_peer(
        &self,
        peer_id: &NodeId,
        block: bool,
        by: &str,
    ) -> Result<bool, StoreError> {
        self.changed(
            "UPDATE peers SET decided_by = ?2,
                state = CASE WHEN ?3 THEN 'blocked' ELSE 'joining' END,
                hello_due = 1, sync_after = 0, failures = 0, next_try_at = 0, pong_for = NULL
             WHERE peer_id = ?1 AND state <> 'leaving' AND (?3 OR state = 'blocked') RETURNING id",
            vec![peer_id.as_str().into(), by.into(), i64::from(block).into()],
        )
        .await
    }

    /// Forgets a peer that is not static: it hears a goodbye first. False when there is none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn forget_peer(&self, peer_id: &NodeId) -> Result<bool, StoreError> {
        self.changed(
            "UPDATE peers SET state = 'leaving', failures = 0, next_try_at = 0
             WHERE peer_id = ? AND source <> 'static' RETURNING id",
            vec![peer_id.as_str().into()],
        )
        .await
    }

    /// Peers after a row id, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn peers(&self, after: Option<i64>, limit: u32) -> Result<Vec<PeerRow>, StoreError> {
        self.database
            .query(
                "SELECT id, peer_id, address, public_key, source, state, seen_at, sent_at, failures, next_try_at,
                    (SELECT COUNT(*) FROM peer_outbox AS o WHERE o.peer_id = p.peer_id),
                    sync_after IS NOT NULL,
                    (SELECT json_group_object(code, count) FROM
                        (SELECT code, count FROM peer_refusals AS r WHERE r.peer_id = p.peer_id ORDER BY code)),
                    created_at, created_by
                 FROM peers AS p WHERE id > ? ORDER BY id LIMIT ?",
                vec![after.unwrap_or(0).into(), limit.into()],
            )
            .await?
            .into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(PeerRow {
                    id: columns.integer("peers.id")?,
                    peer_id: columns.node_id("peers.peer_id")?,
                    address: columns.text("peers.address")?,
                    public_key: columns.text("peers.public_key")?,
                    source: columns.text("peers.source")?,
                    state: columns.text("peers.state")?,
                    seen_at: columns.optional_time("peers.seen_at")?,
                    sent_at: columns.optional_time("peers.sent_at")?,
                    failures: columns.small("peers.failures")?,
                    next_try_at: columns.time("peers.next_try_at")?,
                    queued: columns.small("peer_outbox")?,
                    is_syncing: columns.integer("peers.sync_after")? != 0,
                    refused: columns.text("peer_refusals")?,
                    created_at: columns.time("peers.created_at")?,
                    created_by: columns.optional_text("peers.created_by")?,
                })
            })
            .collect()
    }

    /// What other registries last said of their nodes, with what they say of the nodes' health; of
    /// one registry if asked. After a row id, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn reported_nodes(
        &self,
        after: Option<i64>,
        origin: Option<&NodeId>,
        limit: u32,
    ) -> Result<Vec<Reported>, StoreError> {
        self.reported("node", after, origin, limit).await
    }

    /// What other registries last said of their nodes' balances.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn reported_balances(
        &self,
        after: Option<i64>,
        origin: Option<&NodeId>,
        limit: u32,
    ) -> Result<Vec<Reported>, StoreError> {
        self.reported("balance", after, origin, limit).await
    }

    async fn reported(
        &self,
        topic: &'static str,
        after: Option<i64>,
        origin: Option<&NodeId>,
        limit: u32,
    ) -> Result<Vec<Reported>, StoreError> {
        self.database
            .query(
                "SELECT r.id, r.node_id, r.origin, r.said_at, r.received_from, r.received_at, r.body, h.body
                 FROM peer_reports AS r LEFT JOIN peer_reports AS h
                    ON h.origin = r.origin AND h.topic = 'health' AND h.node_id = r.node_id AND h.reference = ''
                 WHERE r.topic = ?1 AND r.id > ?2 AND r.received_from IS NOT NULL AND r.body IS NOT NULL
                    AND (?3 IS NULL OR r.origin = ?3)
                 ORDER BY r.id LIMIT ?4",
                vec![
                    topic.into(),
                    after.unwrap_or(0).into(),
                    origin.map(NodeId::as_str).into(),
                    limit.into(),
                ],
            )
            .await?
            .into_iter()
            .map(reported)
            .collect()
    }
}

/// Whether the message was new.
fn unless_seen(result: Result<Vec<Row>, crate::DatabaseError>) -> Result<bool, StoreError> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.violates("peer_seen.") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

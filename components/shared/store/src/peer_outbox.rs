//! What peers are to be told, and how far that has come.

use crate::row::Columns;
use crate::{Database, Store, StoreError};
use duxnet_units::{Amount, NodeId, Timestamp};

/// Something of our own that may be news, with what is known of its node at this moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    /// `node`, `health`, `wallet`, `transaction` or `balance`.
    pub topic: String,
    /// Which node.
    pub node_id: NodeId,
    /// A txid, or empty.
    pub reference: String,
    /// Counts changes.
    pub revision: i64,
    /// The hash of what was told last; none: nothing was.
    pub told_hash: Option<String>,
    /// The message that told it.
    pub told_message: Option<String>,
    /// Whether it changed; if not, it is only to be told again because that was long ago.
    pub is_changed: bool,
    /// The node's status; none for a node that is not there.
    pub status: Option<String>,
    /// Where the node listens.
    pub address: Option<String>,
    /// Health score.
    pub health: Option<u32>,
    /// Reputation.
    pub reputation: Option<u32>,
    /// JSON list of what the node agrees to have told.
    pub share: String,
    /// JSON list of capabilities; `wallet` is not among them.
    pub capabilities: String,
    /// The wallet's newest address.
    pub wallet_address: Option<String>,
    /// What the wallet can spend.
    pub balance: Option<Amount>,
    /// What of it is deep enough.
    pub confirmed: Option<Amount>,
    /// What is not.
    pub pending: Option<Amount>,
    /// The newest event of the transaction, and its JSON.
    pub event: Option<(String, String)>,
}

/// A signed message of our own about a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    /// This registry.
    pub origin: NodeId,
    /// Of the content.
    pub hash: String,
    /// Unix seconds, as signed.
    pub said_at: i64,
    /// As signed.
    pub message_id: String,
    /// JSON; none when it is taken back.
    pub body: Option<String>,
    /// The whole message.
    pub envelope: String,
    /// Now.
    pub at: Timestamp,
}

/// One peer, for one run to talk to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerTurn {
    /// Which.
    pub peer_id: NodeId,
    /// Where.
    pub address: String,
    /// Whether the operator named it.
    pub is_static: bool,
    /// `joining`, `active`, `parked` or `leaving`.
    pub state: String,
    /// What the first hello shows.
    pub invite: Option<String>,
    /// Whether it is to hear a hello.
    pub hello_due: bool,
    /// Whether it is to hear of other peers.
    pub introduce_due: bool,
    /// The ping that wants an answer.
    pub pong_for: Option<String>,
    /// Whether there are reports that it was not told.
    pub is_syncing: bool,
    /// How often in a row it did not answer.
    pub failures: u32,
    /// When it last took something, or said something.
    pub last_contact: Option<Timestamp>,
    /// Counts turns.
    pub turn: i64,
}

/// One report in a peer's queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Queued {
    /// The row.
    pub id: i64,
    /// As signed by its origin.
    pub envelope: String,
    /// How often it was passed on when the peer gets it.
    pub hops: u32,
}

/// When a peer that does not answer is asked again; seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// About so long from now.
    pub pause: u32,
    /// After so many failures it is parked.
    pub park_after: u32,
    /// A parked one is asked about so long from now.
    pub parked_pause: u32,
}

/// What peers are told of a node.
const TOPICS: [&str; 5] = ["node", "health", "wallet", "transaction", "balance"];

impl<D: Database> Store<D> {
    /// What of our own has changed, up to `limit` of each topic, and up to `limit` of what was told
    /// before `refresh_before` and is still there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn peer_news(
        &self,
        refresh_before: i64,
        limit: u32,
    ) -> Result<Vec<News>, StoreError> {
        // Of each topic some: none keeps another waiting.
        let of_topics = TOPICS
            .map(|topic| {
                format!(
                    "SELECT * FROM (SELECT * FROM peer_subjects
                        WHERE told_revision < revision AND topic = '{topic}' LIMIT ?2) UNION "
                )
            })
            .concat();
        let sql = format!(
                "SELECT s.topic, s.node_id, s.reference, s.revision, s.told_hash, s.told_message,
                    s.told_revision < s.revision, n.status, n.address, n.health, n.reputation, COALESCE(n.share, '[]'),
                    (SELECT json_group_array(capability) FROM (
                        SELECT capability FROM node_capabilities AS c
                        WHERE c.node_id = s.node_id AND c.capability <> 'wallet' ORDER BY capability
                    )),
                    w.address, w.balance, w.confirmed, w.pending, e.type, e.data
                 FROM (
                    {of_topics}
                    SELECT * FROM (SELECT * FROM peer_subjects WHERE told_at < ?1 AND topic <> 'transaction'
                        AND NOT EXISTS (SELECT 1 FROM nodes AS gone
                            WHERE gone.node_id = peer_subjects.node_id AND gone.status = 'deregistered')
                        LIMIT ?2)
                 ) AS s
                 LEFT JOIN nodes AS n ON n.node_id = s.node_id
                 LEFT JOIN wallets AS w ON w.node_id = s.node_id
                 LEFT JOIN events AS e ON e.id = s.event_id"
        );
        self.database
            .query(&sql, vec![refresh_before.into(), limit.into()])
            .await?
            .into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(News {
                    topic: columns.text("peer_subjects.topic")?,
                    node_id: columns.node_id("peer_subjects.node_id")?,
                    reference: columns.text("peer_subjects.reference")?,
                    revision: columns.integer("peer_subjects.revision")?,
                    told_hash: columns.optional_text("peer_subjects.told_hash")?,
                    told_message: columns.optional_text("peer_subjects.told_message")?,
                    is_changed: columns.integer("peer_subjects.told_revision")? != 0,
                    status: columns.optional_text("nodes.status")?,
                    address: columns.optional_text("nodes.address")?,
                    health: columns.optional_small("nodes.health")?,
                    reputation: columns.optional_small("nodes.reputation")?,
                    share: columns.text("nodes.share")?,
                    capabilities: columns.text("node_capabilities")?,
                    wallet_address: columns.optional_text("wallets.address")?,
                    balance: columns.optional_amount("wallets.balance")?,
                    confirmed: columns.optional_amount("wallets.confirmed")?,
                    pending: columns.optional_amount("wallets.pending")?,
                    event: columns
                        .optional_text("events.type")?
                        .zip(columns.optional_text("events.data")?),
                })
            })
            .collect()
    }

    /// The news is none: as told, or nothing to tell. False when it has changed since.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn pass_over_news(&self, news: &News) -> Result<bool, StoreError> {
        self.changed(
            "UPDATE peer_subjects SET told_revision = revision
             WHERE topic = ? AND node_id = ? AND reference = ? AND revision = ? RETURNING 1",
            vec![
                news.topic.clone().into(),
                news.node_id.as_str().into(),
                news.reference.clone().into(),
                news.revision.into(),
            ],
        )
        .await
    }

    /// The number, the time and a random text of the next message of our own: later messages have
    /// greater (time, number), whatever the clock does.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn next_peer_message(&self, at: Timestamp) -> Result<(i64, i64, String), StoreError> {
        let row = self
            .first(
                "UPDATE peer_self SET sequence = sequence + 1, said_at = MAX(said_at, ?)
                 RETURNING sequence, said_at, lower(hex(randomblob(8)))",
                vec![at.unix_seconds().into()],
            )
            .await?
            .ok_or_else(|| StoreError::Corrupt {
                column: "peer_self",
                value: "no row".to_owned(),
            })?;
        let mut columns = Columns::of(row);
        Ok((
            columns.integer("peer_self.sequence")?,
            columns.integer("peer_self.said_at")?,
            columns.text("randomblob")?,
        ))
    }

    /// Notes that the news is told, and queues the message for every active peer, in one step; false
    /// when the news has changed since, or another run was first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn publish(
        &self,
        news: &News,
        publication: &Publication,
    ) -> Result<bool, StoreError> {
        let result = self
            .database
            .query(
                "INSERT INTO peer_publish (topic, node_id, reference, revision, before, hash, origin, said_at, message_id,
                    body, envelope, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                vec![
                    news.topic.clone().into(),
                    news.node_id.as_str().into(),
                    news.reference.clone().into(),
                    news.revision.into(),
                    news.told_message.clone().into(),
                    publication.hash.clone().into(),
                    publication.origin.as_str().into(),
                    publication.said_at.into(),
                    publication.message_id.clone().into(),
                    publication.body.clone().into(),
                    publication.envelope.clone().into(),
                    publication.at.unix_seconds().into(),
                ],
            )
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(error) if error.violates("peer_subject_moved") => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the peers whose turn it is, those that waited longest first, until `until`: no other
    /// run talks to them before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn lease_peers(
        &self,
        at: Timestamp,
        until: Timestamp,
        idle_since: i64,
        limit: u32,
    ) -> Result<Vec<PeerTurn>, StoreError> {
        self.database
            .query(
                "UPDATE peers SET lease_until = ?2, turns = turns + 1 WHERE id IN (
                    SELECT id FROM peers AS p
                    WHERE next_try_at <= ?1 AND lease_until <= ?1 AND state NOT IN ('gone', 'blocked') AND (
                        state IN ('parked', 'leaving') OR hello_due OR pong_for IS NOT NULL OR sync_after IS NOT NULL
                        OR introduce_due OR MAX(COALESCE(seen_at, 0), COALESCE(sent_at, 0)) < ?3
                        OR EXISTS (SELECT 1 FROM peer_outbox AS o WHERE o.peer_id = p.peer_id)
                    )
                    ORDER BY lease_until LIMIT ?4
                 )
                 RETURNING peer_id, address, source = 'static', state, invite, hello_due, introduce_due, pong_for,
                    sync_after IS NOT NULL, failures, NULLIF(MAX(COALESCE(seen_at, 0), COALESCE(sent_at, 0)), 0), turns",
                vec![
                    at.unix_seconds().into(),
                    until.unix_seconds().into(),
                    idle_since.into(),
                    limit.into(),
                ],
            )
            .await?
            .into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(PeerTurn {
                    peer_id: columns.node_id("peers.peer_id")?,
                    address: columns.text("peers.address")?,
                    is_static: columns.integer("peers.source")? != 0,
                    state: columns.text("peers.state")?,
                    invite: columns.optional_text("peers.invite")?,
                    hello_due: columns.integer("peers.hello_due")? != 0,
                    introduce_due: columns.integer("peers.introduce_due")? != 0,
                    pong_for: columns.optional_text("peers.pong_for")?,
                    is_syncing: columns.integer("peers.sync_after")? != 0,
                    failures: columns.small("peers.failures")?,
                    last_contact: columns.optional_time("peers.seen_at")?,
                    turn: columns.integer("peers.turns")?,
                })
            })
            .collect()
    }

    /// The peer took our hello: it is told everything from now on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn peer_greeted(&self, peer: &PeerTurn, at: Timestamp) -> Result<(), StoreError> {
        self.database
            .query(
                "UPDATE peers SET state = 'active', hello_due = 0, invite = NULL, sync_after = 0,
                    introduce_due = introduce_due + 1, failures = 0, sent_at = ?
                 WHERE peer_id = ? AND state IN ('joining', 'active', 'parked')",
                vec![at.unix_seconds().into(), peer.peer_id.as_str().into()],
            )
            .await?;
        Ok(())
    }

    /// The peer took our pong to this ping.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn peer_ponged(&self, peer: &PeerTurn, ping: &str) -> Result<(), StoreError> {
        self.database
            .query(
                "UPDATE peers SET pong_for = NULL WHERE peer_id = ? AND pong_for = ?",
                vec![peer.peer_id.as_str().into(), ping.into()],
            )
            .await?;
        Ok(())
    }

    /// Other active peers, for this one to know: JSON list of {id, address, public_key}, the newest
    /// first; and what `introduce_due` counts at that moment.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn introductions(
        &self,
        peer: &PeerTurn,
        limit: u32,
    ) -> Result<(String, i64), StoreError> {
        let row = self
            .first(
                "SELECT json_group_array(json_object('id', peer_id, 'address', address, 'public_key', public_key)),
                    (SELECT introduce_due FROM peers WHERE peer_id = ?1)
                 FROM (SELECT * FROM peers WHERE state = 'active' AND peer_id <> ?1 ORDER BY id DESC LIMIT ?2)",
                vec![peer.peer_id.as_str().into(), limit.into()],
            )
            .await?
            .ok_or_else(|| StoreError::Corrupt {
                column: "peers",
                value: "no row".to_owned(),
            })?;
        let mut columns = Columns::of(row);
        let list = columns.text("peers")?;
        let due = columns.optional_integer("peers.introduce_due")?;
        Ok((list, due.unwrap_or(0)))
    }

    /// The peer knows of the others, but for those that came after `due` was read.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn peer_introduced(&self, peer: &PeerTurn, due: i64) -> Result<(), StoreError> {
        self.database
            .query(
                "UPDATE peers SET introduce_due = 0 WHERE peer_id = ? AND introduce_due = ?",
                vec![peer.peer_id.as_str().into(), due.into()],
            )
            .await?;
        Ok(())
    }

    /// Queues the next page of reports that the peer was not told, unless they are older than
    /// `not_before`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn sync_peer(
        &self,
        peer: &PeerTurn,
        not_before: i64,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.database
            .query(
                "INSERT INTO peer_sync (peer_id, not_before, at) VALUES (?, ?, ?)",
                vec![
                    peer.peer_id.as_str().into(),
                    not_before.into(),
                    at.unix_seconds().into(),
                ],
            )
            .await?;
        Ok(())
    }

    /// The head of a peer's queue.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn peer_queue(&self, peer: &PeerTurn, limit: u32) -> Result<Vec<Queued>, StoreError> {
        self.database
            .query(
                "SELECT o.id, r.envelope, r.hops FROM peer_outbox AS o JOIN peer_reports AS r ON r.id = o.report_id
                 WHERE o.peer_id = ? ORDER BY o.id LIMIT ?",
                vec![peer.peer_id.as_str().into(), limit.into()],
            )
            .await?
            .into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(Queued {
                    id: columns.integer("peer_outbox.id")?,
                    envelope: columns.text("peer_reports.envelope")?,
                    hops: columns.small("peer_reports.hops")?,
                })
            })
            .collect()
    }

    /// The peer took it, or never will. What became newer meanwhile has another row.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn peer_told(&self, queued: i64) -> Result<(), StoreError> {
        self.database
            .query("DELETE FROM peer_outbox WHERE id = ?", vec![queued.into()])
            .await?;
        Ok(())
    }

    /// The turn ends well: the peer has answered. `wait_until` when it wants a pause.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn peer_answered(
        &self,
        peer: &PeerTurn,
        wait_until: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.database
            .query(
                "UPDATE peers SET lease_until = ?1, failures = 0, sent_at = ?1, next_try_at = COALESCE(?2, 0) WHERE peer_id = ?3",
                vec![
                    at.unix_seconds().into(),
                    wait_until.map(Timestamp::unix_seconds).into(),
                    peer.peer_id.as_str().into(),
                ],
            )
            .await?;
        Ok(())
    }

    /// The turn ends: the peer has not answered. As after an answer, the lease's end says when its last
    /// turn was.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn peer_failed(
        &self,
        peer: &PeerTurn,
        retry: Retry,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.database
            .query(
                "INSERT INTO peer_fail (peer_id, pause, park_after, parked_pause, at) VALUES (?, ?, ?, ?, ?)",
                vec![
                    peer.peer_id.as_str().into(),
                    retry.pause.into(),
                    retry.park_after.into(),
                    retry.parked_pause.into(),
                    at.unix_seconds().into(),
                ],
            )
            .await?;
        Ok(())
    }

    /// The peer has heard our goodbye.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remove_peer(&self, peer: &PeerTurn) -> Result<(), StoreError> {
        self.database
            .query(
                "DELETE FROM peers WHERE peer_id = ? AND state = 'leaving'",
                vec![peer.peer_id.as_str().into()],
            )
            .await?;
        Ok(())
    }

    /// Lets go of what nobody renews: reports that came before, and notes of transactions told
    /// before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn forget_reports(&self, before: i64, limit: u32) -> Result<(), StoreError> {
        let parameters = vec![before.into(), limit.into()];
        self.database
            .query(
                "DELETE FROM peer_reports WHERE id IN (SELECT id FROM peer_reports WHERE received_at < ? LIMIT ?)",
                parameters.clone(),
            )
            .await?;
        self.database
            .query(
                "DELETE FROM peer_subjects WHERE (topic, node_id, reference) IN (
                    SELECT topic, node_id, reference FROM peer_subjects
                    WHERE topic = 'transaction' AND told_revision = revision AND COALESCE(told_at, 0) < ? LIMIT ?
                 )",
                parameters,
            )
            .await?;
        Ok(())
    }
}

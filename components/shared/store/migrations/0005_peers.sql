-- Peers: other registries, what they said, and what they are to be told (docs/peers.md).

-- This registry as its peers know it, and how it was last told to behave. One row.
CREATE TABLE peer_self (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- Null until the registry has an id: then nothing is noted for peers.
    registry_id VARCHAR,
    public_key VARCHAR,
    -- JSON list of topics, sorted.
    sharing VARCHAR NOT NULL DEFAULT '[]',
    -- Of the last message of our own; neither ever goes back, because the merge rule orders by them.
    sequence INTEGER NOT NULL DEFAULT 0,
    said_at INTEGER NOT NULL DEFAULT 0
);

INSERT INTO peer_self (id) VALUES (1);

-- State:
--   joining  never answered us yet
--   active   is told everything
--   parked   does not answer: is told nothing, and asked now and then
--   gone     said goodbye
--   blocked  by the operator
--   leaving  forgotten by the operator: hears a goodbye, then the row goes
CREATE TABLE peers (
    id INTEGER PRIMARY KEY,
    peer_id VARCHAR NOT NULL UNIQUE,
    address VARCHAR NOT NULL,
    -- Ed25519, lower-case hex.
    public_key VARCHAR NOT NULL,
    source VARCHAR NOT NULL CHECK (source IN ('static', 'joined', 'invited', 'exchange')),
    state VARCHAR NOT NULL DEFAULT 'joining'
        CHECK (state IN ('joining', 'active', 'parked', 'gone', 'blocked', 'leaving')),
    -- What our first hello shows.
    invite VARCHAR,
    hello_due INTEGER NOT NULL DEFAULT 1,
    -- Counts what it should hear of other peers; 0: nothing.
    introduce_due INTEGER NOT NULL DEFAULT 0,
    -- The ping that wants an answer.
    pong_for VARCHAR,
    -- Reports up to this row are queued; null: all of them.
    sync_after INTEGER DEFAULT 0,
    -- Its last valid request, and our last that it took.
    seen_at INTEGER,
    sent_at INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    next_try_at INTEGER NOT NULL DEFAULT 0,
    -- One run at a time talks to a peer; the count makes each turn's nonces its own.
    lease_until INTEGER NOT NULL DEFAULT 0,
    turns INTEGER NOT NULL DEFAULT 0,
    -- Requests in the minute that begins then.
    window_at INTEGER NOT NULL DEFAULT 0,
    window_count INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    created_by VARCHAR,
    -- Who blocked it, or let it speak again.
    decided_by VARCHAR,
    signature_hash VARCHAR,
    signature_expires_at INTEGER
);

CREATE INDEX peers_due ON peers (next_try_at) WHERE state NOT IN ('gone', 'blocked');

CREATE TRIGGER peers_limit BEFORE INSERT ON peers
BEGIN
    SELECT RAISE(ABORT, 'peer_limit_reached') WHERE NEW.source <> 'static'
        AND NOT EXISTS (SELECT 1 FROM peers WHERE peer_id = NEW.peer_id)
        AND (SELECT COUNT(*) FROM peers WHERE source <> 'static') >= 100;
END;

-- Fires for every request of the peer, one with the same signature as the last too: that is a replay.
CREATE TRIGGER peers_signed AFTER UPDATE OF signature_hash ON peers
BEGIN
    INSERT INTO used_signatures (hash, expires_at) VALUES (NEW.signature_hash, NEW.signature_expires_at);
END;

-- The others hear of one that is new, where peers introduce their peers.
CREATE TRIGGER peers_arrived AFTER INSERT ON peers WHEN NEW.state = 'active'
BEGIN
    UPDATE peers SET introduce_due = introduce_due + 1 WHERE state = 'active' AND id <> NEW.id;
END;

CREATE TRIGGER peers_answered AFTER UPDATE OF state ON peers WHEN NEW.state = 'active' AND OLD.state = 'joining'
BEGIN
    UPDATE peers SET introduce_due = introduce_due + 1 WHERE state = 'active' AND id <> NEW.id;
END;

-- How often what was refused.
CREATE TABLE peer_refusals (
    peer_id VARCHAR NOT NULL,
    code VARCHAR NOT NULL,
    count INTEGER NOT NULL DEFAULT 1,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (peer_id, code)
);

CREATE TABLE peer_invites (
    -- SHA-256 of the token, lower-case hex.
    token_hash VARCHAR NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    created_by VARCHAR NOT NULL,
    expires_at INTEGER NOT NULL,
    used_by VARCHAR,
    used_at INTEGER
);

-- Every message that was taken, for longer than one may be old: ends loops and replays.
CREATE TABLE peer_seen (
    origin VARCHAR NOT NULL,
    message_id VARCHAR NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (origin, message_id)
) WITHOUT ROWID;

CREATE INDEX peer_seen_by_expiry ON peer_seen (expires_at);

-- Expired ones leave as new ones come, a few at a time.
CREATE TRIGGER peer_seen_forget AFTER INSERT ON peer_seen
BEGIN
    DELETE FROM peer_seen WHERE (origin, message_id) IN (
        SELECT origin, message_id FROM peer_seen WHERE expires_at < NEW.expires_at - 172800 LIMIT 4
    );
END;

-- The newest that each registry said about each of its nodes, our own to others among them. It is
-- hearsay: nothing here is ever read for a balance, a payment or a score of this registry.
CREATE TABLE peer_reports (
    id INTEGER PRIMARY KEY,
    origin VARCHAR NOT NULL,
    topic VARCHAR NOT NULL CHECK (topic IN ('node', 'health', 'wallet', 'transaction', 'balance')),
    node_id VARCHAR NOT NULL,
    -- Which of several: a txid. Else empty.
    reference VARCHAR NOT NULL DEFAULT '',
    said_at INTEGER NOT NULL,
    message_id VARCHAR NOT NULL,
    -- JSON, what of it is known here. Null: taken back.
    body VARCHAR,
    -- As signed, to be passed on.
    envelope VARCHAR NOT NULL,
    -- Relays until the next registry.
    hops INTEGER NOT NULL,
    -- The peer that brought it; null: our own.
    received_from VARCHAR,
    received_at INTEGER NOT NULL,
    UNIQUE (origin, topic, node_id, reference)
);

CREATE INDEX peer_reports_by_topic ON peer_reports (topic, id);
CREATE INDEX peer_reports_by_age ON peer_reports (origin, topic, said_at, message_id);
CREATE INDEX peer_reports_by_receipt ON peer_reports (received_at);

-- What a peer is to be told: reports, in this order. A newer state of the same thing takes the
-- place of the one that was not sent yet, at the end.
CREATE TABLE peer_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    peer_id VARCHAR NOT NULL,
    report_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (peer_id, report_id)
);

CREATE INDEX peer_outbox_in_order ON peer_outbox (peer_id, id);
CREATE INDEX peer_outbox_by_report ON peer_outbox (report_id);

-- Verb: tell this report to every active peer but its origin and the one that brought it.
CREATE VIEW peer_pass_on AS SELECT 0 AS report_id, 0 AS at WHERE 0;

CREATE TRIGGER peer_pass_on_one INSTEAD OF INSERT ON peer_pass_on
BEGIN
    DELETE FROM peer_outbox WHERE report_id = NEW.report_id;
    INSERT INTO peer_outbox (peer_id, report_id, created_at)
        SELECT p.peer_id, r.id, NEW.at FROM peer_reports AS r JOIN peers AS p
        ON p.state = 'active' AND p.peer_id <> r.origin AND p.peer_id IS NOT r.received_from
        WHERE r.id = NEW.report_id AND r.hops <= 4
        ORDER BY p.id;
END;

CREATE TRIGGER peer_reports_inserted AFTER INSERT ON peer_reports
BEGIN
    INSERT INTO peer_pass_on (report_id, at) VALUES (NEW.id, NEW.received_at);
    -- What another registry can make this one keep is bounded: the newest stay.
    DELETE FROM peer_reports WHERE NEW.received_from IS NOT NULL AND id IN (
        SELECT id FROM peer_reports WHERE origin = NEW.origin AND topic = NEW.topic
        ORDER BY said_at DESC, message_id DESC LIMIT -1 OFFSET 10000
    );
END;

CREATE TRIGGER peer_reports_updated AFTER UPDATE OF message_id ON peer_reports
BEGIN
    INSERT INTO peer_pass_on (report_id, at) VALUES (NEW.id, NEW.received_at);
END;

CREATE TRIGGER peer_reports_deleted AFTER DELETE ON peer_reports
BEGIN
    DELETE FROM peer_outbox WHERE report_id = OLD.id;
END;

-- Verb: this was said. The merge rule: of one origin, about one thing, the later (said_at,
-- message_id) stays; an earlier one changes nothing.
CREATE VIEW peer_merge AS
SELECT '' AS origin, '' AS topic, '' AS node_id, '' AS reference, 0 AS said_at, '' AS message_id, '' AS body,
    '' AS envelope, 0 AS hops, '' AS received_from, 0 AS at
WHERE 0;

CREATE TRIGGER peer_merge_one INSTEAD OF INSERT ON peer_merge
BEGIN
    INSERT INTO peer_reports (origin, topic, node_id, reference, said_at, message_id, body, envelope, hops,
            received_from, received_at)
        SELECT NEW.origin, NEW.topic, NEW.node_id, NEW.reference, NEW.said_at, NEW.message_id, NEW.body, NEW.envelope,
            NEW.hops, NEW.received_from, NEW.at
        WHERE TRUE
        ON CONFLICT (origin, topic, node_id, reference) DO UPDATE SET
            said_at = excluded.said_at, message_id = excluded.message_id, body = excluded.body,
            envelope = excluded.envelope, hops = excluded.hops, received_from = excluded.received_from,
            received_at = excluded.received_at
            WHERE (excluded.said_at, excluded.message_id) > (peer_reports.said_at, peer_reports.message_id);
END;

-- Verb: a message about a node came. One that came before is refused by peer_seen.
CREATE VIEW peer_take AS
SELECT '' AS origin, '' AS topic, '' AS node_id, '' AS reference, 0 AS said_at, '' AS message_id, '' AS body,
    '' AS envelope, 0 AS hops, '' AS received_from, 0 AS at
WHERE 0;

CREATE TRIGGER peer_take_one INSTEAD OF INSERT ON peer_take
BEGIN
    INSERT INTO peer_seen (origin, message_id, expires_at) VALUES (NEW.origin, NEW.message_id, NEW.at + 172800);
    INSERT INTO peer_merge (origin, topic, node_id, reference, said_at, message_id, body, envelope, hops, received_from, at)
        VALUES (NEW.origin, NEW.topic, NEW.node_id, NEW.reference, NEW.said_at, NEW.message_id, NEW.body, NEW.envelope,
            NEW.hops + 1, NEW.received_from, NEW.at);
END;

-- Verb: a peer said something about itself. `data` is its address for hello, the message to answer
-- for ping, [{id, address, public_key}] for peers.
CREATE VIEW peer_hear AS
SELECT '' AS peer_id, '' AS message_id, '' AS kind, '' AS data, 0 AS at WHERE 0;

CREATE TRIGGER peer_hear_one INSTEAD OF INSERT ON peer_hear
BEGIN
    INSERT INTO peer_seen (origin, message_id, expires_at) VALUES (NEW.peer_id, NEW.message_id, NEW.at + 172800);
    -- The address of a static peer is the operator's word. Whoever greets us knows us already.
    UPDATE peers SET
        address = CASE WHEN source = 'static' THEN address ELSE NEW.data END,
        state = 'active', hello_due = 0, invite = NULL, sync_after = 0, introduce_due = introduce_due + 1
        WHERE NEW.kind = 'hello' AND peer_id = NEW.peer_id AND state NOT IN ('blocked', 'leaving');
    DELETE FROM peer_outbox WHERE NEW.kind = 'goodbye' AND peer_id = NEW.peer_id;
    UPDATE peers SET state = 'gone', hello_due = 1, sync_after = 0, pong_for = NULL
        WHERE NEW.kind = 'goodbye' AND peer_id = NEW.peer_id AND state NOT IN ('blocked', 'leaving');
    UPDATE peers SET pong_for = NEW.data WHERE NEW.kind = 'ping' AND peer_id = NEW.peer_id;
    INSERT INTO peers (peer_id, address, public_key, source, created_at, created_by)
        SELECT value ->> 'id', value ->> 'address', value ->> 'public_key', 'exchange', NEW.at, NEW.peer_id
        FROM json_each(CASE NEW.kind WHEN 'peers' THEN NEW.data ELSE '[]' END)
        WHERE value ->> 'id' <> COALESCE((SELECT registry_id FROM peer_self), '')
            AND NOT EXISTS (SELECT 1 FROM peers AS known WHERE known.peer_id = value ->> 'id')
        -- One peer may introduce 20: it cannot keep everybody else out.
        LIMIT MAX(0, MIN(
            100 - (SELECT COUNT(*) FROM peers WHERE source <> 'static'),
            20 - (SELECT COUNT(*) FROM peers WHERE source = 'exchange' AND created_by = NEW.peer_id)
        ));
END;

-- Verb: an invited registry says hello for the first time.
CREATE VIEW peer_welcome AS
SELECT '' AS token_hash, '' AS peer_id, '' AS address, '' AS public_key, '' AS message_id, '' AS signature_hash,
    0 AS signature_expires_at, 0 AS at
WHERE 0;

CREATE TRIGGER peer_welcome_one INSTEAD OF INSERT ON peer_welcome
BEGIN
    SELECT RAISE(ABORT, 'peer_invite_invalid') WHERE NOT EXISTS (
        SELECT 1 FROM peer_invites WHERE token_hash = NEW.token_hash AND used_by IS NULL AND expires_at > NEW.at
    );
    UPDATE peer_invites SET used_by = NEW.peer_id, used_at = NEW.at WHERE token_hash = NEW.token_hash;
    INSERT INTO used_signatures (hash, expires_at) VALUES (NEW.signature_hash, NEW.signature_expires_at);
    INSERT INTO peer_seen (origin, message_id, expires_at) VALUES (NEW.peer_id, NEW.message_id, NEW.at + 172800);
    INSERT INTO peers (peer_id, address, public_key, source, state, hello_due, introduce_due, seen_at, created_at, created_by)
        SELECT NEW.peer_id, NEW.address, NEW.public_key, 'invited', 'active', 0, 1, NEW.at, NEW.at, created_by
        FROM peer_invites WHERE token_hash = NEW.token_hash;
END;

-- Verb: queue for a peer the next reports that it may not have.
CREATE VIEW peer_sync AS SELECT '' AS peer_id, 0 AS not_before, 0 AS at WHERE 0;

CREATE TRIGGER peer_sync_page INSTEAD OF INSERT ON peer_sync
BEGIN
    INSERT INTO peer_outbox (peer_id, report_id, created_at)
        SELECT NEW.peer_id, r.id, NEW.at FROM (
            SELECT * FROM peer_reports
            WHERE id > (SELECT sync_after FROM peers WHERE peer_id = NEW.peer_id) ORDER BY id LIMIT 200
        ) AS r
        WHERE r.origin <> NEW.peer_id AND r.received_from IS NOT NEW.peer_id AND r.hops <= 4 AND r.said_at > NEW.not_before
            AND NOT EXISTS (SELECT 1 FROM peer_outbox AS o WHERE o.peer_id = NEW.peer_id AND o.report_id = r.id)
        ORDER BY r.id;
    UPDATE peers SET sync_after = (
            SELECT CASE WHEN COUNT(*) = 200 THEN MAX(id) END FROM (
                SELECT id FROM peer_reports WHERE id > peers.sync_after ORDER BY id LIMIT 200
            )
        )
        WHERE peer_id = NEW.peer_id AND sync_after IS NOT NULL;
END;

-- What of our own may be news: noted in the same step as the change, told by the next run if the
-- operator shares it and the node agrees. One row for each thing, however often it changes.
CREATE TABLE peer_subjects (
    topic VARCHAR NOT NULL,
    node_id VARCHAR NOT NULL,
    reference VARCHAR NOT NULL DEFAULT '',
    revision INTEGER NOT NULL DEFAULT 1,
    told_revision INTEGER NOT NULL DEFAULT 0,
    -- Of the content last told; null: never told.
    told_hash VARCHAR,
    told_message VARCHAR,
    told_at INTEGER,
    -- The newest event of a transaction.
    event_id INTEGER,
    PRIMARY KEY (topic, node_id, reference)
);

CREATE INDEX peer_subjects_news ON peer_subjects (topic) WHERE told_revision < revision;
CREATE INDEX peer_subjects_told ON peer_subjects (told_at) WHERE told_at IS NOT NULL;
CREATE INDEX peer_subjects_by_node ON peer_subjects (node_id);

-- Verb: this may be news.
CREATE VIEW peer_news AS SELECT '' AS topic, '' AS node_id, '' AS reference, 0 AS event_id WHERE 0;

CREATE TRIGGER peer_news_one INSTEAD OF INSERT ON peer_news
BEGIN
    INSERT INTO peer_subjects (topic, node_id, reference, event_id)
        SELECT NEW.topic, NEW.node_id, NEW.reference, NEW.event_id
        FROM peer_self WHERE registry_id IS NOT NULL
        ON CONFLICT (topic, node_id, reference) DO UPDATE SET revision = revision + 1, event_id = excluded.event_id;
END;

CREATE TRIGGER nodes_new_to_peers AFTER INSERT ON nodes
BEGIN
    INSERT INTO peer_news (topic, node_id, reference) VALUES ('node', NEW.node_id, ''), ('health', NEW.node_id, '');
END;

CREATE TRIGGER nodes_news_to_peers AFTER UPDATE ON nodes
    WHEN NEW.address IS NOT OLD.address OR NEW.status <> OLD.status
BEGIN
    INSERT INTO peer_news (topic, node_id, reference) VALUES ('node', NEW.node_id, '');
END;

CREATE TRIGGER nodes_health_to_peers AFTER UPDATE ON nodes
    WHEN NEW.health IS NOT OLD.health OR NEW.reputation <> OLD.reputation
BEGIN
    INSERT INTO peer_news (topic, node_id, reference) VALUES ('health', NEW.node_id, '');
END;

-- What the node agrees to, and whether it is there at all, concerns all that was told of it.
CREATE TRIGGER nodes_consent_to_peers AFTER UPDATE ON nodes
    WHEN NEW.share <> OLD.share OR (NEW.status = 'deregistered') <> (OLD.status = 'deregistered')
BEGIN
    INSERT INTO peer_news (topic, node_id, reference)
        VALUES ('node', NEW.node_id, ''), ('wallet', NEW.node_id, ''), ('balance', NEW.node_id, '');
    UPDATE peer_subjects SET revision = revision + 1 WHERE node_id = NEW.node_id AND topic IN ('health', 'transaction');
END;

CREATE TRIGGER node_capabilities_new_to_peers AFTER INSERT ON node_capabilities
BEGIN
    INSERT INTO peer_news (topic, node_id, reference) VALUES ('node', NEW.node_id, '');
END;

CREATE TRIGGER node_capabilities_gone_to_peers AFTER DELETE ON node_capabilities
BEGIN
    INSERT INTO peer_news (topic, node_id, reference) VALUES ('node', OLD.node_id, '');
END;

CREATE TRIGGER wallets_new_to_peers AFTER INSERT ON wallets
BEGIN
    INSERT INTO peer_news (topic, node_id, reference) VALUES ('wallet', NEW.node_id, ''), ('balance', NEW.node_id, '');
END;

CREATE TRIGGER wallets_news_to_peers AFTER UPDATE OF address ON wallets WHEN NEW.address <> OLD.address
BEGIN
    INSERT INTO peer_news (topic, node_id, reference) VALUES ('wallet', NEW.node_id, '');
END;

CREATE TRIGGER events_balance_to_peers AFTER INSERT ON events
    WHEN NEW.type = 'balance.changed' AND EXISTS (SELECT 1 FROM peer_self WHERE sharing LIKE '%"balances"%')
BEGIN
    INSERT INTO peer_news (topic, node_id, reference) SELECT 'balance', node_id, '' FROM wallets WHERE id = NEW.wallet_id;
END;

-- Only of nodes that agree: what a node did before it agreed is not told afterwards.
CREATE TRIGGER events_transaction_to_peers AFTER INSERT ON events
    WHEN (NEW.type LIKE 'payment.%' OR NEW.type LIKE 'receive.%') AND NEW.data ->> 'txid' IS NOT NULL
        AND EXISTS (SELECT 1 FROM peer_self WHERE sharing LIKE '%"transactions"%')
BEGIN
    INSERT INTO peer_news (topic, node_id, reference, event_id)
        SELECT 'transaction', w.node_id, NEW.data ->> 'txid', NEW.id
        FROM wallets AS w JOIN nodes AS n ON n.node_id = w.node_id
        WHERE w.id = NEW.wallet_id AND n.share LIKE '%"transactions"%';
END;

-- With another id nobody knows what was said before; with other topics everything is looked at again.
CREATE TRIGGER peer_self_renamed AFTER UPDATE OF registry_id ON peer_self WHEN NEW.registry_id IS NOT OLD.registry_id
BEGIN
    DELETE FROM peer_reports WHERE received_from IS NULL;
    UPDATE peer_subjects SET told_hash = NULL, told_message = NULL, told_at = NULL;
    UPDATE peers SET hello_due = 1, sync_after = 0;
    DELETE FROM peers WHERE peer_id = NEW.registry_id;
END;

CREATE TRIGGER peer_self_changed AFTER UPDATE OF registry_id, sharing ON peer_self
    WHEN NEW.registry_id IS NOT OLD.registry_id OR NEW.sharing <> OLD.sharing
BEGIN
    UPDATE peer_subjects SET revision = revision + 1;
    INSERT INTO peer_subjects (topic, node_id)
        SELECT t.value, n.node_id FROM nodes AS n, json_each('["node", "health", "wallet", "balance"]') AS t
        WHERE TRUE ON CONFLICT (topic, node_id, reference) DO NOTHING;
END;

-- Verb: the operator's settings, `peers` as [{id, address, public_key}].
CREATE VIEW peer_configure AS
SELECT '' AS registry_id, '' AS public_key, '' AS sharing, '' AS peers, 0 AS at WHERE 0;

CREATE TRIGGER peer_configure_all INSTEAD OF INSERT ON peer_configure
BEGIN
    UPDATE peer_self SET registry_id = NEW.registry_id, public_key = COALESCE(NEW.public_key, public_key),
        sharing = NEW.sharing
        WHERE registry_id IS NOT NEW.registry_id OR public_key IS NOT COALESCE(NEW.public_key, public_key)
            OR sharing <> NEW.sharing;
    UPDATE peers SET state = 'leaving', next_try_at = 0, failures = 0
        WHERE source = 'static' AND state <> 'leaving'
            AND peer_id NOT IN (SELECT value ->> 'id' FROM json_each(NEW.peers));
    UPDATE peers SET source = 'static', address = named.value ->> 'address', public_key = named.value ->> 'public_key',
        state = CASE state WHEN 'blocked' THEN state ELSE 'joining' END, hello_due = 1, next_try_at = 0, failures = 0
        FROM json_each(NEW.peers) AS named
        WHERE peers.peer_id = named.value ->> 'id' AND (
            source <> 'static' OR state = 'leaving' OR address <> named.value ->> 'address'
            OR public_key <> named.value ->> 'public_key'
        );
    INSERT INTO peers (peer_id, address, public_key, source, created_at)
        SELECT value ->> 'id', value ->> 'address', value ->> 'public_key', 'static', NEW.at FROM json_each(NEW.peers)
        WHERE value ->> 'id' <> NEW.registry_id
        ON CONFLICT (peer_id) DO NOTHING;
END;

-- Verb: a signed message of our own about a node, if what it says is still the newest.
CREATE VIEW peer_publish AS
SELECT '' AS topic, '' AS node_id, '' AS reference, 0 AS revision, '' AS before, '' AS hash, '' AS origin, 0 AS said_at,
    '' AS message_id, '' AS body, '' AS envelope, 0 AS at
WHERE 0;

CREATE TRIGGER peer_publish_one INSTEAD OF INSERT ON peer_publish
BEGIN
    SELECT RAISE(ABORT, 'peer_subject_moved') WHERE NOT EXISTS (
        SELECT 1 FROM peer_subjects
        WHERE topic = NEW.topic AND node_id = NEW.node_id AND reference = NEW.reference
            AND revision = NEW.revision AND told_message IS NEW.before
    );
    UPDATE peer_subjects SET told_revision = NEW.revision, told_hash = NEW.hash, told_message = NEW.message_id, told_at = NEW.at
        WHERE topic = NEW.topic AND node_id = NEW.node_id AND reference = NEW.reference;
    INSERT INTO peer_merge (origin, topic, node_id, reference, said_at, message_id, body, envelope, hops, received_from, at)
        VALUES (NEW.origin, NEW.topic, NEW.node_id, NEW.reference, NEW.said_at, NEW.message_id, NEW.body, NEW.envelope,
            0, NULL, NEW.at);
END;

-- Verb: a peer does not answer. After so many times it is parked: its queue goes, because a peer that
-- is back is told everything anew.
CREATE VIEW peer_fail AS SELECT '' AS peer_id, 0 AS pause, 0 AS park_after, 0 AS parked_pause, 0 AS at WHERE 0;

CREATE TRIGGER peer_fail_one INSTEAD OF INSERT ON peer_fail
BEGIN
    UPDATE peers SET failures = failures + 1, lease_until = NEW.at,
        -- Between half and one and a half of the pause.
        next_try_at = NEW.at + NEW.pause / 2 + abs(random()) % (NEW.pause + 1)
        WHERE peer_id = NEW.peer_id;
    UPDATE peers SET state = 'parked', sync_after = 0, hello_due = 1, pong_for = NULL,
        next_try_at = NEW.at + NEW.parked_pause / 2 + abs(random()) % (NEW.parked_pause + 1)
        WHERE peer_id = NEW.peer_id AND failures >= NEW.park_after AND state IN ('joining', 'active', 'parked');
    DELETE FROM peers WHERE peer_id = NEW.peer_id AND failures >= NEW.park_after AND state = 'leaving';
    DELETE FROM peer_outbox WHERE peer_id = NEW.peer_id
        AND NOT EXISTS (SELECT 1 FROM peers WHERE peer_id = NEW.peer_id AND state = 'active');
END;

CREATE TRIGGER peers_deleted AFTER DELETE ON peers
BEGIN
    DELETE FROM peer_outbox WHERE peer_id = OLD.peer_id;
    DELETE FROM peer_refusals WHERE peer_id = OLD.peer_id;
END;

CREATE TRIGGER peers_closed AFTER UPDATE OF state ON peers WHEN NEW.state IN ('blocked', 'leaving')
BEGIN
    DELETE FROM peer_outbox WHERE peer_id = NEW.peer_id;
END;

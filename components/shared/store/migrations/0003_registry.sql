-- The registry around the wallets: who is there, how well, how trusted.

-- Status: 'registered' (no heartbeat yet), 'online', 'stale', 'offline' by the heartbeat's age,
-- 'deregistered'. Health is null until it is first assessed.
ALTER TABLE nodes ADD COLUMN health INTEGER CHECK (health BETWEEN 0 AND 100);
ALTER TABLE nodes ADD COLUMN reputation INTEGER NOT NULL DEFAULT 50 CHECK (reputation BETWEEN 0 AND 100);
ALTER TABLE nodes ADD COLUMN heartbeat_at INTEGER;
-- JSON: load, memory, uptime, version, as the node last said.
ALTER TABLE nodes ADD COLUMN heartbeat VARCHAR;
-- JSON list of what peers may be told of its wallet: 'wallet', 'transactions', 'balances'.
ALTER TABLE nodes ADD COLUMN share VARCHAR NOT NULL DEFAULT '[]';
ALTER TABLE nodes ADD COLUMN deregistered_at INTEGER;
-- When health was last assessed: the longest ago is next.
ALTER TABLE nodes ADD COLUMN health_at INTEGER NOT NULL DEFAULT 0;

-- What a run of the background work looks at must not grow with the nodes.
CREATE INDEX nodes_by_status ON nodes (status, heartbeat_at);
CREATE INDEX nodes_by_assessment ON nodes (health_at) WHERE status <> 'deregistered';

-- Every signed change stores its signature; only one of the capabilities rewrites those.
DROP TRIGGER nodes_updated;

-- Fires for every change, one with the same signature as the last too: that is a replay.
CREATE TRIGGER nodes_signed AFTER UPDATE OF signature_hash ON nodes
BEGIN
    INSERT INTO used_signatures (hash, expires_at)
        SELECT NEW.signature_hash, NEW.signature_expires_at WHERE NEW.signature_hash IS NOT NULL;
END;

CREATE TRIGGER nodes_declared AFTER UPDATE OF declared_capabilities ON nodes
    WHEN NEW.declared_capabilities <> OLD.declared_capabilities
BEGIN
    DELETE FROM node_capabilities WHERE node_id = NEW.node_id AND origin = 'declared';
    INSERT OR IGNORE INTO node_capabilities (node_id, capability, origin)
        SELECT NEW.node_id, value, 'declared' FROM json_each(NEW.declared_capabilities);
END;

-- Two additions at once stay within what one may bring.
CREATE TRIGGER nodes_declared_limit BEFORE UPDATE OF declared_capabilities ON nodes
    WHEN json_array_length(NEW.declared_capabilities) > 32
BEGIN
    SELECT RAISE(ABORT, 'too_many_capabilities');
END;

-- Deregistration is a state: the key keeps the node id, and with it the wallet. It waits until the
-- wallet holds nothing, by the ledger's own sums.
CREATE TRIGGER nodes_leave BEFORE UPDATE OF status ON nodes
    WHEN NEW.status = 'deregistered' AND OLD.status <> 'deregistered'
BEGIN
    SELECT RAISE(ABORT, 'wallet_not_empty') WHERE EXISTS (
        SELECT 1 FROM wallets AS w WHERE node_id = NEW.node_id AND (
            balance <> 0 OR confirmed <> 0 OR pending <> 0 OR reserved <> 0
            -- One that is not sent yet, whose coin a reorganisation may have hidden.
            OR EXISTS (SELECT 1 FROM payments WHERE wallet_id = w.id AND state IN ('reserved', 'signed')
                AND state IN ('reserved', 'signed', 'broadcast'))
        )
    );
END;

CREATE TRIGGER nodes_left_or_back AFTER UPDATE OF status ON nodes
    WHEN (NEW.status = 'deregistered') <> (OLD.status = 'deregistered')
BEGIN
    UPDATE wallets SET is_active = (NEW.status <> 'deregistered'), updated_at = NEW.updated_at
        WHERE node_id = NEW.node_id;
END;

CREATE TRIGGER wallets_of_registered BEFORE INSERT ON wallets
BEGIN
    SELECT RAISE(ABORT, 'node_deregistered') WHERE EXISTS (
        SELECT 1 FROM nodes WHERE node_id = NEW.node_id AND status = 'deregistered'
    );
END;

-- A send that began before its wallet was given up.
CREATE TRIGGER payments_active BEFORE INSERT ON payments
BEGIN
    SELECT RAISE(ABORT, 'wallet_inactive') WHERE EXISTS (
        SELECT 1 FROM wallets WHERE id = NEW.wallet_id AND is_active = 0
    );
END;

-- What changed a node's reputation, or would have.
CREATE TABLE reputation_events (
    id INTEGER PRIMARY KEY,
    node_id VARCHAR NOT NULL,
    type VARCHAR NOT NULL CHECK (type IN (
        'task_success', 'task_failure', 'task_timeout', 'malicious_behavior', 'health_milestone',
        'uptime_milestone', 'community_contribution',
        'payment_confirmed', 'payment_failed', 'double_spend_attempt'
    )),
    -- What it is worth, and what it changed: the score stays within 0 and 100, payments within the
    -- day's cap.
    delta INTEGER NOT NULL CHECK (delta <> 0),
    applied INTEGER NOT NULL,
    reason VARCHAR NOT NULL,
    -- The operator's name; null: the service itself, from a payment.
    operator VARCHAR,
    -- payments.payment_id
    payment_id VARCHAR,
    idempotency_key VARCHAR,
    request_hash VARCHAR,
    -- Of what it is about; the day that a cap counts.
    created_at INTEGER NOT NULL,
    UNIQUE (operator, idempotency_key),
    CHECK ((operator IS NULL) <> (payment_id IS NULL))
);

CREATE INDEX reputation_events_by_node ON reputation_events (node_id, id);
CREATE INDEX reputation_events_by_day ON reputation_events (node_id, created_at) WHERE type = 'payment_confirmed';
-- A payment that a reorganisation confirms twice counts once.
CREATE UNIQUE INDEX reputation_events_by_payment ON reputation_events (payment_id, type) WHERE payment_id IS NOT NULL;

CREATE TRIGGER reputation_events_stay BEFORE UPDATE ON reputation_events
BEGIN
    SELECT RAISE(ABORT, 'reputation_events are append-only');
END;

CREATE TRIGGER reputation_events_stay_whole BEFORE DELETE ON reputation_events
BEGIN
    SELECT RAISE(ABORT, 'reputation_events are append-only');
END;

CREATE TRIGGER reputation_events_inserted AFTER INSERT ON reputation_events
BEGIN
    UPDATE nodes SET reputation = reputation + NEW.applied WHERE node_id = NEW.node_id;
END;

-- Verb: this happened. A row at a time, so that each finds the score that the one before left.
-- `cap`: most points that payments bring in the UTC day of `at`; null for none.
CREATE VIEW rate_node AS
SELECT '' AS node_id, '' AS type, 0 AS delta, 0 AS cap, '' AS reason, '' AS operator, '' AS payment_id,
    '' AS idempotency_key, '' AS request_hash, 0 AS at
WHERE 0;

CREATE TRIGGER rate_node_one INSTEAD OF INSERT ON rate_node
BEGIN
    INSERT INTO reputation_events (node_id, type, delta, applied, reason, operator, payment_id, idempotency_key,
            request_hash, created_at)
        SELECT rated.node_id, NEW.type, NEW.delta,
            MAX(0, MIN(100, rated.reputation + rated.counted)) - rated.reputation,
            NEW.reason, NEW.operator, NEW.payment_id, NEW.idempotency_key, NEW.request_hash, NEW.at
        FROM (
            SELECT node_id, reputation, CASE
                WHEN NEW.cap IS NULL THEN NEW.delta
                ELSE MIN(NEW.delta, MAX(0, NEW.cap - (
                    SELECT COALESCE(SUM(e.applied), 0) FROM reputation_events AS e
                    WHERE e.type = 'payment_confirmed' AND e.node_id = NEW.node_id
                        AND e.created_at >= NEW.at - NEW.at % 86400
                        AND e.created_at < NEW.at - NEW.at % 86400 + 86400
                )))
            END AS counted
            FROM nodes WHERE node_id = NEW.node_id
        ) AS rated
        WHERE NEW.delta <> 0 AND NOT EXISTS (
            SELECT 1 FROM reputation_events AS e WHERE e.payment_id = NEW.payment_id AND e.type = NEW.type
        );
END;

-- How far payments have been looked at (events.id): those before there was a reputation bring nothing.
CREATE TABLE registry_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    rated_event INTEGER NOT NULL
);

INSERT INTO registry_state (id, rated_event) SELECT 1, COALESCE(MAX(id), 0) FROM events;

-- Verb: rate nodes by the next events, at most `events` of them, by these rules.
CREATE VIEW rate_payments AS
SELECT 0 AS events, 0 AS confirmed, 0 AS failed, 0 AS double_spend, 0 AS cap, 0 AS min_amount WHERE 0;

CREATE TRIGGER rate_payments_next INSTEAD OF INSERT ON rate_payments
BEGIN
    INSERT INTO rate_node (node_id, type, delta, cap, reason, payment_id, at)
        SELECT rated.node_id, rated.type,
            CASE rated.type
                WHEN 'payment_confirmed' THEN NEW.confirmed
                WHEN 'payment_failed' THEN NEW.failed
                ELSE NEW.double_spend
            END,
            CASE rated.type WHEN 'payment_confirmed' THEN NEW.cap END,
            CASE rated.type
                WHEN 'payment_confirmed' THEN 'a payment confirmed'
                WHEN 'payment_failed' THEN 'an operator refused a payment'
                ELSE 'a payment spent a deposit that was taken back'
            END,
            rated.payment_id, rated.created_at
        FROM (
            SELECT e.id, e.created_at, p.node_id, p.payment_id, CASE
                WHEN e.type = 'payment.confirmed' AND p.amount >= NEW.min_amount AND NOT EXISTS (
                    -- To oneself: a payment for nothing.
                    SELECT 1 FROM addresses AS a WHERE a.address = p.recipient_address AND a.wallet_id = p.wallet_id
                ) THEN 'payment_confirmed'
                WHEN e.type = 'payment.refused' THEN 'payment_failed'
                WHEN e.type = 'payment.failed' AND e.data ->> 'failure' = 'conflict' AND EXISTS (
                    -- What payments of this service made, under whatever txid it confirmed, is nobody's
                    -- deposit, and nor is a block's reward.
                    SELECT 1 FROM json_each(p.inputs) AS i
                    JOIN outputs AS o ON o.txid = i.value ->> 'txid' AND o.vout = i.value ->> 'vout'
                    WHERE o.state IN ('missing', 'dead') AND o.is_own = 0 AND o.is_coinbase = 0
                        AND NOT EXISTS (SELECT 1 FROM payments AS made WHERE made.txid = o.txid)
                ) THEN 'double_spend_attempt'
            END AS type
            FROM (
                SELECT id, type, data, created_at FROM events
                WHERE id > (SELECT rated_event FROM registry_state) ORDER BY id LIMIT NEW.events
            ) AS e
            JOIN payments AS p ON p.payment_id = e.data ->> 'payment_id'
            WHERE e.type IN ('payment.confirmed', 'payment.failed', 'payment.refused')
        ) AS rated
        WHERE rated.type IS NOT NULL ORDER BY rated.id;
    UPDATE registry_state SET rated_event = COALESCE((
        SELECT MAX(id) FROM (
            SELECT id FROM events WHERE id > (SELECT rated_event FROM registry_state) ORDER BY id LIMIT NEW.events
        )
    ), rated_event);
END;

-- Notifications: where nodes want to be told of their wallets' events, and what has been told.

-- Ids are never used again: whoever still talks to an endpoint that is gone must not find another's.
CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What the API calls it; its key is derived from it.
    webhook_id VARCHAR NOT NULL UNIQUE,
    wallet_id INTEGER NOT NULL,
    url VARCHAR NOT NULL,
    -- JSON list of types; `payment.*` means all that begin so, `*` all.
    event_types VARCHAR NOT NULL,
    is_enabled INTEGER NOT NULL DEFAULT 1,
    -- Why it is not: 'paused' (by the node), 'gone' (it answered 410), 'failing'.
    disabled_reason VARCHAR CHECK ((disabled_reason IS NULL) = is_enabled),
    disabled_at INTEGER,
    key_version INTEGER NOT NULL DEFAULT 1,
    -- Until when the key before signs as well, and the request that changed it.
    previous_key_until INTEGER,
    rotation_key VARCHAR,
    -- Of the first attempt that failed and had no success after it.
    failing_since INTEGER,
    -- No later than its next attempt; null while there is none to come.
    due_at INTEGER,
    -- Whoever delivers to it has it until then.
    busy_until INTEGER NOT NULL DEFAULT 0,
    idempotency_key VARCHAR,
    request_hash VARCHAR NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (wallet_id, idempotency_key)
);

CREATE INDEX webhooks_due ON webhooks (due_at) WHERE due_at IS NOT NULL;

-- One message to one endpoint. A sequence is null for a test.
CREATE TABLE webhook_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id INTEGER NOT NULL,
    sequence INTEGER,
    type VARCHAR NOT NULL,
    status VARCHAR NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL,
    last_attempt_at INTEGER,
    last_status INTEGER,
    last_error VARCHAR,
    created_at INTEGER NOT NULL,
    finished_at INTEGER CHECK ((finished_at IS NULL) = (status = 'pending')),
    UNIQUE (webhook_id, sequence)
);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at, sequence) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id, id);
-- One test at a time.
CREATE UNIQUE INDEX webhook_tests ON webhook_deliveries (webhook_id) WHERE sequence IS NULL AND status = 'pending';

-- An event and its deliveries are written in one step: none can be lost in between. A filter is a
-- pattern of GLOB as it is.
CREATE TRIGGER events_notify AFTER INSERT ON events
BEGIN
    INSERT INTO webhook_deliveries (webhook_id, sequence, type, next_attempt_at, created_at)
        SELECT id, NEW.sequence, NEW.type, NEW.created_at, NEW.created_at FROM webhooks
        WHERE wallet_id = NEW.wallet_id AND is_enabled = 1
            AND EXISTS (SELECT 1 FROM json_each(event_types) WHERE NEW.type GLOB value);
END;

CREATE TRIGGER webhook_deliveries_inserted AFTER INSERT ON webhook_deliveries
BEGIN
    UPDATE webhooks SET due_at = NEW.next_attempt_at
        WHERE id = NEW.webhook_id AND (due_at IS NULL OR due_at > NEW.next_attempt_at);
END;

CREATE TRIGGER webhook_deliveries_moved AFTER UPDATE OF next_attempt_at ON webhook_deliveries
    WHEN NEW.status = 'pending'
BEGIN
    UPDATE webhooks SET due_at = NEW.next_attempt_at
        WHERE id = NEW.webhook_id AND (due_at IS NULL OR due_at > NEW.next_attempt_at);
END;

-- An endpoint that says it is gone, or has failed for five days, is told no more.
CREATE TRIGGER webhook_deliveries_attempted AFTER UPDATE OF attempts ON webhook_deliveries
    WHEN NEW.attempts > OLD.attempts
BEGIN
    UPDATE webhooks SET failing_since =
            CASE NEW.status WHEN 'delivered' THEN NULL ELSE COALESCE(failing_since, NEW.last_attempt_at) END
        WHERE id = NEW.webhook_id;
    UPDATE webhooks SET is_enabled = 0, disabled_at = NEW.last_attempt_at, updated_at = NEW.last_attempt_at,
            disabled_reason = CASE NEW.last_status WHEN 410 THEN 'gone' ELSE 'failing' END
        WHERE id = NEW.webhook_id AND is_enabled = 1 AND NEW.status <> 'delivered'
            AND (NEW.last_status = 410 OR failing_since <= NEW.last_attempt_at - 432000);
END;

-- What is pending then waits for a replay, and the wallet's other endpoints are told.
CREATE TRIGGER webhooks_disabled AFTER UPDATE OF is_enabled ON webhooks
    WHEN OLD.is_enabled = 1 AND NEW.is_enabled = 0
BEGIN
    UPDATE webhook_deliveries SET status = 'failed', finished_at = NEW.disabled_at,
            last_error = COALESCE(last_error, 'the endpoint was disabled')
        WHERE webhook_id = NEW.id AND status = 'pending';
    UPDATE webhooks SET due_at = NULL WHERE id = NEW.id;
    INSERT INTO tell (wallet_id, type, data, at)
        SELECT NEW.wallet_id, 'webhook.disabled', json_object(
            'webhook_id', NEW.webhook_id, 'url', NEW.url, 'reason', NEW.disabled_reason
        ), NEW.disabled_at
        WHERE NEW.disabled_reason <> 'paused';
END;

CREATE TRIGGER webhooks_deleted AFTER DELETE ON webhooks
BEGIN
    DELETE FROM webhook_deliveries WHERE webhook_id = OLD.id;
END;

-- Who waits for a wallet's events just now. Each takes an instance of the component, so that a wallet
-- has at most four: with a fifth the oldest ends.
CREATE TABLE event_readers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    wallet_id INTEGER NOT NULL,
    begun_at INTEGER NOT NULL
);

CREATE INDEX event_readers_by_wallet ON event_readers (wallet_id, id);

CREATE TRIGGER event_readers_inserted AFTER INSERT ON event_readers
BEGIN
    DELETE FROM event_readers WHERE wallet_id = NEW.wallet_id
        AND (begun_at < NEW.begun_at - 60 OR id <= (
            SELECT id FROM event_readers WHERE wallet_id = NEW.wallet_id ORDER BY id DESC LIMIT 1 OFFSET 4
        ));
END;

-- The specification's tables, column names kept, and what exact money needs beside them.
--
-- Amounts are whole florins (1 FLOP = 10^8). Times are unix seconds. The rules that two requests
-- at once could break are constraints and triggers here, because the database is the only place
-- that all processes share: one INSERT either passes all of them or changes nothing.
--
-- A statement ends with a line that starts in the first column and ends with a semicolon.

-- Hashes of accepted signing strings until their time window ends: a second use is a replay.
CREATE TABLE used_signatures (
    hash VARCHAR NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
);

CREATE INDEX used_signatures_by_expiry ON used_signatures (expires_at);

-- Expired hashes leave as new ones come, a few at a time.
CREATE TRIGGER used_signatures_forget AFTER INSERT ON used_signatures
BEGIN
    DELETE FROM used_signatures WHERE hash IN (
        SELECT hash FROM used_signatures WHERE expires_at < NEW.expires_at - 300 LIMIT 4
    );
END;

CREATE TABLE nodes (
    id INTEGER PRIMARY KEY,
    node_id VARCHAR NOT NULL UNIQUE,
    -- Ed25519, lower-case hex. Null only where requests are not signed (auth_mode off).
    public_key VARCHAR,
    -- Where the node listens, as it says itself.
    address VARCHAR,
    -- JSON list; the trigger keeps node_capabilities.
    declared_capabilities VARCHAR NOT NULL DEFAULT '[]',
    status VARCHAR NOT NULL DEFAULT 'registered',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    signature_hash VARCHAR,
    signature_expires_at INTEGER
);

-- Capabilities by origin: 'declared' by the node, 'wallet' because it has one.
CREATE TABLE node_capabilities (
    node_id VARCHAR NOT NULL,
    capability VARCHAR NOT NULL,
    origin VARCHAR NOT NULL,
    PRIMARY KEY (node_id, capability)
);

CREATE INDEX node_capabilities_by_name ON node_capabilities (capability, node_id);

CREATE TRIGGER nodes_inserted AFTER INSERT ON nodes
BEGIN
    INSERT INTO used_signatures (hash, expires_at)
        SELECT NEW.signature_hash, NEW.signature_expires_at WHERE NEW.signature_hash IS NOT NULL;
    INSERT OR IGNORE INTO node_capabilities (node_id, capability, origin)
        SELECT NEW.node_id, value, 'declared' FROM json_each(NEW.declared_capabilities);
END;

-- Fires for every registration, one with the same signature as the last too: that is a replay.
CREATE TRIGGER nodes_updated AFTER UPDATE OF signature_hash ON nodes
BEGIN
    INSERT INTO used_signatures (hash, expires_at)
        SELECT NEW.signature_hash, NEW.signature_expires_at WHERE NEW.signature_hash IS NOT NULL;
    DELETE FROM node_capabilities WHERE node_id = NEW.node_id AND origin = 'declared';
    INSERT OR IGNORE INTO node_capabilities (node_id, capability, origin)
        SELECT NEW.node_id, value, 'declared' FROM json_each(NEW.declared_capabilities);
END;

CREATE TABLE wallets (
    id INTEGER PRIMARY KEY,
    node_id VARCHAR NOT NULL UNIQUE,
    wallet_name VARCHAR NOT NULL,
    -- The newest address; all of them stay the wallet's (table addresses).
    address VARCHAR NOT NULL,
    wallet_type VARCHAR NOT NULL DEFAULT 'flopcoin',
    -- Florins, as last computed from the chain; for whoever reads the file. Answers never use it.
    balance INTEGER NOT NULL DEFAULT 0,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER,
    idempotency_key VARCHAR,
    request_hash VARCHAR NOT NULL,
    signature_hash VARCHAR,
    signature_expires_at INTEGER
);

CREATE TABLE addresses (
    id INTEGER PRIMARY KEY,
    address VARCHAR NOT NULL UNIQUE,
    wallet_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    idempotency_key VARCHAR,
    signature_hash VARCHAR,
    signature_expires_at INTEGER,
    UNIQUE (wallet_id, idempotency_key)
);

CREATE TRIGGER wallets_inserted AFTER INSERT ON wallets
BEGIN
    INSERT INTO used_signatures (hash, expires_at)
        SELECT NEW.signature_hash, NEW.signature_expires_at WHERE NEW.signature_hash IS NOT NULL;
    INSERT INTO addresses (address, wallet_id, created_at) VALUES (NEW.address, NEW.id, NEW.created_at);
    INSERT OR REPLACE INTO node_capabilities (node_id, capability, origin) VALUES (NEW.node_id, 'wallet', 'wallet');
END;

-- Each address costs the chain node's wallet memory and every read of the balance time.
CREATE TRIGGER addresses_limit BEFORE INSERT ON addresses
BEGIN
    SELECT RAISE(ABORT, 'address_limit_reached')
        WHERE (SELECT COUNT(*) FROM addresses WHERE wallet_id = NEW.wallet_id) >= 1000;
END;

CREATE TRIGGER addresses_inserted AFTER INSERT ON addresses
BEGIN
    INSERT INTO used_signatures (hash, expires_at)
        SELECT NEW.signature_hash, NEW.signature_expires_at WHERE NEW.signature_hash IS NOT NULL;
    UPDATE wallets SET address = NEW.address, updated_at = NEW.created_at
        WHERE id = NEW.wallet_id AND address <> NEW.address;
END;

-- One row per payment that was ever reserved. States:
--   reserved   coins and quota are taken, nothing is signed
--   signed     the bytes are stored; they may have reached the chain node
--   broadcast  the chain node has them in its mempool
--   confirmed  in a block, deep enough
--   failed     provably never to confirm; coins and quota are back
CREATE TABLE payments (
    id INTEGER PRIMARY KEY,
    -- What clients know the payment by.
    payment_id VARCHAR NOT NULL UNIQUE DEFAULT (lower(hex(randomblob(16)))),
    node_id VARCHAR NOT NULL,
    wallet_id INTEGER NOT NULL,
    idempotency_key VARCHAR,
    request_hash VARCHAR NOT NULL,
    recipient_address VARCHAR NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    fee INTEGER NOT NULL CHECK (fee >= 0),
    change_amount INTEGER NOT NULL CHECK (change_amount >= 0),
    change_address VARCHAR NOT NULL,
    -- JSON list of {txid, vout, value}; the trigger reserves them in payment_inputs.
    inputs VARCHAR NOT NULL,
    state VARCHAR NOT NULL DEFAULT 'reserved'
        CHECK (state IN ('reserved', 'signed', 'broadcast', 'confirmed', 'failed')),
    txid VARCHAR,
    -- The signed transaction; a repeat sends these bytes and no others.
    raw_transaction VARCHAR,
    -- Counted before each attempt. A refusal proves the payment dead only on the first.
    broadcast_attempts INTEGER NOT NULL DEFAULT 0,
    -- Until then one request works on the payment; afterwards another may take over.
    lease_until INTEGER NOT NULL,
    failure VARCHAR,
    block_height INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    confirmed_at INTEGER,
    -- The limit this payment was checked against.
    window_seconds INTEGER NOT NULL,
    window_payments INTEGER NOT NULL,
    signature_hash VARCHAR,
    signature_expires_at INTEGER,
    UNIQUE (node_id, idempotency_key)
);

CREATE INDEX payments_by_wallet ON payments (wallet_id, created_at);

CREATE INDEX payments_by_txid ON payments (txid);

CREATE INDEX payments_unsettled ON payments (wallet_id, state) WHERE state IN ('reserved', 'signed', 'broadcast');

-- A coin belongs to one payment, until that payment has failed.
CREATE TABLE payment_inputs (
    txid VARCHAR NOT NULL,
    vout INTEGER NOT NULL,
    value INTEGER NOT NULL CHECK (value > 0),
    payment_id INTEGER NOT NULL,
    wallet_id INTEGER NOT NULL,
    PRIMARY KEY (txid, vout)
);

CREATE INDEX payment_inputs_by_payment ON payment_inputs (payment_id);

CREATE INDEX payment_inputs_by_wallet ON payment_inputs (wallet_id);

-- Payments that failed do not count, all others do from the moment they are reserved.
CREATE TRIGGER payments_limit BEFORE INSERT ON payments
BEGIN
    SELECT RAISE(ABORT, 'rate_limit_exceeded') WHERE NEW.window_payments <= (
        SELECT COUNT(*) FROM payments
        WHERE wallet_id = NEW.wallet_id AND state <> 'failed' AND created_at > NEW.created_at - NEW.window_seconds
    );
END;

-- Money out is money in: the inputs are exactly amount, fee and change.
CREATE TRIGGER payments_reserve AFTER INSERT ON payments
BEGIN
    INSERT INTO used_signatures (hash, expires_at)
        SELECT NEW.signature_hash, NEW.signature_expires_at WHERE NEW.signature_hash IS NOT NULL;
    INSERT INTO payment_inputs (txid, vout, value, payment_id, wallet_id)
        SELECT value ->> 'txid', value ->> 'vout', value ->> 'value', NEW.id, NEW.wallet_id FROM json_each(NEW.inputs);
    SELECT RAISE(ABORT, 'inputs_do_not_balance') WHERE NEW.amount + NEW.fee + NEW.change_amount <> (
        SELECT COALESCE(SUM(value), 0) FROM payment_inputs WHERE payment_id = NEW.id
    );
END;

CREATE TRIGGER payments_transition BEFORE UPDATE OF state ON payments WHEN NEW.state <> OLD.state
BEGIN
    SELECT RAISE(ABORT, 'invalid_state_transition') WHERE (OLD.state || '>' || NEW.state) NOT IN (
        'reserved>signed', 'reserved>failed',
        'signed>broadcast', 'signed>confirmed', 'signed>failed',
        'broadcast>confirmed', 'broadcast>failed',
        'confirmed>broadcast'
    );
END;

-- The specification's history. One transaction can pay several of our wallets and one wallet
-- twice, so its identity is wallet, txid, type and output.
CREATE TABLE transactions (
    id INTEGER PRIMARY KEY,
    wallet_id INTEGER NOT NULL,
    txid VARCHAR NOT NULL,
    vout INTEGER NOT NULL,
    recipient_address VARCHAR NOT NULL,
    amount INTEGER NOT NULL,
    transaction_type VARCHAR NOT NULL DEFAULT 'send' CHECK (transaction_type IN ('send', 'receive')),
    status VARCHAR NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'confirmed', 'failed')),
    fee INTEGER NOT NULL DEFAULT 0,
    block_height INTEGER,
    created_at INTEGER NOT NULL,
    confirmed_at INTEGER,
    payment_id VARCHAR,
    UNIQUE (wallet_id, txid, transaction_type, vout)
);

CREATE INDEX transactions_by_wallet ON transactions (wallet_id, id);

CREATE INDEX transactions_by_payment ON transactions (payment_id);

-- History is derived from the payment in the same step. The recipient is output 0. Signatures are
-- deterministic, so a payment that is made again after it failed can be the same transaction: then
-- its row is the newer payment's.
CREATE TRIGGER payments_signed AFTER UPDATE OF state ON payments WHEN OLD.state = 'reserved' AND NEW.state = 'signed'
BEGIN
    INSERT INTO transactions (wallet_id, txid, vout, recipient_address, amount, transaction_type, fee, created_at, payment_id)
        VALUES (NEW.wallet_id, NEW.txid, 0, NEW.recipient_address, NEW.amount, 'send', NEW.fee, NEW.created_at, NEW.payment_id)
        ON CONFLICT (wallet_id, txid, transaction_type, vout) DO UPDATE SET
            status = 'pending', created_at = excluded.created_at, payment_id = excluded.payment_id;
END;

CREATE TRIGGER payments_settled AFTER UPDATE OF state ON payments
BEGIN
    UPDATE transactions SET
        status = CASE NEW.state WHEN 'confirmed' THEN 'confirmed' WHEN 'failed' THEN 'failed' ELSE 'pending' END,
        block_height = NEW.block_height,
        confirmed_at = NEW.confirmed_at
        WHERE payment_id = NEW.payment_id;
    DELETE FROM payment_inputs WHERE payment_id = NEW.id AND NEW.state = 'failed';
END;

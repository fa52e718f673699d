-- The ledger: what the chain holds for each wallet, kept so that a balance is one row.
--
-- The tracker tells the database what it saw through views (apply_blocks, roll_back,
-- apply_mempool): one INSERT into such a view is one atomic step, refused as a whole when another
-- tracker was faster ('ledger_moved'). Everything that follows from what was seen - balances,
-- movements, history, events - is done by triggers in the same step, so none can disagree.

-- The ledger's place in the chain, and what belongs to the whole service. One row.
CREATE TABLE chain_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- The last block that is in the ledger. Null before the first.
    height INTEGER,
    hash VARCHAR,
    block_time INTEGER,
    -- Of the chain node when it was last asked.
    network VARCHAR,
    tip_height INTEGER,
    -- Florins per 1000 bytes.
    fee_rate INTEGER,
    -- When the ledger was last level with the node's tip and mempool.
    synced_at INTEGER,
    -- One tracker runs at a time to save work; correctness does not need it.
    lease_holder VARCHAR,
    lease_until INTEGER NOT NULL DEFAULT 0,
    -- The watchdog's round: addresses up to this row are compared.
    watchdog_cursor INTEGER NOT NULL DEFAULT 0,
    watchdog_sum INTEGER NOT NULL DEFAULT 0,
    -- The last whole round: florins that ledger and chain node disagree on, and its end.
    watchdog_drift INTEGER,
    watchdog_at INTEGER,
    backup_at INTEGER,
    -- While this is set no payment is reserved.
    sends_stopped_at INTEGER,
    sends_stopped_reason VARCHAR
);

INSERT INTO chain_state (id) VALUES (1);

-- The newest blocks in the ledger, to find where a reorganisation begins.
CREATE TABLE blocks (
    height INTEGER PRIMARY KEY,
    hash VARCHAR NOT NULL,
    time INTEGER NOT NULL
);

-- Transactions of the mempool that were looked at.
CREATE TABLE mempool (
    txid VARCHAR NOT NULL PRIMARY KEY
) WITHOUT ROWID;

-- Addresses that belong to nobody yet.
CREATE TABLE address_pool (
    id INTEGER PRIMARY KEY,
    address VARCHAR NOT NULL UNIQUE
);

-- Balances were read from the chain node before; they are the ledger's sums now. `balance` is what
-- the wallet can spend; `confirmed` what is deep enough, reserved or not; `pending` what is neither
-- deep enough nor own change; `reserved` what payments not yet sent have taken.
ALTER TABLE wallets ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE wallets ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;
ALTER TABLE wallets ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
-- Set while a statement moves money; its end tells that as one event.
ALTER TABLE wallets ADD COLUMN balance_changed INTEGER NOT NULL DEFAULT 0;
UPDATE wallets SET balance = 0;

CREATE INDEX wallets_balance_changed ON wallets (id) WHERE balance_changed = 1;

ALTER TABLE payments ADD COLUMN block_hash VARCHAR;
-- Not sent again before.
ALTER TABLE payments ADD COLUMN next_broadcast_at INTEGER NOT NULL DEFAULT 0;

ALTER TABLE transactions ADD COLUMN block_hash VARCHAR;

-- What a run of the tracker looks at must not grow with what is settled: each of its questions finds
-- its rows by one of these and the outputs' indexes.
CREATE INDEX payments_by_state ON payments (state, block_height);

DROP INDEX transactions_by_payment;
CREATE INDEX transactions_by_payment ON transactions (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX transactions_elsewhere ON transactions (block_height)
WHERE payment_id IS NULL AND transaction_type = 'send' AND status = 'pending';

-- Every output that ever paid one of our addresses.
--   unconfirmed  in the mempool, or made by a payment that is not confirmed
--   confirmed    in a block of the best chain
--   missing      was seen, and is now in neither; may come back
--   dead         will not come back: a conflicting transaction is deep enough, or its payment failed
CREATE TABLE outputs (
    txid VARCHAR NOT NULL,
    vout INTEGER NOT NULL,
    wallet_id INTEGER NOT NULL,
    address VARCHAR NOT NULL,
    value INTEGER NOT NULL CHECK (value > 0),
    is_coinbase INTEGER NOT NULL DEFAULT 0,
    -- Made by a payment of the same wallet: spendable before it is confirmed.
    is_own INTEGER NOT NULL DEFAULT 0,
    is_change INTEGER NOT NULL DEFAULT 0,
    state VARCHAR NOT NULL CHECK (state IN ('unconfirmed', 'confirmed', 'missing', 'dead')),
    height INTEGER,
    block_hash VARCHAR,
    block_time INTEGER,
    -- 1: deep enough.
    settled INTEGER NOT NULL DEFAULT 0,
    -- The payment that has taken it (payments.id).
    reserved_by INTEGER,
    spent_by VARCHAR,
    spent_height INTEGER,
    -- Why the row last changed: the reason of the movement. Empty: the payment writes its own.
    cause VARCHAR NOT NULL,
    changed_at INTEGER NOT NULL,
    -- When the chain node was last asked about a missing one.
    asked_at INTEGER NOT NULL DEFAULT 0,
    -- What of it the wallet owns, can spend, waits for, has reserved.
    held INTEGER GENERATED ALWAYS AS (
        CASE WHEN state IN ('unconfirmed', 'confirmed') AND spent_by IS NULL THEN value ELSE 0 END
    ) VIRTUAL,
    spendable INTEGER GENERATED ALWAYS AS (
        CASE WHEN state IN ('unconfirmed', 'confirmed') AND spent_by IS NULL AND reserved_by IS NULL
            AND (settled = 1 OR is_own = 1) THEN value ELSE 0 END
    ) VIRTUAL,
    awaited INTEGER GENERATED ALWAYS AS (
        CASE WHEN state IN ('unconfirmed', 'confirmed') AND spent_by IS NULL AND reserved_by IS NULL
            AND settled = 0 AND is_own = 0 THEN value ELSE 0 END
    ) VIRTUAL,
    PRIMARY KEY (txid, vout),
    CHECK ((state = 'confirmed') = (height IS NOT NULL)),
    CHECK (settled = 0 OR state = 'confirmed')
);

CREATE INDEX outputs_spendable ON outputs (wallet_id, spendable) WHERE spendable > 0;
CREATE INDEX outputs_by_address ON outputs (address);
CREATE INDEX outputs_by_height ON outputs (height) WHERE height IS NOT NULL;
CREATE INDEX outputs_unsettled ON outputs (height) WHERE settled = 0 AND height IS NOT NULL;
CREATE INDEX outputs_unconfirmed ON outputs (txid) WHERE state = 'unconfirmed';
CREATE INDEX outputs_missing ON outputs (asked_at) WHERE state = 'missing';
CREATE INDEX outputs_by_spender ON outputs (spent_by) WHERE spent_by IS NOT NULL;
CREATE INDEX outputs_spent_floating ON outputs (spent_by) WHERE spent_by IS NOT NULL AND spent_height IS NULL;
CREATE INDEX outputs_by_spent_height ON outputs (spent_height) WHERE spent_height IS NOT NULL;

-- Every change of what a wallet owns, and why. Their sum is the sum of `held`.
--   receive          an output paid the wallet
--   payment, fee     the wallet's payment took coins: to the recipient, to the miner
--   change           back from them, less and then more: to the new output
--   payment_failed   a payment will never confirm: its coins are back, its outputs are gone
--   spent_elsewhere  the coin was spent by a transaction that no payment of this service made
--   dropped          an unconfirmed transaction left the mempool, or came back
--   reorganisation   a block left the best chain, or a transaction came back into it
CREATE TABLE movements (
    id INTEGER PRIMARY KEY,
    wallet_id INTEGER NOT NULL,
    amount INTEGER NOT NULL CHECK (amount <> 0),
    reason VARCHAR NOT NULL CHECK (reason IN (
        'receive', 'payment', 'fee', 'change', 'payment_failed', 'spent_elsewhere', 'dropped', 'reorganisation'
    )),
    txid VARCHAR NOT NULL,
    vout INTEGER,
    payment_id VARCHAR,
    height INTEGER,
    created_at INTEGER NOT NULL
);

CREATE INDEX movements_by_wallet ON movements (wallet_id, id);

CREATE TRIGGER movements_stay BEFORE UPDATE ON movements
BEGIN
    SELECT RAISE(ABORT, 'movements are append-only');
END;

CREATE TRIGGER movements_stay_whole BEFORE DELETE ON movements
BEGIN
    SELECT RAISE(ABORT, 'movements are append-only');
END;

-- What happened, in order, for whoever wants to be told. `data` is a JSON object; amounts in it are
-- florins as text.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    wallet_id INTEGER NOT NULL,
    -- 1, 2, 3... for each wallet.
    sequence INTEGER NOT NULL,
    type VARCHAR NOT NULL,
    data VARCHAR NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (wallet_id, sequence)
);

CREATE TRIGGER events_stay BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

CREATE TRIGGER events_stay_whole BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

-- Verb: tell one event.
CREATE VIEW tell AS SELECT 0 AS wallet_id, '' AS type, '' AS data, 0 AS at WHERE 0;

CREATE TRIGGER tell_one INSTEAD OF INSERT ON tell
BEGIN
    INSERT INTO events (wallet_id, sequence, type, data, created_at) VALUES (
        NEW.wallet_id,
        (SELECT COALESCE(MAX(sequence), 0) + 1 FROM events WHERE wallet_id = NEW.wallet_id),
        NEW.type, NEW.data, NEW.at
    );
END;

-- Verb: tell the balances that have changed since.
CREATE VIEW tell_balances AS SELECT 0 AS at WHERE 0;

CREATE TRIGGER tell_balances_changed INSTEAD OF INSERT ON tell_balances
BEGIN
    INSERT INTO tell (wallet_id, type, data, at)
        SELECT id, 'balance.changed', json_object(
            'balance', CAST(balance AS TEXT), 'confirmed', CAST(confirmed AS TEXT),
            'pending', CAST(pending AS TEXT), 'reserved', CAST(reserved AS TEXT)
        ), NEW.at
        FROM wallets WHERE balance_changed = 1;
    UPDATE wallets SET balance_changed = 0, updated_at = NEW.at WHERE balance_changed = 1;
END;

DROP TRIGGER wallets_inserted;

CREATE TRIGGER wallets_inserted AFTER INSERT ON wallets
BEGIN
    INSERT INTO used_signatures (hash, expires_at)
        SELECT NEW.signature_hash, NEW.signature_expires_at WHERE NEW.signature_hash IS NOT NULL;
    INSERT INTO addresses (address, wallet_id, created_at) VALUES (NEW.address, NEW.id, NEW.created_at);
    INSERT OR REPLACE INTO node_capabilities (node_id, capability, origin) VALUES (NEW.node_id, 'wallet', 'wallet');
    INSERT INTO tell (wallet_id, type, data, at) VALUES (
        NEW.id, 'wallet.created', json_object('node_id', NEW.node_id, 'address', NEW.address), NEW.created_at
    );
END;

DROP TRIGGER addresses_inserted;

CREATE TRIGGER addresses_inserted AFTER INSERT ON addresses
BEGIN
    INSERT INTO used_signatures (hash, expires_at)
        SELECT NEW.signature_hash, NEW.signature_expires_at WHERE NEW.signature_hash IS NOT NULL;
    DELETE FROM address_pool WHERE address = NEW.address;
    UPDATE wallets SET address = NEW.address, updated_at = NEW.created_at
        WHERE id = NEW.wallet_id AND address <> NEW.address;
END;

-- A new output: money, history (change has none), event.
CREATE TRIGGER outputs_inserted AFTER INSERT ON outputs
BEGIN
    INSERT INTO movements (wallet_id, amount, reason, txid, vout, height, created_at)
        SELECT NEW.wallet_id, NEW.held, NEW.cause, NEW.txid, NEW.vout, NEW.height, NEW.changed_at WHERE NEW.held > 0;
    UPDATE wallets SET
        balance = balance + NEW.spendable,
        confirmed = confirmed + NEW.held * NEW.settled,
        pending = pending + NEW.awaited,
        reserved = reserved + NEW.held * (NEW.reserved_by IS NOT NULL),
        balance_changed = 1
        WHERE id = NEW.wallet_id;
    INSERT INTO transactions (wallet_id, txid, vout, recipient_address, amount, transaction_type, block_height,
            block_hash, created_at)
        SELECT NEW.wallet_id, NEW.txid, NEW.vout, NEW.address, NEW.value, 'receive', NEW.height,
            NEW.block_hash, NEW.changed_at
        WHERE NEW.is_change = 0
        ON CONFLICT (wallet_id, txid, transaction_type, vout) DO NOTHING;
    INSERT INTO tell (wallet_id, type, data, at)
        SELECT NEW.wallet_id, 'receive.seen', json_object('txid', NEW.txid, 'vout', NEW.vout,
            'address', NEW.address, 'amount', CAST(NEW.value AS TEXT), 'height', NEW.height), NEW.changed_at
        WHERE NEW.is_change = 0;
END;

CREATE TRIGGER outputs_updated AFTER UPDATE ON outputs
    WHEN NEW.held <> OLD.held OR NEW.spendable <> OLD.spendable OR NEW.awaited <> OLD.awaited
        OR NEW.settled <> OLD.settled OR (NEW.reserved_by IS NULL) <> (OLD.reserved_by IS NULL)
BEGIN
    INSERT INTO movements (wallet_id, amount, reason, txid, vout, height, created_at)
        SELECT NEW.wallet_id, NEW.held - OLD.held, NEW.cause, NEW.txid, NEW.vout, NEW.height, NEW.changed_at
        WHERE NEW.held <> OLD.held AND NEW.cause <> '';
    UPDATE wallets SET
        balance = balance + NEW.spendable - OLD.spendable,
        confirmed = confirmed + NEW.held * NEW.settled - OLD.held * OLD.settled,
        pending = pending + NEW.awaited - OLD.awaited,
        reserved = reserved + NEW.held * (NEW.reserved_by IS NOT NULL) - OLD.held * (OLD.reserved_by IS NOT NULL),
        balance_changed = 1
        WHERE id = NEW.wallet_id;
END;

-- The history of a receive follows its output.
CREATE TRIGGER outputs_history AFTER UPDATE ON outputs
    WHEN NEW.is_change = 0 AND (NEW.state <> OLD.state OR NEW.settled <> OLD.settled OR NEW.block_hash IS NOT OLD.block_hash)
BEGIN
    UPDATE transactions SET
        status = CASE WHEN NEW.state = 'dead' THEN 'failed' WHEN NEW.settled = 1 THEN 'confirmed' ELSE 'pending' END,
        block_height = NEW.height,
        block_hash = NEW.block_hash,
        confirmed_at = CASE WHEN NEW.settled = 1 THEN NEW.block_time END
        WHERE wallet_id = NEW.wallet_id AND txid = NEW.txid AND transaction_type = 'receive' AND vout = NEW.vout;
    INSERT INTO tell (wallet_id, type, data, at)
        SELECT NEW.wallet_id,
            CASE
                WHEN NEW.settled = 1 THEN 'receive.confirmed'
                WHEN NEW.state = 'dead' THEN 'receive.failed'
                WHEN OLD.state = 'confirmed' THEN 'receive.reorganised'
                ELSE 'receive.seen'
            END,
            json_object('txid', NEW.txid, 'vout', NEW.vout, 'address', NEW.address,
                'amount', CAST(NEW.value AS TEXT), 'height', NEW.height),
            NEW.changed_at
        WHERE NEW.settled > OLD.settled
            OR (NEW.state = 'dead') > (OLD.state = 'dead')
            OR (OLD.state = 'confirmed' AND NEW.state <> 'confirmed')
            OR (OLD.state IN ('missing', 'dead') AND NEW.state IN ('unconfirmed', 'confirmed'));
END;

-- A spend by a transaction that no payment made is history too, one row for each wallet it took
-- coins from. What comes back to the wallet is a receive.
CREATE TRIGGER outputs_spent_elsewhere AFTER UPDATE OF spent_by, spent_height ON outputs
    WHEN NEW.spent_by IS NOT OLD.spent_by OR NEW.spent_height IS NOT OLD.spent_height
BEGIN
    -- The one before is undone when nothing of the wallet is spent by it any more.
    UPDATE transactions SET status = 'failed', block_height = NULL, block_hash = NULL, confirmed_at = NULL
        WHERE wallet_id = NEW.wallet_id AND txid = OLD.spent_by AND transaction_type = 'send' AND payment_id IS NULL
            AND NEW.spent_by IS NOT OLD.spent_by
            AND NOT EXISTS (SELECT 1 FROM outputs AS o WHERE o.spent_by = OLD.spent_by AND o.wallet_id = NEW.wallet_id);
    UPDATE transactions SET
        status = CASE WHEN status = 'failed' OR NEW.spent_height IS NULL THEN 'pending' ELSE status END,
        amount = (SELECT SUM(value) FROM outputs AS o WHERE o.spent_by = NEW.spent_by AND o.wallet_id = NEW.wallet_id),
        block_height = NEW.spent_height,
        block_hash = (SELECT hash FROM blocks WHERE height = NEW.spent_height),
        confirmed_at = CASE WHEN NEW.spent_height IS NULL THEN NULL ELSE confirmed_at END
        WHERE wallet_id = NEW.wallet_id AND txid = NEW.spent_by AND transaction_type = 'send' AND payment_id IS NULL;
END;

-- Verb: this output was seen, in a block or (height null) in the mempool. Not ours: nothing.
CREATE VIEW seen_output AS
SELECT '' AS txid, 0 AS vout, '' AS address, 0 AS value, 0 AS is_coinbase, 0 AS height, '' AS block_hash,
    0 AS block_time, 0 AS at
WHERE 0;

CREATE TRIGGER seen_output_insert INSTEAD OF INSERT ON seen_output
BEGIN
    INSERT INTO outputs (txid, vout, wallet_id, address, value, is_coinbase, is_own, is_change, state, height,
            block_hash, block_time, reserved_by, cause, changed_at)
        SELECT NEW.txid, NEW.vout, seen.wallet_id, NEW.address, NEW.value, COALESCE(NEW.is_coinbase, 0),
            seen.is_own, seen.is_change, CASE WHEN NEW.height IS NULL THEN 'unconfirmed' ELSE 'confirmed' END,
            NEW.height, NEW.block_hash, NEW.block_time,
            -- A payment made before there was a ledger may have taken it.
            (SELECT payment_id FROM payment_inputs AS i WHERE i.txid = NEW.txid AND i.vout = NEW.vout),
            CASE WHEN seen.is_change THEN 'change' ELSE 'receive' END, NEW.at
        FROM (
            SELECT a.wallet_id,
                EXISTS (
                    SELECT 1 FROM payments AS p
                    WHERE p.txid = NEW.txid AND p.wallet_id = a.wallet_id AND p.state <> 'failed'
                ) AS is_own,
                EXISTS (
                    SELECT 1 FROM payments AS p
                    WHERE p.txid = NEW.txid AND p.wallet_id = a.wallet_id AND p.state <> 'failed'
                        AND NEW.vout = 1 AND p.change_amount = NEW.value AND p.change_address = NEW.address
                ) AS is_change
            FROM addresses AS a WHERE a.address = NEW.address AND NEW.value > 0
        ) AS seen
        WHERE TRUE
        ON CONFLICT (txid, vout) DO UPDATE SET
            state = excluded.state, height = excluded.height, block_hash = excluded.block_hash,
            block_time = excluded.block_time, settled = 0,
            is_own = excluded.is_own, is_change = excluded.is_change,
            cause = CASE WHEN excluded.height IS NULL THEN 'dropped' ELSE 'reorganisation' END,
            changed_at = excluded.changed_at
            WHERE (excluded.height IS NOT NULL AND outputs.block_hash IS NOT excluded.block_hash)
                OR (excluded.height IS NULL AND outputs.state = 'missing')
                OR (excluded.height IS NULL AND outputs.state = 'dead' AND NOT EXISTS (
                    SELECT 1 FROM payments AS p WHERE p.txid = outputs.txid AND p.state = 'failed'
                ));
END;

-- Verb: this coin was spent, in a block or (height null) in the mempool. Not ours: nothing. What is
-- in the mempool only does not take the place of another spend.
CREATE VIEW seen_spend AS
SELECT '' AS txid, 0 AS vout, '' AS spender, '' AS recipient, 0 AS height, 0 AS at WHERE 0;

CREATE TRIGGER seen_spend_insert INSTEAD OF INSERT ON seen_spend
BEGIN
    UPDATE outputs SET spent_by = NEW.spender, spent_height = NEW.height,
        cause = CASE WHEN EXISTS (SELECT 1 FROM payments WHERE txid = NEW.spender) THEN 'payment' ELSE 'spent_elsewhere' END,
        changed_at = NEW.at
        WHERE txid = NEW.txid AND vout = NEW.vout
            AND (NEW.height IS NOT NULL OR spent_by IS NULL)
            AND (spent_by IS NOT NEW.spender OR spent_height IS NOT NEW.height);
    INSERT INTO transactions (wallet_id, txid, vout, recipient_address, amount, transaction_type, block_height,
            block_hash, created_at)
        SELECT o.wallet_id, NEW.spender, 0, NEW.recipient, o.value, 'send', NEW.height,
            (SELECT hash FROM blocks WHERE height = NEW.height), NEW.at
        FROM outputs AS o
        WHERE o.txid = NEW.txid AND o.vout = NEW.vout AND o.spent_by = NEW.spender
            AND NOT EXISTS (SELECT 1 FROM payments WHERE txid = NEW.spender)
        ON CONFLICT (wallet_id, txid, transaction_type, vout) DO NOTHING;
END;

CREATE TRIGGER transactions_elsewhere_seen AFTER INSERT ON transactions
    WHEN NEW.transaction_type = 'send' AND NEW.payment_id IS NULL
BEGIN
    INSERT INTO tell (wallet_id, type, data, at) VALUES (
        NEW.wallet_id, 'coins.spent_elsewhere',
        json_object('txid', NEW.txid, 'recipient_address', NEW.recipient_address, 'height', NEW.block_height),
        NEW.created_at
    );
END;

-- Verb: this payment was seen, in a block or (height null) in the mempool.
CREATE VIEW seen_payment AS
SELECT 0 AS id, '' AS txid, 0 AS height, '' AS block_hash, 0 AS at WHERE 0;

CREATE TRIGGER seen_payment_insert INSTEAD OF INSERT ON seen_payment
BEGIN
    UPDATE payments SET
        txid = NEW.txid, block_height = NEW.height, block_hash = NEW.block_hash, updated_at = NEW.at,
        state = CASE WHEN state IN ('signed', 'failed') THEN 'broadcast' ELSE state END, failure = NULL
        WHERE id = NEW.id AND state <> 'reserved'
            AND (state = 'signed' OR (NEW.height IS NOT NULL AND block_hash IS NOT NEW.block_hash));
END;

-- Verb: these transactions were seen, with their block's place or (all null) in the mempool. Payments
-- first, because they make outputs; outputs before what spends them.
CREATE VIEW seen_transactions AS SELECT '' AS payments, '' AS outputs, '' AS inputs, 0 AS at WHERE 0;

CREATE TRIGGER seen_transactions_insert INSTEAD OF INSERT ON seen_transactions
BEGIN
    INSERT INTO seen_payment (id, txid, height, block_hash, at)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, NEW.at FROM json_each(NEW.payments);
    INSERT INTO seen_output (txid, vout, address, value, is_coinbase, height, block_hash, block_time, at)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
            NEW.at
        FROM json_each(NEW.outputs);
    INSERT INTO seen_spend (txid, vout, spender, recipient, height, at)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, NEW.at FROM json_each(NEW.inputs);
END;

-- Verb: with this tip, what is deep enough and what is not.
CREATE VIEW settle AS SELECT 0 AS tip, 0 AS required, 0 AS maturity, 0 AS at WHERE 0;

CREATE TRIGGER settle_insert INSTEAD OF INSERT ON settle
BEGIN
    UPDATE outputs SET settled = 1, changed_at = NEW.at
        WHERE settled = 0 AND height IS NOT NULL AND height <= NEW.tip - NEW.required + 1
            AND (is_coinbase = 0 OR height <= NEW.tip - NEW.maturity + 1);
    UPDATE outputs SET settled = 0, changed_at = NEW.at
        WHERE settled = 1 AND height > NEW.tip - NEW.required + 1;
    UPDATE payments SET state = 'confirmed', updated_at = NEW.at,
        confirmed_at = (SELECT time FROM blocks WHERE height = payments.block_height)
        WHERE state = 'broadcast' AND block_height <= NEW.tip - NEW.required + 1;
    UPDATE payments SET state = 'broadcast', confirmed_at = NULL, updated_at = NEW.at
        WHERE state = 'confirmed' AND block_height > NEW.tip - NEW.required + 1;
    UPDATE transactions SET status = 'confirmed', confirmed_at = (SELECT time FROM blocks WHERE height = block_height)
        WHERE payment_id IS NULL AND transaction_type = 'send' AND status = 'pending'
            AND block_height <= NEW.tip - NEW.required + 1;
    -- A payment one of whose coins another transaction has spent, deep enough, is dead; and one that
    -- spends what a dead one made. Each block finds the next of a chain of them.
    UPDATE payments SET state = 'failed', failure = 'conflict', updated_at = NEW.at
        WHERE state IN ('signed', 'broadcast') AND block_height IS NULL AND EXISTS (
            SELECT 1 FROM payment_inputs AS i JOIN outputs AS o ON o.txid = i.txid AND o.vout = i.vout
            WHERE i.payment_id = payments.id AND (
                o.state = 'dead' OR (o.spent_by <> payments.txid AND o.spent_height <= NEW.tip - NEW.required + 1)
            )
        );
END;

-- Payments: reserving also takes the coins out of what can be spent, and only coins that can be.
DROP TRIGGER payments_limit;

CREATE TRIGGER payments_limit BEFORE INSERT ON payments
BEGIN
    SELECT RAISE(ABORT, 'sends_stopped') WHERE EXISTS (
        SELECT 1 FROM chain_state WHERE sends_stopped_at IS NOT NULL
    );
    SELECT RAISE(ABORT, 'rate_limit_exceeded') WHERE NEW.window_payments <= (
        SELECT COUNT(*) FROM payments
        WHERE wallet_id = NEW.wallet_id AND state <> 'failed' AND created_at > NEW.created_at - NEW.window_seconds
    );
END;

DROP TRIGGER payments_reserve;

CREATE TRIGGER payments_reserve AFTER INSERT ON payments
BEGIN
    INSERT INTO used_signatures (hash, expires_at)
        SELECT NEW.signature_hash, NEW.signature_expires_at WHERE NEW.signature_hash IS NOT NULL;
    SELECT RAISE(ABORT, 'coin_not_spendable') WHERE EXISTS (
        SELECT 1 FROM json_each(NEW.inputs) AS i
        LEFT JOIN outputs AS o ON o.txid = i.value ->> 'txid' AND o.vout = i.value ->> 'vout'
        WHERE o.wallet_id IS NOT NEW.wallet_id OR o.spendable <> i.value ->> 'value'
    );
    INSERT INTO payment_inputs (txid, vout, value, payment_id, wallet_id)
        SELECT value ->> 'txid', value ->> 'vout', value ->> 'value', NEW.id, NEW.wallet_id FROM json_each(NEW.inputs);
    SELECT RAISE(ABORT, 'inputs_do_not_balance') WHERE NEW.amount + NEW.fee + NEW.change_amount <> (
        SELECT COALESCE(SUM(value), 0) FROM payment_inputs WHERE payment_id = NEW.id
    );
    UPDATE outputs SET reserved_by = NEW.id, cause = '', changed_at = NEW.created_at
        WHERE (txid, vout) IN (SELECT value ->> 'txid', value ->> 'vout' FROM json_each(NEW.inputs));
    INSERT INTO tell_balances (at) VALUES (NEW.created_at);
END;

-- The state machine (docs/payments.md). Only a block can bring a failed payment back.
DROP TRIGGER payments_transition;

CREATE TRIGGER payments_transition BEFORE UPDATE OF state ON payments WHEN NEW.state <> OLD.state
BEGIN
    SELECT RAISE(ABORT, 'invalid_state_transition') WHERE (OLD.state || '>' || NEW.state) NOT IN (
        'reserved>signed', 'reserved>failed',
        'signed>broadcast', 'signed>confirmed', 'signed>failed',
        'broadcast>confirmed', 'broadcast>failed',
        'confirmed>broadcast'
    ) AND NOT (OLD.state = 'failed' AND NEW.state = 'broadcast' AND NEW.block_height IS NOT NULL);
END;

DROP TRIGGER payments_settled;

-- The bytes are out: the coins are spent, the outputs exist.
CREATE TRIGGER payments_sent AFTER UPDATE OF state ON payments
    WHEN OLD.state IN ('signed', 'failed') AND NEW.state IN ('broadcast', 'confirmed')
BEGIN
    INSERT OR IGNORE INTO payment_inputs (txid, vout, value, payment_id, wallet_id)
        SELECT value ->> 'txid', value ->> 'vout', value ->> 'value', NEW.id, NEW.wallet_id FROM json_each(NEW.inputs);
    -- In the ordinary case the first is the amount. It is what is left of what was really held, so
    -- that movements and outputs agree whatever happened to a coin before.
    INSERT INTO movements (wallet_id, amount, reason, txid, payment_id, created_at)
        SELECT NEW.wallet_id, part.value ->> 1, part.value ->> 0, NEW.txid, NEW.payment_id, NEW.updated_at
        FROM (
            SELECT SUM(held) AS held FROM outputs
            WHERE (txid, vout) IN (SELECT value ->> 'txid', value ->> 'vout' FROM json_each(NEW.inputs))
        ) AS coins, json_each(json_array(
            json_array('payment', NEW.fee + NEW.change_amount - coins.held),
            json_array('fee', -NEW.fee),
            json_array('change', -NEW.change_amount)
        )) AS part
        WHERE coins.held > 0 AND part.value ->> 1 <> 0;
    UPDATE outputs SET spent_by = NEW.txid, cause = '', changed_at = NEW.updated_at
        WHERE (txid, vout) IN (SELECT value ->> 'txid', value ->> 'vout' FROM json_each(NEW.inputs))
            AND spent_by IS NULL;
    INSERT INTO seen_output (txid, vout, address, value, is_coinbase, height, at)
        SELECT NEW.txid, 0, NEW.recipient_address, NEW.amount, 0, NULL, NEW.updated_at;
    INSERT INTO seen_output (txid, vout, address, value, is_coinbase, height, at)
        SELECT NEW.txid, 1, NEW.change_address, NEW.change_amount, 0, NULL, NEW.updated_at WHERE NEW.change_amount > 0;
    INSERT INTO tell_balances (at) VALUES (NEW.updated_at);
END;

-- Nothing of it will ever confirm: what it took is back, what it made is gone.
CREATE TRIGGER payments_failed AFTER UPDATE OF state ON payments
    WHEN NEW.state = 'failed' AND OLD.state <> 'failed'
BEGIN
    DELETE FROM payment_inputs WHERE payment_id = NEW.id;
    UPDATE outputs SET state = 'dead', height = NULL, block_hash = NULL, settled = 0,
        cause = 'payment_failed', changed_at = NEW.updated_at
        WHERE txid = NEW.txid AND OLD.state <> 'reserved' AND state <> 'dead';
    UPDATE outputs SET reserved_by = NULL,
        spent_by = CASE WHEN spent_by = NEW.txid THEN NULL ELSE spent_by END,
        cause = 'payment_failed', changed_at = NEW.updated_at
        WHERE (txid, vout) IN (SELECT value ->> 'txid', value ->> 'vout' FROM json_each(NEW.inputs))
            AND reserved_by = NEW.id;
    INSERT INTO tell_balances (at) VALUES (NEW.updated_at);
END;

-- Someone changed the signature's encoding before it confirmed: the same payment, another id.
CREATE TRIGGER payments_malleated AFTER UPDATE OF txid ON payments
    WHEN OLD.txid IS NOT NULL AND NEW.txid <> OLD.txid
BEGIN
    UPDATE outputs SET spent_by = NEW.txid WHERE spent_by = OLD.txid;
    UPDATE outputs SET state = 'dead', height = NULL, block_hash = NULL, settled = 0,
        cause = 'reorganisation', changed_at = NEW.updated_at
        WHERE txid = OLD.txid AND state <> 'dead';
END;

-- History and events follow the payment.
CREATE TRIGGER payments_history AFTER UPDATE ON payments
    WHEN OLD.state <> 'reserved'
        AND (NEW.state <> OLD.state OR NEW.txid IS NOT OLD.txid OR NEW.block_hash IS NOT OLD.block_hash)
BEGIN
    UPDATE transactions SET
        txid = NEW.txid,
        status = CASE NEW.state WHEN 'confirmed' THEN 'confirmed' WHEN 'failed' THEN 'failed' ELSE 'pending' END,
        block_height = NEW.block_height,
        block_hash = NEW.block_hash,
        confirmed_at = NEW.confirmed_at
        WHERE payment_id = NEW.payment_id AND transaction_type = 'send';
    INSERT INTO tell (wallet_id, type, data, at)
        SELECT NEW.wallet_id, change.type, json_object(
            'payment_id', NEW.payment_id, 'txid', NEW.txid, 'recipient_address', NEW.recipient_address,
            'amount', CAST(NEW.amount AS TEXT), 'fee', CAST(NEW.fee AS TEXT),
            'height', NEW.block_height, 'failure', NEW.failure
        ), NEW.updated_at
        FROM (SELECT CASE
            WHEN NEW.state = 'failed' THEN 'payment.failed'
            WHEN OLD.block_hash IS NOT NULL AND NEW.block_hash IS NULL THEN 'payment.reorganised'
            WHEN OLD.state = 'failed' THEN 'payment.reorganised'
            WHEN OLD.state = 'signed' THEN 'payment.sent'
            WHEN NEW.state = 'confirmed' AND OLD.state <> 'confirmed' THEN 'payment.confirmed'
        END AS type) AS change
        WHERE change.type IS NOT NULL;
    INSERT INTO tell (wallet_id, type, data, at)
        SELECT NEW.wallet_id, 'payment.confirmed', json_object(
            'payment_id', NEW.payment_id, 'txid', NEW.txid, 'recipient_address', NEW.recipient_address,
            'amount', CAST(NEW.amount AS TEXT), 'fee', CAST(NEW.fee AS TEXT), 'height', NEW.block_height
        ), NEW.updated_at
        WHERE OLD.state = 'signed' AND NEW.state = 'confirmed';
END;

-- What the tracker says. A page of blocks that follow the ledger's last one, [{height, hash, time}],
-- and what in them concerns us, in lists whose lines are whole in themselves:
-- payments [payments.id, txid, height, block hash], outputs [txid, vout, address, value, coinbase,
-- height, block hash, block time], inputs [txid, vout, spender, recipient, height].
CREATE VIEW apply_blocks AS
SELECT '' AS base_hash, '' AS blocks, '' AS payments, '' AS outputs, '' AS inputs, 0 AS required, 0 AS maturity, 0 AS at
WHERE 0;

CREATE TRIGGER apply_blocks_insert INSTEAD OF INSERT ON apply_blocks
BEGIN
    SELECT RAISE(ABORT, 'ledger_moved') WHERE NEW.base_hash IS NOT (SELECT hash FROM chain_state);
    INSERT INTO blocks (height, hash, time)
        SELECT value ->> 'height', value ->> 'hash', value ->> 'time' FROM json_each(NEW.blocks);
    UPDATE chain_state SET (height, hash, block_time) = (SELECT height, hash, time FROM blocks ORDER BY height DESC LIMIT 1);
    INSERT INTO seen_transactions (payments, outputs, inputs, at) VALUES (NEW.payments, NEW.outputs, NEW.inputs, NEW.at);
    INSERT INTO settle (tip, required, maturity, at) SELECT height, NEW.required, NEW.maturity, NEW.at FROM chain_state;
    DELETE FROM blocks WHERE height < (SELECT height FROM chain_state) - 10000;
    INSERT INTO tell_balances (at) VALUES (NEW.at);
END;

-- The blocks above this one are no longer of the best chain.
CREATE VIEW roll_back AS SELECT '' AS base_hash, 0 AS height, '' AS hash, 0 AS at WHERE 0;

CREATE TRIGGER roll_back_insert INSTEAD OF INSERT ON roll_back
BEGIN
    SELECT RAISE(ABORT, 'ledger_moved') WHERE NEW.base_hash IS NOT (SELECT hash FROM chain_state)
        OR NOT EXISTS (SELECT 1 FROM blocks WHERE height = NEW.height AND hash = NEW.hash);
    UPDATE payments SET
        state = CASE state WHEN 'confirmed' THEN 'broadcast' ELSE state END,
        block_height = NULL, block_hash = NULL, confirmed_at = NULL, next_broadcast_at = 0, updated_at = NEW.at
        WHERE state IN ('broadcast', 'confirmed') AND block_height > NEW.height;
    UPDATE outputs SET spent_height = NULL, changed_at = NEW.at WHERE spent_height > NEW.height;
    -- The mempool tells which of them are still on their way; a coinbase never is.
    UPDATE outputs SET
        state = CASE is_coinbase WHEN 1 THEN 'dead' ELSE 'unconfirmed' END,
        height = NULL, block_hash = NULL, block_time = NULL, settled = 0, cause = 'reorganisation', changed_at = NEW.at
        WHERE height > NEW.height;
    DELETE FROM blocks WHERE height > NEW.height;
    UPDATE chain_state SET (height, hash, block_time) = (SELECT height, hash, time FROM blocks ORDER BY height DESC LIMIT 1);
    INSERT INTO tell_balances (at) VALUES (NEW.at);
END;

-- The mempool as it is on the ledger's last block: every txid in it, those looked at for the first
-- time, and what they say.
CREATE VIEW apply_mempool AS
SELECT '' AS base_hash, '' AS txids, '' AS looked_at, '' AS payments, '' AS outputs, '' AS inputs, 0 AS at
WHERE 0;

CREATE TRIGGER apply_mempool_insert INSTEAD OF INSERT ON apply_mempool
BEGIN
    SELECT RAISE(ABORT, 'ledger_moved') WHERE NEW.base_hash IS NOT (SELECT hash FROM chain_state);
    DELETE FROM mempool WHERE txid NOT IN (SELECT value FROM json_each(NEW.txids));
    INSERT OR IGNORE INTO mempool (txid) SELECT value FROM json_each(NEW.looked_at);
    -- What left it, unless it is a payment's: that is sent again until it is confirmed or dead.
    UPDATE outputs SET spent_by = NULL, cause = 'dropped', changed_at = NEW.at
        WHERE spent_by IS NOT NULL AND spent_height IS NULL
            AND spent_by NOT IN (SELECT value FROM json_each(NEW.txids))
            AND NOT EXISTS (
                SELECT 1 FROM payments AS p WHERE p.txid = outputs.spent_by AND p.state IN ('signed', 'broadcast', 'confirmed')
            );
    UPDATE outputs SET state = 'missing', cause = 'dropped', changed_at = NEW.at
        WHERE state = 'unconfirmed'
            AND txid NOT IN (SELECT value FROM json_each(NEW.txids))
            AND NOT EXISTS (
                SELECT 1 FROM payments AS p WHERE p.txid = outputs.txid AND p.state IN ('signed', 'broadcast', 'confirmed')
                    -- Nor does a payment whose own coin is gone give anybody money.
                    AND NOT EXISTS (
                        SELECT 1 FROM payment_inputs AS i JOIN outputs AS c ON c.txid = i.txid AND c.vout = i.vout
                        WHERE i.payment_id = p.id AND c.state IN ('missing', 'dead')
                    )
            );
    UPDATE outputs SET state = 'unconfirmed', cause = 'dropped', changed_at = NEW.at
        WHERE state = 'missing' AND is_coinbase = 0 AND txid IN (SELECT value FROM json_each(NEW.txids));
    INSERT INTO seen_transactions (payments, outputs, inputs, at) VALUES (NEW.payments, NEW.outputs, NEW.inputs, NEW.at);
    INSERT INTO tell_balances (at) VALUES (NEW.at);
END;

-- What was confirmed before the ledger is looked for in the chain once more.
UPDATE payments SET state = 'broadcast', block_height = NULL, confirmed_at = NULL WHERE state = 'confirmed';

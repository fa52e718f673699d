-- Suspicious activity: rules as data, alerts, payments that wait for an operator, frozen wallets, and
-- whom a wallet may pay.

-- Review of a reserved payment. It stands beside `state` because `state` has a CHECK, and SQLite
-- changes one only by building the table, every trigger and every index anew. Whoever knows nothing
-- of review sees a reserved payment: coins and quota are taken, nothing is signed.
--   ''        nobody has to look
--   held      waits for an operator
--   released  an operator let it go; it stays after the payment is signed
ALTER TABLE payments ADD COLUMN review VARCHAR NOT NULL DEFAULT '' CHECK (review IN ('', 'held', 'released'));
-- Where the payment stands in the state machine (docs/payments.md).
ALTER TABLE payments ADD COLUMN stage VARCHAR GENERATED ALWAYS AS (
    CASE WHEN state = 'reserved' AND review <> '' THEN review ELSE state END
) VIRTUAL;
-- A payment that was held is signed long after it was made. Null: signed before this was noted.
ALTER TABLE payments ADD COLUMN signed_at INTEGER;

CREATE INDEX payments_reviewed ON payments (id) WHERE review <> '';
CREATE INDEX payments_by_recipient ON payments (wallet_id, recipient_address, created_at);

-- Null: not frozen.
ALTER TABLE wallets ADD COLUMN frozen_at INTEGER;
ALTER TABLE wallets ADD COLUMN frozen_reason VARCHAR;
-- 1: pays listed recipients only, until `whitelist_ends_at` if that is set.
ALTER TABLE wallets ADD COLUMN whitelist_only INTEGER NOT NULL DEFAULT 0;
ALTER TABLE wallets ADD COLUMN whitelist_ends_at INTEGER;

-- Whom a wallet may pay ('allow', from `starts_at`) and may not ('deny', until `ends_at`). Who
-- tightens is heard at once, who loosens after a delay: so a time is only ever waited for on the way
-- to more freedom, and a clock that is set back leaves less of it.
CREATE TABLE recipients (
    wallet_id INTEGER NOT NULL,
    address VARCHAR NOT NULL,
    list VARCHAR NOT NULL CHECK (list IN ('allow', 'deny')),
    starts_at INTEGER NOT NULL,
    ends_at INTEGER,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (wallet_id, address, list)
) WITHOUT ROWID;

-- Several rules may be of one kind. `action`: 'note' is listed, 'alert' wants an operator's
-- acknowledgement, 'hold' lets the payment wait as well.
CREATE TABLE monitor_rules (
    name VARCHAR NOT NULL PRIMARY KEY,
    kind VARCHAR NOT NULL CHECK (kind IN (
        'burst_of_sends', 'drain', 'first_recipient', 'failed_signatures', 'balance_jump'
    )),
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    severity VARCHAR NOT NULL CHECK (severity IN ('low', 'medium', 'high')),
    action VARCHAR NOT NULL CHECK (action IN ('note', 'alert', 'hold')),
    window_seconds INTEGER NOT NULL CHECK (window_seconds BETWEEN 1 AND 604800),
    -- Payments, or failed signatures.
    threshold_count INTEGER CHECK (threshold_count > 0),
    -- Per mille of the balance.
    threshold_share INTEGER CHECK (threshold_share BETWEEN 1 AND 1000),
    -- Florins.
    threshold_amount INTEGER CHECK (threshold_amount >= 0),
    updated_at INTEGER NOT NULL,
    CHECK ((kind IN ('burst_of_sends', 'failed_signatures')) = (threshold_count IS NOT NULL)),
    CHECK ((kind IN ('drain', 'balance_jump')) = (threshold_share IS NOT NULL)),
    CHECK ((kind IN ('drain', 'first_recipient', 'balance_jump')) = (threshold_amount IS NOT NULL)),
    -- A balance that has changed cannot be held.
    CHECK (kind <> 'balance_jump' OR action <> 'hold')
);

-- None holds: a fresh installation has no operator who could release.
INSERT INTO monitor_rules (name, kind, enabled, severity, action, window_seconds, threshold_count, threshold_share,
    threshold_amount, updated_at)
VALUES
('burst_of_sends', 'burst_of_sends', 1, 'medium', 'alert', 300, 8, NULL, NULL, 0),
('drain', 'drain', 1, 'high', 'alert', 3600, NULL, 900, 10000000000, 0),
('first_recipient', 'first_recipient', 1, 'low', 'note', 86400, NULL, NULL, 50000000000, 0),
('failed_signatures', 'failed_signatures', 1, 'medium', 'alert', 600, 20, NULL, NULL, 0),
('balance_jump', 'balance_jump', 1, 'low', 'note', 3600, NULL, 800, 100000000000, 0);

-- What a rule found. One of each rule for a node in a period, except what holds: each payment has its own.
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY,
    rule VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    node_id VARCHAR NOT NULL,
    -- Null: a node without one.
    wallet_id INTEGER,
    -- payments.payment_id, where a payment is the cause.
    payment_id VARCHAR,
    -- When the window began: time is divided into them. Null for what holds.
    period INTEGER,
    -- A JSON object: what was found, and the threshold. Amounts are florins as text.
    figures VARCHAR NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (rule, node_id, period)
);

CREATE INDEX alerts_by_payment ON alerts (payment_id) WHERE payment_id IS NOT NULL;

CREATE TRIGGER alerts_stay BEFORE UPDATE ON alerts
BEGIN
    SELECT RAISE(ABORT, 'alerts are append-only');
END;

CREATE TRIGGER alerts_stay_whole BEFORE DELETE ON alerts
BEGIN
    SELECT RAISE(ABORT, 'alerts are append-only');
END;

-- What operators decided, and why. Adding the row is what carries the decision out.
--   release, refuse      a payment
--   freeze, unfreeze     a wallet
--   acknowledge          an alert
--   set_rule             a rule; `data` is the rule from now on
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    action VARCHAR NOT NULL CHECK (action IN (
        'release', 'refuse', 'freeze', 'unfreeze', 'acknowledge', 'set_rule'
    )),
    operator VARCHAR NOT NULL,
    reason VARCHAR,
    wallet_id INTEGER,
    -- payments.id
    payment_id INTEGER,
    alert_id INTEGER,
    rule VARCHAR,
    data VARCHAR,
    created_at INTEGER NOT NULL,
    -- A payment is released once and refused once; whoever acknowledges first has done it.
    UNIQUE (payment_id, action),
    UNIQUE (alert_id)
);

CREATE INDEX decisions_by_wallet ON decisions (wallet_id, id) WHERE wallet_id IS NOT NULL;

CREATE TRIGGER decisions_stay BEFORE UPDATE ON decisions
BEGIN
    SELECT RAISE(ABORT, 'decisions are append-only');
END;

CREATE TRIGGER decisions_stay_whole BEFORE DELETE ON decisions
BEGIN
    SELECT RAISE(ABORT, 'decisions are append-only');
END;

CREATE TRIGGER decisions_about_payments AFTER INSERT ON decisions WHEN NEW.action IN ('release', 'refuse')
BEGIN
    -- A released payment that is not yet signed can still be refused: its bytes are nowhere.
    SELECT RAISE(ABORT, 'payment_not_held') WHERE NOT EXISTS (
        SELECT 1 FROM payments WHERE id = NEW.payment_id AND wallet_id = NEW.wallet_id
            AND (stage = 'held' OR (stage = 'released' AND NEW.action = 'refuse'))
    );
    UPDATE payments SET review = 'released', lease_until = NEW.created_at, updated_at = NEW.created_at
        WHERE id = NEW.payment_id AND NEW.action = 'release';
    -- It keeps its idempotency key: a repeat never pays.
    UPDATE payments SET state = 'failed', failure = 'refused', updated_at = NEW.created_at
        WHERE id = NEW.payment_id AND NEW.action = 'refuse';
    INSERT INTO tell (wallet_id, type, data, at)
        SELECT wallet_id, CASE NEW.action WHEN 'release' THEN 'payment.released' ELSE 'payment.refused' END,
            json_object('payment_id', payment_id, 'recipient_address', recipient_address,
                'amount', CAST(amount AS TEXT), 'fee', CAST(fee AS TEXT), 'reason', NEW.reason),
            NEW.created_at
        FROM payments WHERE id = NEW.payment_id;
END;

CREATE TRIGGER decisions_about_wallets AFTER INSERT ON decisions WHEN NEW.action IN ('freeze', 'unfreeze')
BEGIN
    SELECT RAISE(ABORT, 'wallet_is_so_already') WHERE NOT EXISTS (
        SELECT 1 FROM wallets WHERE id = NEW.wallet_id AND (frozen_at IS NULL) = (NEW.action = 'freeze')
    );
    UPDATE wallets SET
        frozen_at = CASE NEW.action WHEN 'freeze' THEN NEW.created_at END,
        frozen_reason = CASE NEW.action WHEN 'freeze' THEN NEW.reason END,
        updated_at = NEW.created_at
        WHERE id = NEW.wallet_id;
    INSERT INTO tell (wallet_id, type, data, at) VALUES (
        NEW.wallet_id, CASE NEW.action WHEN 'freeze' THEN 'wallet.frozen' ELSE 'wallet.unfrozen' END,
        json_object('reason', NEW.reason), NEW.created_at
    );
END;

CREATE TRIGGER decisions_about_rules AFTER INSERT ON decisions WHEN NEW.action = 'set_rule'
BEGIN
    SELECT RAISE(ABORT, 'rule_of_another_kind') WHERE EXISTS (
        SELECT 1 FROM monitor_rules WHERE name = NEW.rule AND kind <> NEW.data ->> 'kind'
    );
    SELECT RAISE(ABORT, 'rule_limit_reached') WHERE (SELECT COUNT(*) FROM monitor_rules) >= 50
        AND NOT EXISTS (SELECT 1 FROM monitor_rules WHERE name = NEW.rule);
    INSERT INTO monitor_rules (name, kind, enabled, severity, action, window_seconds,
            threshold_count, threshold_share, threshold_amount, updated_at)
        VALUES (NEW.rule, NEW.data ->> 'kind', NEW.data ->> 'enabled', NEW.data ->> 'severity', NEW.data ->> 'action',
            NEW.data ->> 'window_seconds', NEW.data ->> 'threshold_count', NEW.data ->> 'threshold_share',
            NEW.data ->> 'threshold_amount', NEW.created_at)
        ON CONFLICT (name) DO UPDATE SET
            enabled = excluded.enabled, severity = excluded.severity, action = excluded.action,
            window_seconds = excluded.window_seconds, threshold_count = excluded.threshold_count,
            threshold_share = excluded.threshold_share, threshold_amount = excluded.threshold_amount,
            updated_at = excluded.updated_at;
END;

-- How far the events were looked at, and how many signatures were ever wrong. One row.
CREATE TABLE monitor_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    event_cursor INTEGER NOT NULL,
    -- For ids of registered nodes, and for all others.
    failed_signatures INTEGER NOT NULL DEFAULT 0,
    strangers_signatures INTEGER NOT NULL DEFAULT 0
);

-- What happened before is nobody's alert.
INSERT INTO monitor_state (id, event_cursor) SELECT 1, COALESCE(MAX(id), 0) FROM events;

-- Wrong signatures in a node's name, by minute; '' stands for all ids that are no node's.
CREATE TABLE signature_failures (
    node_id VARCHAR NOT NULL,
    minute INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    PRIMARY KEY (node_id, minute)
) WITHOUT ROWID;

CREATE INDEX signature_failures_by_minute ON signature_failures (minute);

-- Verb: a signature in this node's name was wrong.
CREATE VIEW count_failure AS SELECT '' AS node_id, 0 AS at WHERE 0;

CREATE TRIGGER count_failure_insert INSTEAD OF INSERT ON count_failure
BEGIN
    INSERT INTO signature_failures (node_id, minute, failures) VALUES (NEW.node_id, NEW.at / 60, 1)
        ON CONFLICT (node_id, minute) DO UPDATE SET failures = failures + 1;
    UPDATE monitor_state SET failed_signatures = failed_signatures + (NEW.node_id <> ''),
        strangers_signatures = strangers_signatures + (NEW.node_id = '');
    -- Older than the longest window.
    DELETE FROM signature_failures WHERE (node_id, minute) IN (
        SELECT node_id, minute FROM signature_failures WHERE minute < (NEW.at - 604800) / 60 LIMIT 4
    );
    INSERT INTO alerts (rule, severity, action, node_id, wallet_id, period, figures, created_at)
        SELECT name, severity, CASE action WHEN 'hold' THEN 'alert' ELSE action END, NEW.node_id,
            (SELECT id FROM wallets WHERE node_id = NEW.node_id), NEW.at - NEW.at % window_seconds,
            json_object('failed_signatures', found, 'threshold_count', threshold_count, 'window_seconds', window_seconds),
            NEW.at
        FROM (
            SELECT r.*, (
                SELECT SUM(failures) FROM signature_failures
                WHERE node_id = NEW.node_id AND minute > (NEW.at - r.window_seconds) / 60
            ) AS found
            FROM monitor_rules AS r WHERE r.kind = 'failed_signatures' AND r.enabled = 1 AND NEW.node_id <> ''
        )
        WHERE found >= threshold_count
        ON CONFLICT DO NOTHING;
END;

-- Verb: judge a payment that was just reserved, by what the wallet did before and what it still has.
CREATE VIEW screen_payment AS SELECT 0 AS id WHERE 0;

CREATE TRIGGER screen_payment_insert INSTEAD OF INSERT ON screen_payment
BEGIN
    INSERT INTO alerts (rule, severity, action, node_id, wallet_id, payment_id, period, figures, created_at)
        SELECT name, severity, action, node_id, wallet_id, payment_id,
            CASE WHEN action <> 'hold' THEN created_at - created_at % window_seconds END, figures, created_at
        FROM (
            SELECT r.name, r.severity, r.action, r.window_seconds, p.node_id, p.wallet_id, p.payment_id, p.created_at,
                CASE r.kind
                WHEN 'burst_of_sends' THEN (
                    SELECT CASE WHEN COUNT(*) >= r.threshold_count THEN json_object(
                        'payments', COUNT(*), 'threshold_count', r.threshold_count, 'window_seconds', r.window_seconds
                    ) END
                    FROM payments WHERE wallet_id = p.wallet_id AND state <> 'failed'
                        AND created_at > p.created_at - r.window_seconds
                )
                WHEN 'drain' THEN (
                    SELECT CASE WHEN paid >= r.threshold_amount AND paid * 1000 >= base * r.threshold_share THEN json_object(
                        'paid', CAST(paid AS TEXT), 'of', CAST(base AS TEXT), 'threshold_share', r.threshold_share,
                        'threshold_amount', CAST(r.threshold_amount AS TEXT), 'window_seconds', r.window_seconds
                    ) END
                    FROM (
                        -- What is not yet sent is still in the wallet.
                        SELECT SUM(amount + fee) AS paid, SUM((amount + fee) * (state IN ('broadcast', 'confirmed')))
                            + (SELECT balance + reserved FROM wallets WHERE id = p.wallet_id) AS base
                        FROM payments WHERE wallet_id = p.wallet_id AND state <> 'failed'
                            AND created_at > p.created_at - r.window_seconds
                    )
                )
                WHEN 'first_recipient' THEN (
                    -- Known is who was paid before the window: a small payment does not open the door at once,
                    -- and one that nobody has released never does.
                    SELECT CASE WHEN SUM(amount) >= r.threshold_amount AND NOT EXISTS (
                            SELECT 1 FROM payments AS known WHERE known.wallet_id = p.wallet_id
                                AND known.recipient_address = p.recipient_address
                                AND known.created_at <= p.created_at - r.window_seconds
                                AND known.state <> 'failed' AND known.stage <> 'held'
                        ) THEN json_object(
                            'recipient_address', p.recipient_address, 'paid', CAST(SUM(amount) AS TEXT),
                            'threshold_amount', CAST(r.threshold_amount AS TEXT), 'window_seconds', r.window_seconds
                        ) END
                    FROM payments WHERE wallet_id = p.wallet_id AND recipient_address = p.recipient_address
                        AND state <> 'failed' AND created_at > p.created_at - r.window_seconds
                )
                WHEN 'failed_signatures' THEN (
                    SELECT CASE WHEN SUM(failures) >= r.threshold_count THEN json_object(
                        'failed_signatures', SUM(failures), 'threshold_count', r.threshold_count,
                        'window_seconds', r.window_seconds
                    ) END
                    FROM signature_failures
                    WHERE node_id = p.node_id AND minute > (p.created_at - r.window_seconds) / 60
                ) END AS figures
            FROM payments AS p, monitor_rules AS r
            WHERE p.id = NEW.id AND r.enabled = 1 AND r.kind <> 'balance_jump'
        )
        WHERE figures IS NOT NULL
        ON CONFLICT DO NOTHING;
    UPDATE payments SET review = 'held', lease_until = created_at
        WHERE id = NEW.id AND EXISTS (
            SELECT 1 FROM alerts WHERE payment_id = payments.payment_id AND action = 'hold'
        );
    INSERT INTO tell (wallet_id, type, data, at)
        SELECT wallet_id, 'payment.held', json_object('payment_id', payment_id,
            'recipient_address', recipient_address, 'amount', CAST(amount AS TEXT), 'fee', CAST(fee AS TEXT)), created_at
        FROM payments WHERE id = NEW.id AND review = 'held';
END;

-- So that the balance of a moment is found without walking there.
CREATE INDEX events_of_balances ON events (wallet_id, created_at, sequence) WHERE type = 'balance.changed';

-- Verb: look at the events since, at most so many. A jump is measured from the balance before the window.
CREATE VIEW watch_events AS SELECT 0 AS most, 0 AS at WHERE 0;

CREATE TRIGGER watch_events_insert INSTEAD OF INSERT ON watch_events
BEGIN
    INSERT INTO alerts (rule, severity, action, node_id, wallet_id, period, figures, created_at)
        SELECT name, severity, action, (SELECT node_id FROM wallets WHERE id = wallet_id), wallet_id,
            happened_at - happened_at % window_seconds,
            json_object('before', CAST(was AS TEXT), 'after', CAST(became AS TEXT), 'event', sequence,
                'threshold_share', threshold_share, 'threshold_amount', CAST(threshold_amount AS TEXT),
                'window_seconds', window_seconds),
            NEW.at
        FROM (
            SELECT r.*, e.wallet_id, e.sequence, e.created_at AS happened_at,
                (e.data ->> 'balance') + (e.data ->> 'pending') + (e.data ->> 'reserved') AS became,
                COALESCE((
                    SELECT (b.data ->> 'balance') + (b.data ->> 'pending') + (b.data ->> 'reserved') FROM events AS b
                    WHERE b.wallet_id = e.wallet_id AND b.type = 'balance.changed' AND b.sequence < e.sequence
                        AND b.created_at <= e.created_at - r.window_seconds
                    ORDER BY b.created_at DESC, b.sequence DESC LIMIT 1
                ), 0) AS was
            FROM (
                SELECT * FROM events WHERE id > (SELECT event_cursor FROM monitor_state) ORDER BY id LIMIT NEW.most
            ) AS e, monitor_rules AS r
            WHERE e.type = 'balance.changed' AND r.kind = 'balance_jump' AND r.enabled = 1
        )
        WHERE abs(became - was) >= threshold_amount AND abs(became - was) * 1000 >= max(became, was) * threshold_share
        ON CONFLICT DO NOTHING;
    UPDATE monitor_state SET event_cursor = (
        SELECT COALESCE(MAX(id), event_cursor) FROM (
            SELECT id FROM events WHERE id > event_cursor ORDER BY id LIMIT NEW.most
        )
    );
END;

-- Verb: may this wallet pay this recipient now?
CREATE VIEW check_send AS SELECT 0 AS wallet_id, '' AS recipient, 0 AS at WHERE 0;

CREATE TRIGGER check_send_insert INSTEAD OF INSERT ON check_send
BEGIN
    SELECT RAISE(ABORT, 'wallet_frozen') WHERE EXISTS (
        SELECT 1 FROM wallets WHERE id = NEW.wallet_id AND frozen_at IS NOT NULL
    );
    SELECT RAISE(ABORT, 'recipient_not_allowed') WHERE EXISTS (
        SELECT 1 FROM recipients
        WHERE wallet_id = NEW.wallet_id AND address = NEW.recipient AND list = 'deny'
            AND COALESCE(ends_at > NEW.at, 1)
    ) OR (
        EXISTS (
            SELECT 1 FROM wallets
            WHERE id = NEW.wallet_id AND whitelist_only = 1 AND COALESCE(whitelist_ends_at > NEW.at, 1)
        ) AND NOT EXISTS (
            SELECT 1 FROM recipients
            WHERE wallet_id = NEW.wallet_id AND address = NEW.recipient AND list = 'allow' AND starts_at <= NEW.at
        )
    );
END;

CREATE TRIGGER payments_check BEFORE INSERT ON payments
BEGIN
    INSERT INTO check_send (wallet_id, recipient, at) VALUES (NEW.wallet_id, NEW.recipient_address, NEW.created_at);
END;

-- What was forbidden since the reservation is not signed; and while payments are stopped, nothing that
-- waited for an operator.
CREATE TRIGGER payments_check_again BEFORE UPDATE OF state ON payments
    WHEN OLD.state = 'reserved' AND NEW.state = 'signed'
BEGIN
    SELECT RAISE(ABORT, 'sends_stopped') WHERE OLD.review = 'released' AND EXISTS (
        SELECT 1 FROM chain_state WHERE sends_stopped_at IS NOT NULL
    );
    INSERT INTO check_send (wallet_id, recipient, at) VALUES (NEW.wallet_id, NEW.recipient_address, NEW.updated_at);
END;

-- Verb: a wallet's own rules. Lists are JSON; `whitelist_only` null leaves it. What loosens waits for
-- `delay` seconds from when it was first asked for; to tighten again is to cancel it.
CREATE VIEW change_recipients AS
SELECT 0 AS wallet_id, '' AS allow, '' AS deny, '' AS remove, 0 AS whitelist_only, 0 AS delay, 0 AS at,
    '' AS signature_hash, 0 AS signature_expires_at
WHERE 0;

CREATE TRIGGER change_recipients_insert INSTEAD OF INSERT ON change_recipients
BEGIN
    INSERT INTO used_signatures (hash, expires_at)
        SELECT NEW.signature_hash, NEW.signature_expires_at WHERE NEW.signature_hash IS NOT NULL;
    -- What has run out is gone.
    DELETE FROM recipients WHERE wallet_id = NEW.wallet_id AND ends_at <= NEW.at;
    UPDATE wallets SET whitelist_only = 0, whitelist_ends_at = NULL
        WHERE id = NEW.wallet_id AND whitelist_ends_at <= NEW.at;
    DELETE FROM recipients WHERE wallet_id = NEW.wallet_id AND list = 'allow'
        AND address IN (SELECT value FROM json_each(NEW.remove));
    UPDATE recipients SET ends_at = min(COALESCE(ends_at, NEW.at + NEW.delay), NEW.at + NEW.delay)
        WHERE wallet_id = NEW.wallet_id AND list = 'deny' AND address IN (SELECT value FROM json_each(NEW.remove));
    -- One more loosens only while nobody else may be paid.
    INSERT INTO recipients (wallet_id, address, list, starts_at, created_at)
        SELECT NEW.wallet_id, a.value, 'allow', NEW.at + CASE w.whitelist_only WHEN 1 THEN NEW.delay ELSE 0 END, NEW.at
        FROM json_each(NEW.allow) AS a, wallets AS w WHERE w.id = NEW.wallet_id
        ON CONFLICT (wallet_id, address, list) DO UPDATE SET starts_at = min(starts_at, excluded.starts_at);
    INSERT INTO recipients (wallet_id, address, list, starts_at, created_at)
        SELECT NEW.wallet_id, value, 'deny', NEW.at, NEW.at FROM json_each(NEW.deny) WHERE TRUE
        ON CONFLICT (wallet_id, address, list) DO UPDATE SET ends_at = NULL;
    UPDATE wallets SET whitelist_only = 1, whitelist_ends_at = NULL
        WHERE id = NEW.wallet_id AND NEW.whitelist_only = 1;
    UPDATE wallets SET whitelist_ends_at = min(COALESCE(whitelist_ends_at, NEW.at + NEW.delay), NEW.at + NEW.delay)
        WHERE id = NEW.wallet_id AND NEW.whitelist_only = 0 AND whitelist_only = 1;
    SELECT RAISE(ABORT, 'recipient_limit_reached') WHERE (
        SELECT COUNT(*) FROM recipients WHERE wallet_id = NEW.wallet_id
    ) > 500;
    INSERT INTO tell (wallet_id, type, data, at) VALUES (
        NEW.wallet_id, 'recipients.changed', json_object('allow', json(NEW.allow), 'deny', json(NEW.deny),
            'remove', json(NEW.remove), 'whitelist_only', json(CASE NEW.whitelist_only WHEN 1 THEN 'true' WHEN 0 THEN 'false' END),
            'loosens_at', NEW.at + NEW.delay), NEW.at
    );
END;

-- Payments: as before, and judged in the same step, when coins and limits are known to be theirs.
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
    INSERT INTO screen_payment (id) VALUES (NEW.id);
END;

-- The state machine (docs/payments.md). Only a block can bring a failed payment back.
DROP TRIGGER payments_transition;

CREATE TRIGGER payments_transition BEFORE UPDATE OF state, review ON payments
    WHEN NEW.state <> OLD.state OR NEW.review <> OLD.review
BEGIN
    SELECT RAISE(ABORT, 'invalid_state_transition') WHERE (OLD.stage || '>' || NEW.stage) NOT IN (
        'reserved>held', 'held>released', 'held>failed', 'released>signed', 'released>failed',
        'reserved>signed', 'reserved>failed',
        'signed>broadcast', 'signed>confirmed', 'signed>failed',
        'broadcast>confirmed', 'broadcast>failed',
        'confirmed>broadcast'
    ) AND NOT (OLD.state = 'failed' AND NEW.state = 'broadcast' AND NEW.block_height IS NOT NULL);
END;

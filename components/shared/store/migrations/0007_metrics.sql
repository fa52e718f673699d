-- Running totals for metrics: what would cost a look at every payment is counted as it happens.
CREATE TABLE metric_totals (
    name VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (name, label)
) WITHOUT ROWID;

-- Verb: add to a total.
CREATE VIEW count_up AS SELECT '' AS name, '' AS label, 0 AS value WHERE 0;

CREATE TRIGGER count_up_insert INSTEAD OF INSERT ON count_up
BEGIN
    INSERT INTO metric_totals (name, label, value) VALUES (NEW.name, NEW.label, NEW.value)
        ON CONFLICT (name, label) DO UPDATE SET value = value + excluded.value;
END;

INSERT INTO metric_totals (name, label, value)
SELECT 'payments', stage, COUNT(*) FROM payments GROUP BY stage;

CREATE TRIGGER payments_counted_new AFTER INSERT ON payments
BEGIN
    -- Another trigger may have held it in the same step, and that is counted already.
    INSERT INTO count_up (name, label, value) VALUES ('payments', NEW.stage, 1);
END;

-- A payment that a reorganisation takes back ends again. Seconds to confirm are counted in the
-- smallest bucket that takes them, by the service's clock.
CREATE TRIGGER payments_counted AFTER UPDATE OF state, review ON payments WHEN NEW.stage <> OLD.stage
BEGIN
    INSERT INTO count_up (name, label, value) VALUES ('payments', OLD.stage, -1), ('payments', NEW.stage, 1);
    INSERT INTO count_up (name, label, value)
        SELECT 'payments_ended', CASE NEW.state WHEN 'failed' THEN COALESCE(NEW.failure, 'unknown') ELSE NEW.state END, 1
        WHERE NEW.state IN ('confirmed', 'failed');
    INSERT INTO count_up (name, label, value)
        SELECT 'confirm_seconds', CASE
            WHEN took.seconds <= 30 THEN '30'
            WHEN took.seconds <= 60 THEN '60'
            WHEN took.seconds <= 120 THEN '120'
            WHEN took.seconds <= 300 THEN '300'
            WHEN took.seconds <= 600 THEN '600'
            WHEN took.seconds <= 1800 THEN '1800'
            WHEN took.seconds <= 3600 THEN '3600'
            WHEN took.seconds <= 21600 THEN '21600'
            WHEN took.seconds <= 86400 THEN '86400'
            ELSE '+Inf'
        END, 1
        FROM (SELECT NEW.updated_at - NEW.created_at AS seconds) AS took WHERE NEW.state = 'confirmed';
    INSERT INTO count_up (name, label, value)
        SELECT 'confirm_seconds_sum', '', MAX(NEW.updated_at - NEW.created_at, 0) WHERE NEW.state = 'confirmed';
END;

CREATE TRIGGER alerts_counted AFTER INSERT ON alerts
BEGIN
    INSERT INTO count_up (name, label, value) VALUES ('alerts', NEW.severity, 1);
END;

CREATE TRIGGER webhook_deliveries_counted AFTER UPDATE OF status ON webhook_deliveries WHEN NEW.status <> OLD.status
BEGIN
    INSERT INTO count_up (name, label, value)
        SELECT 'webhook_deliveries_ended', NEW.status, 1 WHERE NEW.status IN ('delivered', 'failed');
END;

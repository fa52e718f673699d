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

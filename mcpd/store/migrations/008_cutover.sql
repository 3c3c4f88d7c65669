-- The switches between mcpd and the system that it replaces, and how fast each of them was.

CREATE TABLE cutovers (
    id             INTEGER PRIMARY KEY,
    direction      TEXT NOT NULL CHECK (direction IN ('cutover', 'rollback', 'forward')),
    state          TEXT NOT NULL
        CHECK (state IN ('switching', 'switched', 'watching', 'success', 'unfulfilled', 'rolled back', 'failed')),
    started_us     INTEGER NOT NULL,
    watch_until_us INTEGER,
    finished_us    INTEGER,
    outage_us      INTEGER,
    reason         TEXT
) STRICT;

CREATE TABLE baselines (
    id       INTEGER PRIMARY KEY,
    at_us    INTEGER NOT NULL,
    server   TEXT NOT NULL CHECK (server IN ('legacy', 'mcpd')),
    requests INTEGER NOT NULL,
    p50_us   INTEGER NOT NULL,
    p95_us   INTEGER NOT NULL,
    max_us   INTEGER NOT NULL
) STRICT;

-- A switch whose watch ended because another switch came between.

ALTER TABLE cutovers RENAME TO cutovers_before;

CREATE TABLE cutovers (
    id             INTEGER PRIMARY KEY,
    direction      TEXT NOT NULL CHECK (direction IN ('cutover', 'rollback', 'forward')),
    state          TEXT NOT NULL CHECK (
        state IN (
            'switching', 'switched', 'watching', 'success', 'unfulfilled', 'superseded', 'rolled back', 'failed'
        )
    ),
    started_us     INTEGER NOT NULL,
    watch_until_us INTEGER,
    finished_us    INTEGER,
    outage_us      INTEGER,
    reason         TEXT,
    sessions       TEXT
) STRICT;

INSERT INTO cutovers (id, direction, state, started_us, watch_until_us, finished_us, outage_us, reason, sessions)
SELECT id, direction, state, started_us, watch_until_us, finished_us, outage_us, reason, sessions
FROM cutovers_before;

DROP TABLE cutovers_before;

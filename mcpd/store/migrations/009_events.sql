-- One sequence of numbers for events, audit and the log of reads, so that calls and reads are events without a row of
-- their own. Rows get their numbers from us (store/sequence.py), inside the transaction that writes them.

-- Up to merged_after, audit and log of reads had numbers of their own, which say nothing of the order of events. Up to
-- removed_to, retention has removed events. No number up to either is ever given again.
CREATE TABLE event_log (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    merged_after INTEGER NOT NULL,
    removed_to   INTEGER NOT NULL
) STRICT;
INSERT INTO event_log
SELECT
    1,
    max(
        ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0),
        ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'resource_access_log'), 0),
        ifnull((SELECT max(id) FROM audit), 0)
    ),
    ifnull((SELECT min(seq) - 1 FROM events), ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0));

-- AUTOINCREMENT would cost each transaction a page more, and knows one table only.
ALTER TABLE events RENAME TO old_events;
CREATE TABLE events (
    seq   INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL,
    topic TEXT NOT NULL,
    agent TEXT,
    data  TEXT NOT NULL CHECK (json_valid(data))
) STRICT;
INSERT INTO events SELECT seq, at_us, topic, agent, data FROM old_events;
DROP TABLE old_events;

ALTER TABLE resource_access_log RENAME TO old_reads;
CREATE TABLE resource_access_log (
    id            INTEGER PRIMARY KEY,
    at_us         INTEGER NOT NULL,
    uri           TEXT NOT NULL,
    caller        TEXT NOT NULL,
    session_id    TEXT,
    request_id    TEXT NOT NULL,
    success       INTEGER NOT NULL CHECK (success IN (0, 1)),
    error         TEXT,
    timestamp     INTEGER AS (at_us / 1000000),
    error_message TEXT AS (error)
) STRICT;
INSERT INTO resource_access_log (id, at_us, uri, caller, session_id, request_id, success, error)
SELECT id, at_us, uri, caller, session_id, request_id, success, error FROM old_reads;
DROP TABLE old_reads;
CREATE INDEX resource_access_log_by_uri ON resource_access_log (uri, at_us);
CREATE INDEX resource_access_log_by_time ON resource_access_log (at_us);

-- What the server was started with last, each value as JSON.
CREATE TABLE known_settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL CHECK (json_valid(value))
) STRICT, WITHOUT ROWID;

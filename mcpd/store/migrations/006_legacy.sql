-- What `mcpctl migrate` brought over from the databases of the system that mcpd replaces.

CREATE TABLE migration_runs (
    id           INTEGER PRIMARY KEY,
    started_us   INTEGER NOT NULL,
    finished_us  INTEGER NOT NULL,
    timezone     TEXT NOT NULL,
    mcpd_version TEXT NOT NULL,
    report       TEXT NOT NULL CHECK (json_valid(report))
) STRICT;

CREATE TABLE migration_sources (
    id       INTEGER PRIMARY KEY,
    run_id   INTEGER NOT NULL REFERENCES migration_runs (id),
    path     TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    sha256   TEXT NOT NULL
) STRICT;

-- Every row of every source, as it stood there, and what became of it: it made a row of ours (migrated), gave way to or
-- was added to one (merged), has no place here but this one (kept), or says too little to be used (set aside).
-- The digest is that of table and content, so a row is known again wherever its file has moved to.
CREATE TABLE legacy_rows (
    id           INTEGER PRIMARY KEY,
    source_id    INTEGER NOT NULL REFERENCES migration_sources (id),
    source_table TEXT NOT NULL,
    source_key   TEXT,
    row          TEXT NOT NULL CHECK (json_valid(row)),
    digest       BLOB NOT NULL UNIQUE,
    copies       INTEGER NOT NULL,
    outcome      TEXT NOT NULL CHECK (outcome IN ('migrated', 'merged', 'kept', 'set aside')),
    reason       TEXT,
    target_table TEXT,
    target_key   ANY
) STRICT;
CREATE INDEX legacy_rows_set_aside ON legacy_rows (id) WHERE outcome = 'set aside';

CREATE VIEW migration_rejects AS
SELECT legacy_rows.id, run_id, path AS source, source_table, source_key, reason, row, copies
FROM legacy_rows
INNER JOIN migration_sources ON migration_sources.id = legacy_rows.source_id
WHERE outcome = 'set aside';

-- The old system's list of conflicts. What mcpd itself finds follows from claims and is not written down.
CREATE TABLE conflicts (
    id          INTEGER PRIMARY KEY,
    agents      TEXT NOT NULL CHECK (json_valid(agents)),
    component   TEXT,
    issue       TEXT NOT NULL,
    severity    TEXT NOT NULL,
    resolved    INTEGER NOT NULL CHECK (resolved IN (0, 1)),
    resolution  TEXT,
    created_us  INTEGER NOT NULL,
    resolved_us INTEGER
) STRICT;

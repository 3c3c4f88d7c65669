-- The coordination state, its audit and its events. Times are whole microseconds since the Unix epoch, UTC.

CREATE TABLE schema_migrations (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_us INTEGER NOT NULL
) STRICT;

CREATE TABLE agents (
    name         TEXT PRIMARY KEY,
    status       TEXT NOT NULL DEFAULT 'active',
    current_task TEXT,
    capabilities TEXT CHECK (capabilities IS NULL OR json_valid(capabilities)),
    metadata     TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    created_us   INTEGER NOT NULL,
    last_seen_us INTEGER NOT NULL
) STRICT;

CREATE TABLE activities (
    id       INTEGER PRIMARY KEY,
    at_us    INTEGER NOT NULL,
    agent    TEXT NOT NULL,
    activity TEXT NOT NULL,
    category TEXT NOT NULL,
    status   TEXT NOT NULL,
    details  TEXT CHECK (details IS NULL OR json_valid(details))
) STRICT;
CREATE INDEX activities_by_time ON activities (at_us);
CREATE INDEX activities_by_agent ON activities (agent, at_us);

CREATE TABLE components (
    name         TEXT PRIMARY KEY,
    owner        TEXT NOT NULL,
    status       TEXT NOT NULL,
    version      INTEGER NOT NULL DEFAULT 1,
    metadata     TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    created_us   INTEGER NOT NULL,
    updated_us   INTEGER NOT NULL
) STRICT;

-- Who holds what: an agent owns a component and the paths it was registered with, or edits a component or path now.
CREATE TABLE claims (
    id        INTEGER PRIMARY KEY,
    agent     TEXT NOT NULL,
    mode      TEXT NOT NULL CHECK (mode IN ('own', 'edit')),
    kind      TEXT NOT NULL CHECK (kind IN ('component', 'path')),
    target    TEXT NOT NULL,
    reason    TEXT NOT NULL,
    component TEXT,
    since_us  INTEGER NOT NULL,
    until_us  INTEGER,
    UNIQUE (agent, mode, kind, target)
) STRICT;
CREATE INDEX claims_by_target ON claims (kind, target);
CREATE INDEX claims_by_component ON claims (component) WHERE component IS NOT NULL;

CREATE TABLE collaboration_requests (
    id         INTEGER PRIMARY KEY,
    from_agent TEXT NOT NULL,
    to_agent   TEXT NOT NULL,
    task       TEXT NOT NULL,
    priority   TEXT NOT NULL,
    status     TEXT NOT NULL DEFAULT 'pending',
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX collaboration_requests_waiting ON collaboration_requests (to_agent) WHERE status = 'pending';

CREATE TABLE decisions (
    id          INTEGER PRIMARY KEY,
    category    TEXT NOT NULL,
    question    TEXT NOT NULL,
    proposed_by TEXT NOT NULL,
    status      TEXT NOT NULL DEFAULT 'pending',
    metadata    TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    created_us  INTEGER NOT NULL,
    resolved_us INTEGER
) STRICT;

-- The outbox: what a commit changed, in commit order. AUTOINCREMENT, so that a number is never used twice.
CREATE TABLE events (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us INTEGER NOT NULL,
    topic TEXT NOT NULL,
    agent TEXT,
    data  TEXT NOT NULL CHECK (json_valid(data))
) STRICT;

CREATE TABLE audit (
    id          INTEGER PRIMARY KEY,
    at_us       INTEGER NOT NULL,
    caller      TEXT NOT NULL,
    operation   TEXT NOT NULL,
    resource    TEXT,
    outcome     TEXT NOT NULL,
    duration_us INTEGER NOT NULL,
    request_id  TEXT NOT NULL,
    session_id  TEXT,
    details     TEXT
) STRICT;

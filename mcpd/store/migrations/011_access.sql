-- Clients that get access tokens, the tokens, and what a person is asked to allow. Secrets and tokens are not kept.

CREATE TABLE oauth_clients (
    name       TEXT PRIMARY KEY,
    salt       BLOB NOT NULL,
    digest     BLOB NOT NULL,
    scopes     TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    rotated_us INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE access_tokens (
    id         TEXT PRIMARY KEY,
    client     TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    issued_us  INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    revoked_us INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_us);
CREATE INDEX access_tokens_by_client ON access_tokens (client);

-- A request that destroys something and waits for a person: good for the caller, the tool and the arguments that it was
-- made with, once. via is who is asked: the person at the caller's own client, or an administrator.
CREATE TABLE approvals (
    id         TEXT PRIMARY KEY,
    caller     TEXT NOT NULL,
    tool       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    via        TEXT NOT NULL CHECK (via IN ('elicitation', 'administrator')),
    question   TEXT NOT NULL,
    arguments  TEXT NOT NULL CHECK (json_valid(arguments)),
    state      TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'used')),
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    decided_us INTEGER,
    decided_by TEXT,
    reason     TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_of_caller ON approvals (caller, tool, digest);
CREATE INDEX approvals_by_time ON approvals (created_us);
CREATE INDEX approvals_waiting ON approvals (expires_us) WHERE state = 'pending';

-- Queries that took longer than database.slow_query_s, and how the caches of the database did, when somebody asked.
-- The column names are those that the old system's tools select.
CREATE TABLE query_performance (
    id             INTEGER PRIMARY KEY,
    query_hash     TEXT NOT NULL,
    query_text     TEXT NOT NULL,
    execution_time REAL NOT NULL,
    row_count      INTEGER,
    timestamp      REAL NOT NULL
) STRICT;
CREATE INDEX query_performance_by_time ON query_performance (timestamp);
CREATE TABLE cache_stats (
    id           INTEGER PRIMARY KEY,
    timestamp    REAL NOT NULL,
    cache_type   TEXT NOT NULL,
    hits         INTEGER NOT NULL,
    misses       INTEGER NOT NULL,
    hit_rate     REAL,
    memory_usage INTEGER
) STRICT;
CREATE INDEX cache_stats_by_time ON cache_stats (timestamp);

-- Tables of the old system whose readers stay, as views of ours. Times are whole seconds, as they were there.
CREATE VIEW audit_log AS
SELECT
    id,
    at_us / 1000000 AS timestamp,
    session_id,
    caller AS user_id,
    operation,
    resource,
    CASE outcome WHEN 'ok' THEN 'success' ELSE outcome END AS result,
    NULL AS ip_address,
    request_id,
    details,
    operation AS event_type,
    CASE WHEN outcome IN ('refused', 'failed') THEN 'WARNING' ELSE 'INFO' END AS level,
    concat_ws(' ', operation, resource, outcome) AS message,
    details AS metadata
FROM audit;

CREATE VIEW tool_executions AS
SELECT
    id,
    session_id,
    resource AS tool_name,
    details AS parameters,
    outcome AS result,
    at_us / 1000000 AS executed_at,
    duration_us / 1000000.0 AS execution_time,
    outcome IN ('ok', 'dry_run') AS success,
    NULL AS error_message,
    NULL AS idempotency_key
FROM audit
WHERE operation = 'tools/call';

-- Sessions describe themselves and are not kept; these are those that the audit knows of.
CREATE VIEW sessions AS
SELECT
    session_id AS id,
    max(caller) AS client_id,
    min(at_us) / 1000000 AS started_at,
    (SELECT ended_us / 1000000 FROM ended_sessions WHERE nonce = session_id) AS ended_at,
    NULL AS capabilities,
    NULL AS metadata,
    max(at_us) / 1000000 AS last_used
FROM audit
WHERE session_id IS NOT NULL
GROUP BY session_id;

CREATE VIEW capabilities AS
SELECT
    id AS session_id,
    NULL AS client_info,
    capabilities AS negotiated_capabilities,
    started_at AS created_at,
    last_used
FROM sessions;

CREATE VIEW idempotency_cache AS
SELECT "key", result, expires_us / 1000000 - 86400 AS created_at, expires_us / 1000000 AS expires_at
FROM idempotent_results;

CREATE VIEW resources AS
SELECT
    uri,
    uri AS name,
    NULL AS type,
    NULL AS description,
    max(timestamp) AS last_accessed,
    count(*) AS access_count
FROM resource_access_log
WHERE success
GROUP BY uri;

CREATE VIEW path_access_log AS
SELECT
    id,
    timestamp,
    uri AS path,
    NULL AS normalized_path,
    'read' AS access_type,
    success AS allowed,
    error AS reason,
    session_id
FROM resource_access_log
WHERE uri LIKE 'file:%';

CREATE VIEW oauth_tokens AS
SELECT
    id AS token_id,
    NULL AS session_id,
    client AS user_id,
    scopes,
    issued_us / 1000000 AS issued_at,
    expires_us / 1000000 AS expires_at,
    revoked_us IS NOT NULL AS revoked
FROM access_tokens;

CREATE VIEW consent_decisions AS
SELECT
    id,
    caller AS session_id,
    tool AS operation,
    arguments AS resource,
    CASE state WHEN 'used' THEN 'approved' ELSE state END AS decision,
    created_us / 1000000 AS timestamp,
    expires_us / 1000000 AS expires_at,
    reason
FROM approvals;

CREATE VIEW agent_states AS
SELECT name AS agent, last_seen_us / 1000000 AS last_seen, status, current_task, capabilities, metadata FROM agents;

CREATE VIEW performance_metrics AS
SELECT
    id,
    at_us / 1000000.0 AS timestamp,
    'response_time' AS metric_type,
    duration_us / 1000000.0 AS value,
    json_object('operation', operation, 'resource', resource, 'outcome', outcome) AS metadata
FROM audit;

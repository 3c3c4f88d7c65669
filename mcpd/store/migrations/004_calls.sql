-- Requests that take longer than a turn and must outlive a restart: those that wait for a client's answer, those whose
-- result could not be delivered yet, and tasks, which have no session.

CREATE TABLE calls (
    id         TEXT PRIMARY KEY,
    session    TEXT,
    caller     TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('working', 'input_required', 'completed', 'failed', 'cancelled')),
    message    TEXT,
    request    TEXT NOT NULL CHECK (json_valid(request)),
    answers    TEXT NOT NULL CHECK (json_valid(answers)),
    asked      TEXT NOT NULL CHECK (json_valid(asked)),
    sent       INTEGER NOT NULL,
    outcome    TEXT CHECK (outcome IS NULL OR json_valid(outcome)),
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT;
CREATE INDEX calls_by_session ON calls (session) WHERE session IS NOT NULL;
CREATE INDEX calls_by_expiry ON calls (expires_us);

-- From which level on the client of a session wants to be told what tools log.
CREATE TABLE session_log_levels (
    nonce    TEXT PRIMARY KEY,
    level    TEXT NOT NULL,
    since_us INTEGER NOT NULL
) STRICT;

-- What the schema of tools/list was when the daemon last looked, so that only a real change is told.
CREATE TABLE known_lists (
    name   TEXT PRIMARY KEY,
    digest TEXT NOT NULL
) STRICT;

-- W3C trace context of the request (traceparent).
ALTER TABLE audit ADD COLUMN trace TEXT;

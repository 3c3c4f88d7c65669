-- What an agent's hooks said last of what it does. session is the client's own id, by which it can take a session up.

CREATE TABLE hook_states (
    agent      TEXT PRIMARY KEY,
    state      TEXT NOT NULL CHECK (state IN (
        'idle', 'working', 'waiting_for_permission', 'waiting_for_input', 'ended'
    )),
    session    TEXT,
    directory  TEXT,
    since_us   INTEGER NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT;

-- Results by the Idempotency-Key of the request that made them, to be given again instead of doing it again.
CREATE TABLE idempotent_results (
    caller     TEXT NOT NULL,
    key        TEXT NOT NULL,
    digest     BLOB NOT NULL,
    result     TEXT NOT NULL CHECK (json_valid(result)),
    request_id TEXT NOT NULL,
    expires_us INTEGER NOT NULL,
    PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotent_results_by_expiry ON idempotent_results (expires_us);

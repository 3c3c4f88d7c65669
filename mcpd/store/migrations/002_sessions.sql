-- Session ids describe themselves and are not kept; only those that a client ended are, until they would have expired.

CREATE TABLE ended_sessions (
    nonce    TEXT PRIMARY KEY,
    ended_us INTEGER NOT NULL
) STRICT;

-- What the clients of a session want to be told of. In rows, so that it outlives a restart as the session does.
CREATE TABLE session_subscriptions (
    nonce     TEXT NOT NULL,
    uri       TEXT NOT NULL,
    since_us  INTEGER NOT NULL,
    PRIMARY KEY (nonce, uri)
) STRICT, WITHOUT ROWID;

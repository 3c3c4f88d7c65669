-- What each agent's terminal shows, kept up by mcpd-ttyd-manager, and who has it open. NULL is what is not known.

CREATE TABLE terminal_states (
    agent          TEXT PRIMARY KEY,
    state          TEXT NOT NULL CHECK (state IN (
        'absent', 'running', 'working', 'idle', 'waiting_for_permission', 'waiting_for_input', 'stalled', 'exited'
    )),
    since_us       INTEGER NOT NULL,
    pid            INTEGER,
    exit_status    INTEGER,
    cpu_us         INTEGER,
    memory_bytes   INTEGER,
    tasks          INTEGER,
    io_read_bytes  INTEGER,
    io_write_bytes INTEGER,
    last_line      TEXT,
    updated_us     INTEGER NOT NULL
) STRICT;

CREATE TABLE terminal_viewers (
    id        TEXT PRIMARY KEY,
    agent     TEXT NOT NULL,
    caller    TEXT NOT NULL,
    opened_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX terminal_viewers_by_agent ON terminal_viewers (agent);

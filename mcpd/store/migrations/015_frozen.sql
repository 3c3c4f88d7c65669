-- An agent may be frozen. SQLite changes no CHECK, so the table is made anew.

CREATE TABLE terminal_states_new (
    agent          TEXT PRIMARY KEY,
    state          TEXT NOT NULL CHECK (state IN (
        'absent', 'running', 'working', 'idle', 'waiting_for_permission', 'waiting_for_input', 'stalled', 'frozen',
        'exited'
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
INSERT INTO terminal_states_new SELECT * FROM terminal_states;
DROP TABLE terminal_states;
ALTER TABLE terminal_states_new RENAME TO terminal_states;

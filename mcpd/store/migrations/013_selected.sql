-- What the old system's own tools select from its first five tables, by the names that its versions gave the columns.
-- Times are UTC with a space, the form in which that system's shell scripts wrote UTC and compared it with
-- datetime('now'); 0 is a time that nobody knows.

ALTER TABLE activities ADD COLUMN timestamp TEXT AS (
    strftime('%Y-%m-%d %H:%M:%f', nullif(at_us, 0) / 1e6, 'unixepoch')
);
ALTER TABLE activities ADD COLUMN metadata TEXT AS (details);

ALTER TABLE components ADD COLUMN id TEXT AS (name);
ALTER TABLE components ADD COLUMN type ANY AS (metadata ->> '$.type');
ALTER TABLE components ADD COLUMN description ANY AS (metadata ->> '$.description');
ALTER TABLE components ADD COLUMN dependencies ANY AS (metadata ->> '$.dependencies');
ALTER TABLE components ADD COLUMN interfaces ANY AS (metadata ->> '$.interfaces');
ALTER TABLE components ADD COLUMN created_at TEXT AS (
    strftime('%Y-%m-%d %H:%M:%f', nullif(created_us, 0) / 1e6, 'unixepoch')
);
ALTER TABLE components ADD COLUMN updated_at TEXT AS (
    strftime('%Y-%m-%d %H:%M:%f', nullif(updated_us, 0) / 1e6, 'unixepoch')
);
ALTER TABLE components ADD COLUMN last_updated TEXT AS (updated_at);

ALTER TABLE decisions ADD COLUMN proposer TEXT AS (proposed_by);
ALTER TABLE decisions ADD COLUMN decision TEXT AS (question);
ALTER TABLE decisions ADD COLUMN options ANY AS (metadata ->> '$.options');
ALTER TABLE decisions ADD COLUMN votes ANY AS (metadata ->> '$.votes');
ALTER TABLE decisions ADD COLUMN consensus_required ANY AS (metadata ->> '$.consensus_required');
ALTER TABLE decisions ADD COLUMN approved_by ANY AS (metadata ->> '$.approved_by');
ALTER TABLE decisions ADD COLUMN created_at TEXT AS (
    strftime('%Y-%m-%d %H:%M:%f', nullif(created_us, 0) / 1e6, 'unixepoch')
);
ALTER TABLE decisions ADD COLUMN timestamp TEXT AS (created_at);
ALTER TABLE decisions ADD COLUMN resolved_at TEXT AS (
    strftime('%Y-%m-%d %H:%M:%f', nullif(resolved_us, 0) / 1e6, 'unixepoch')
);

ALTER TABLE conflicts ADD COLUMN agent1 ANY AS (agents ->> '$[0]');
ALTER TABLE conflicts ADD COLUMN agent2 ANY AS (agents ->> '$[1]');
ALTER TABLE conflicts ADD COLUMN conflict_type TEXT AS (issue);
ALTER TABLE conflicts ADD COLUMN created_at TEXT AS (
    strftime('%Y-%m-%d %H:%M:%f', nullif(created_us, 0) / 1e6, 'unixepoch')
);
ALTER TABLE conflicts ADD COLUMN timestamp TEXT AS (created_at);
ALTER TABLE conflicts ADD COLUMN detected_at TEXT AS (created_at);
ALTER TABLE conflicts ADD COLUMN resolved_at TEXT AS (
    strftime('%Y-%m-%d %H:%M:%f', nullif(resolved_us, 0) / 1e6, 'unixepoch')
);

DROP VIEW agent_states;
CREATE VIEW agent_states AS
SELECT
    name AS agent,
    strftime('%Y-%m-%d %H:%M:%f', nullif(last_seen_us, 0) / 1e6, 'unixepoch') AS last_seen,
    status,
    current_task,
    capabilities,
    metadata
FROM agents;

-- What the law wants to be known: who agreed to what, what is done with people's data, who saw what is sensitive, what
-- went wrong, and when data goes. A subject is the person whom data is about, by the name that it has here.

CREATE TABLE subject_consents (
    id           TEXT PRIMARY KEY,
    subject      TEXT NOT NULL,
    purpose      TEXT NOT NULL,
    granted_us   INTEGER NOT NULL,
    expires_us   INTEGER,
    withdrawn_us INTEGER,
    version      TEXT NOT NULL,
    recorded_by  TEXT,
    metadata     TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    changed_us   INTEGER NOT NULL
) STRICT;
CREATE INDEX subject_consents_by_subject ON subject_consents (subject, purpose);

CREATE TABLE processing_records (
    id             TEXT PRIMARY KEY,
    data_type      TEXT NOT NULL,
    classification TEXT NOT NULL,
    purpose        TEXT NOT NULL,
    legal_basis    TEXT,
    subject        TEXT,
    retention_days INTEGER CHECK (retention_days IS NULL OR retention_days >= 0),
    encrypted      INTEGER CHECK (encrypted IS NULL OR encrypted IN (0, 1)),
    shared         INTEGER CHECK (shared IS NULL OR shared IN (0, 1)),
    recorded_by    TEXT,
    metadata       TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    at_us          INTEGER NOT NULL
) STRICT;
CREATE INDEX processing_records_by_subject ON processing_records (subject) WHERE subject IS NOT NULL;
CREATE INDEX processing_records_by_time ON processing_records (at_us);

-- Uses of tools and resources that are declared to handle sensitive data.
CREATE TABLE sensitive_accesses (
    id             TEXT PRIMARY KEY,
    caller         TEXT NOT NULL,
    subject        TEXT,
    resource       TEXT NOT NULL,
    action         TEXT NOT NULL,
    classification TEXT NOT NULL,
    outcome        TEXT,
    reason         TEXT,
    emergency      INTEGER NOT NULL CHECK (emergency IN (0, 1)),
    request_id     TEXT,
    metadata       TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    at_us          INTEGER NOT NULL
) STRICT;
CREATE INDEX sensitive_accesses_by_time ON sensitive_accesses (at_us);

CREATE TABLE breaches (
    id               TEXT PRIMARY KEY,
    detected_us      INTEGER NOT NULL,
    severity         TEXT NOT NULL,
    affected_records INTEGER NOT NULL,
    data_types       TEXT NOT NULL CHECK (json_valid(data_types)),
    description      TEXT,
    containment      TEXT,
    gdpr_told_us     INTEGER,
    hipaa_told_us    INTEGER,
    subjects_told_us INTEGER,
    closed_us        INTEGER,
    reminded_us      INTEGER,
    recorded_by      TEXT,
    metadata         TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    changed_us       INTEGER NOT NULL
) STRICT;

-- 0 days: for ever.
CREATE TABLE retention_rules (
    data_type      TEXT PRIMARY KEY,
    classification TEXT NOT NULL,
    days           INTEGER NOT NULL CHECK (days >= 0),
    reason         TEXT,
    created_us     INTEGER NOT NULL,
    updated_us     INTEGER NOT NULL
) STRICT;
INSERT INTO retention_rules
SELECT column1, column2, column3, column4, now_us, now_us
FROM (
    VALUES
    ('public', 'public', 0, 'Processing records of this class that say no other.'),
    ('internal', 'internal', 730, 'Processing records of this class that say no other.'),
    ('confidential', 'confidential', 365, 'Processing records of this class that say no other.'),
    ('restricted', 'restricted', 90, 'Processing records of this class that say no other.'),
    ('pii', 'pii', 365, 'Processing records of this class that say no other.'),
    ('phi', 'phi', 2190, 'Processing records of this class that say no other.'),
    ('pci', 'pci', 365, 'Processing records of this class that say no other.'),
    ('consents', 'pii', 365, 'From the day on which the consent was withdrawn or expired.'),
    ('sensitive_accesses', 'phi', 2190, 'HIPAA, 45 CFR 164.316(b)(2)(i): six years.'),
    ('breaches', 'restricted', 2190, 'From the day on which the breach was closed.'),
    ('audit', 'internal', 730, 'PCI DSS 10.5.1: at least twelve months.'),
    ('resource_access_log', 'internal', 730, NULL),
    ('activities', 'internal', 730, NULL)
), (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS now_us);

CREATE TABLE retention_runs (
    id    INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL,
    rows  TEXT NOT NULL CHECK (json_valid(rows))
) STRICT;

-- The keys themselves are nowhere in the database.
CREATE TABLE encryption_keys (
    id            TEXT PRIMARY KEY,
    algorithm     TEXT NOT NULL,
    bits          INTEGER NOT NULL,
    first_used_us INTEGER NOT NULL
) STRICT;

-- That somebody's data was erased, without saying whose: the id stands where the name stood. What the subject is known
-- by goes when the erasure is finished.
CREATE TABLE erasures (
    id           TEXT PRIMARY KEY,
    subject      TEXT,
    begun_us     INTEGER NOT NULL,
    finished_us  INTEGER,
    requested_by TEXT NOT NULL,
    reason       TEXT,
    rows         TEXT NOT NULL CHECK (json_valid(rows))
) STRICT;

-- The tables of the old system, with its columns. Its times were UTC without saying so.
CREATE VIEW consent_records AS
SELECT
    id, subject AS user_id, purpose,
    strftime('%Y-%m-%dT%H:%M:%f', granted_us / 1e6, 'unixepoch') AS granted_at,
    strftime('%Y-%m-%dT%H:%M:%f', expires_us / 1e6, 'unixepoch') AS expires_at,
    strftime('%Y-%m-%dT%H:%M:%f', withdrawn_us / 1e6, 'unixepoch') AS withdrawn_at,
    version, NULL AS ip_address, metadata
FROM subject_consents;

CREATE VIEW data_processing_records AS
SELECT
    id, strftime('%Y-%m-%dT%H:%M:%f', at_us / 1e6, 'unixepoch') AS timestamp,
    data_type, classification, purpose, legal_basis, subject AS data_subject_id, retention_days AS retention_period,
    encrypted AS encryption_used, shared AS third_party_shared, metadata
FROM processing_records;

CREATE VIEW hipaa_access_logs AS
SELECT
    id, strftime('%Y-%m-%dT%H:%M:%f', at_us / 1e6, 'unixepoch') AS timestamp,
    caller AS user_id, subject AS patient_id, resource AS resource_accessed, action, reason,
    emergency AS emergency_override, metadata
FROM sensitive_accesses
WHERE classification = 'phi';

CREATE VIEW breach_records AS
SELECT
    id, strftime('%Y-%m-%dT%H:%M:%f', detected_us / 1e6, 'unixepoch') AS detected_at,
    strftime('%Y-%m-%dT%H:%M:%f', coalesce(min(gdpr_told_us, hipaa_told_us), gdpr_told_us, hipaa_told_us) / 1e6, 'unixepoch')
    AS reported_at,
    severity, affected_records, data_types AS data_types_affected, containment AS containment_actions,
    subjects_told_us IS NOT NULL AS notification_sent,
    gdpr_told_us IS NOT NULL OR hipaa_told_us IS NOT NULL AS regulatory_reported, metadata
FROM breaches;

CREATE VIEW retention_policies AS
SELECT
    data_type AS id, data_type, classification, days AS retention_days, 'delete' AS deletion_method,
    reason AS legal_requirement,
    strftime('%Y-%m-%dT%H:%M:%f', created_us / 1e6, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%f', updated_us / 1e6, 'unixepoch') AS updated_at
FROM retention_rules;

CREATE VIEW encryption_audit AS
SELECT
    id, strftime('%Y-%m-%dT%H:%M:%f', first_used_us / 1e6, 'unixepoch') AS timestamp, id AS key_id, algorithm,
    bits AS key_length, 'data' AS purpose, NULL AS rotation_date, 'used' AS status, NULL AS metadata
FROM encryption_keys;

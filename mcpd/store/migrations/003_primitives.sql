-- Prompts, which people may change, and the log of who read which resource.

CREATE TABLE prompts (
    name        TEXT PRIMARY KEY,
    title       TEXT,
    description TEXT NOT NULL,
    category    TEXT NOT NULL,
    arguments   TEXT NOT NULL CHECK (json_valid(arguments)),
    template    TEXT NOT NULL,
    created_us  INTEGER NOT NULL,
    updated_us  INTEGER NOT NULL
) STRICT;

-- The six of the system that mcpd replaces. {name} is an argument, {?…} a part that goes when its argument is missing.
INSERT INTO prompts
SELECT column1, column2, column3, column4, column5, column6, now_us, now_us
FROM (
    VALUES
    (
        'deploy_system', 'Deploy system', 'Deploy the multi-agent system', 'deployment',
        '[{"name":"environment","description":"Where to deploy to.","required":true,'
        || '"suggestions":["production","staging","development"]},'
        || '{"name":"version","description":"What to deploy; left out, the newest."}]',
        'Deploy multi-agent system to {environment} environment{?, version {version}}'
    ),
    (
        'run_tests', 'Run tests', 'Run system tests', 'testing',
        '[{"name":"suite","description":"The suite to run.","required":true,'
        || '"suggestions":["unit","functional","integration","all"]},'
        || '{"name":"verbose","description":"Whether to show each test.","type":"boolean"}]',
        'Run {suite} test suite{? (verbose: {verbose})}'
    ),
    (
        'analyze_performance', 'Analyze performance', 'Analyze system performance', 'maintenance',
        '[{"name":"component","description":"What to look at.","required":true,"source":"components"},'
        || '{"name":"duration","description":"How far to look back, such as 1h."}]',
        'Analyze performance of {component}{? over {duration}}'
    ),
    (
        'debug_agent', 'Debug agent', 'Find out what is wrong with an agent', 'debugging',
        '[{"name":"agent_name","description":"The agent.","required":true,"source":"agents"}]',
        'Debug the {agent_name} agent'
    ),
    (
        'analyze_code', 'Analyze code', 'Analyze a piece of code', 'analysis',
        '[{"name":"code","description":"The code itself.","required":true}]',
        'Analyze the following code:' || char(10) || '{code}'
    ),
    (
        'generate_test', 'Generate tests', 'Write tests for a component', 'testing',
        '[{"name":"component","description":"What to test.","required":true,"source":"components"}]',
        'Generate tests for:' || char(10) || '{component}'
    )
), (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS now_us);

-- The last two columns are what the old system's tools select.
CREATE TABLE resource_access_log (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us         INTEGER NOT NULL,
    uri           TEXT NOT NULL,
    caller        TEXT NOT NULL,
    session_id    TEXT,
    request_id    TEXT NOT NULL,
    success       INTEGER NOT NULL CHECK (success IN (0, 1)),
    error         TEXT,
    timestamp     INTEGER AS (at_us / 1000000),
    error_message TEXT AS (error)
) STRICT;
CREATE INDEX resource_access_log_by_uri ON resource_access_log (uri, at_us);
CREATE INDEX resource_access_log_by_time ON resource_access_log (at_us);

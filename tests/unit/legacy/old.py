"""Databases as the old system's programs left them: each variant's tables, filled from a seed with what they wrote.

Values that only one program wrote, and those that no program should have, are mixed in: both kinds of timestamps,
NULLs, broken JSON, display names, free text where an enumeration was meant, bytes that are no text.
"""

from __future__ import annotations

import base64
import json
import random
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

COLUMNS: dict[str, dict[str, str]] = {
    "complete": {
        "activities": "id TEXT PRIMARY KEY, agent TEXT NOT NULL, timestamp TEXT NOT NULL, activity TEXT NOT NULL,"
        " category TEXT NOT NULL, metadata TEXT, status TEXT DEFAULT 'completed'",
        "components": "id TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, owner TEXT NOT NULL,"
        " description TEXT, dependencies TEXT, interfaces TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,"
        " version INTEGER DEFAULT 1, UNIQUE (name, type)",
        "decisions": "id TEXT PRIMARY KEY, proposer TEXT NOT NULL, decision TEXT NOT NULL, options TEXT, votes TEXT,"
        " status TEXT DEFAULT 'pending', consensus_required BOOLEAN DEFAULT 0, created_at TEXT NOT NULL,"
        " resolved_at TEXT",
        "agent_states": "agent TEXT PRIMARY KEY, last_seen TEXT NOT NULL, status TEXT DEFAULT 'active',"
        " current_task TEXT, capabilities TEXT, metadata TEXT",
        "conflicts": "id TEXT PRIMARY KEY, agent1 TEXT NOT NULL, agent2 TEXT NOT NULL, component TEXT NOT NULL,"
        " conflict_type TEXT NOT NULL, severity TEXT DEFAULT 'medium', resolved BOOLEAN DEFAULT 0,"
        " created_at TEXT NOT NULL, resolved_at TEXT",
    },
    "bridge": {
        "activities": "id TEXT PRIMARY KEY, agent TEXT, timestamp TEXT, activity TEXT, category TEXT, metadata TEXT,"
        " status TEXT",
        "components": "id TEXT PRIMARY KEY, name TEXT, type TEXT, owner TEXT, description TEXT, dependencies TEXT,"
        " interfaces TEXT, created_at TEXT, updated_at TEXT, version INTEGER DEFAULT 1",
        "agent_states": "agent TEXT PRIMARY KEY, last_seen TEXT, status TEXT, current_task TEXT",
    },
    "optimized": {
        "activities": "id INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT NOT NULL, timestamp TEXT NOT NULL,"
        " activity TEXT NOT NULL, category TEXT, status TEXT",
        "components": "id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, type TEXT, owner TEXT,"
        " created_at TEXT",
        "agent_states": "agent TEXT PRIMARY KEY, last_seen TEXT, status TEXT, current_task TEXT",
    },
    "documented": {
        "activities": "id INTEGER PRIMARY KEY, agent TEXT, timestamp TEXT, activity TEXT, category TEXT, status TEXT,"
        " details TEXT",
        "agent_states": "agent TEXT PRIMARY KEY, last_seen TEXT, status TEXT, current_task TEXT, metadata TEXT",
        "components": "name TEXT PRIMARY KEY, owner TEXT, status TEXT, last_updated TEXT, metadata TEXT",
        "conflicts": "id INTEGER PRIMARY KEY, agents TEXT, issue TEXT, resolved INTEGER, resolution TEXT,"
        " timestamp TEXT",
        "decisions": "id INTEGER PRIMARY KEY, category TEXT, question TEXT, proposed_by TEXT, approved_by TEXT,"
        " status TEXT, timestamp TEXT, metadata TEXT",
    },
    "leftovers": {
        "capabilities_v2": "id TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT, features TEXT, created_at TEXT",
        "sessions": "id TEXT PRIMARY KEY, client_id TEXT, started_at TEXT, ended_at TEXT, capabilities TEXT,"
        " metadata TEXT",
        "tool_executions": "id TEXT PRIMARY KEY, session_id TEXT REFERENCES sessions (id), tool_name TEXT,"
        " executed_at TEXT, execution_time REAL, success BOOLEAN, idempotency_key TEXT UNIQUE",
        "audit_log": "id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER, session_id TEXT, operation TEXT,"
        " result TEXT, details TEXT",
        "query_performance": "id INTEGER PRIMARY KEY AUTOINCREMENT, query_hash TEXT NOT NULL, query_text TEXT,"
        " execution_time REAL NOT NULL, timestamp REAL NOT NULL",
        "consent_records": "id TEXT PRIMARY KEY, user_id TEXT NOT NULL, purpose TEXT NOT NULL,"
        " granted_at TEXT NOT NULL, expires_at TEXT, withdrawn_at TEXT, version TEXT, ip_address TEXT, metadata TEXT",
        "data_processing_records": "id TEXT PRIMARY KEY, timestamp TEXT NOT NULL, data_type TEXT NOT NULL,"
        " classification TEXT NOT NULL, purpose TEXT NOT NULL, legal_basis TEXT, data_subject_id TEXT,"
        " retention_period INTEGER, encryption_used BOOLEAN, third_party_shared BOOLEAN, metadata TEXT",
        "hipaa_access_logs": "id TEXT PRIMARY KEY, timestamp TEXT NOT NULL, user_id TEXT NOT NULL, patient_id TEXT,"
        " resource_accessed TEXT, action TEXT, reason TEXT, emergency_override BOOLEAN, metadata TEXT",
        "breach_records": "id TEXT PRIMARY KEY, detected_at TEXT NOT NULL, reported_at TEXT, severity TEXT,"
        " affected_records INTEGER, data_types_affected TEXT, containment_actions TEXT, notification_sent BOOLEAN,"
        " regulatory_reported BOOLEAN, metadata TEXT",
    },
    "system": {
        "agents": "id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, status TEXT DEFAULT 'offline', last_heartbeat TEXT,"
        " current_task TEXT, metadata TEXT, created_at TEXT, updated_at TEXT",
        "activity_logs": "id TEXT PRIMARY KEY, agent_id TEXT, category TEXT, activity TEXT, details TEXT,"
        " timestamp TEXT",
        "tasks": "id TEXT PRIMARY KEY, title TEXT NOT NULL, priority INTEGER DEFAULT 5, created_at TEXT",
        "decisions": "id TEXT, proposed_by TEXT, decision TEXT, category TEXT, confidence REAL, alternatives TEXT,"
        " status TEXT DEFAULT 'proposed', created_at TEXT, approved_at TEXT, metadata TEXT",
        "decision_votes": "decision_id TEXT, agent_id TEXT, vote TEXT, weight REAL DEFAULT 1.0",
        "collaboration_requests": "id TEXT, from_agent TEXT, to_agent TEXT, task TEXT, priority INTEGER DEFAULT 5,"
        " status TEXT DEFAULT 'pending', created_at TEXT",
    },
    "inbox": {
        "messages": "message_id TEXT PRIMARY KEY, sender_id TEXT NOT NULL, recipient_id TEXT, content TEXT NOT NULL,"
        " timestamp TEXT NOT NULL, metadata TEXT DEFAULT '{}'",
        "heartbeat": "agent TEXT PRIMARY KEY, last_seen TEXT, status TEXT, tasks_completed INTEGER",
        "inbox": "id INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT, task TEXT, status TEXT, created_at TEXT",
    },
}

VARIANTS: dict[str, tuple[str, ...]] = {
    "a": ("complete",),
    "b": ("bridge",),
    "c": ("optimized",),
    "d": ("documented",),
    "e": ("complete", "leftovers"),
    "system": ("system",),
    "inbox": ("inbox",),
    "everything": ("bridge", "leftovers", "inbox"),
}

AGENTS = ["backend-api", "database", "Backend API Agent", "Queue Manager", "unknown", "claude_code", "O'Brien", "检查"]
JSON = [
    "{}",
    "[]",
    '{"target_agents": ["database"]}',
    "{not json",
    "",
    '{"a": NaN}',
    "[" * 2000,
    '"text"',
    '{"a": "é"}',
]
TEXTS = ["All tests green", "修复登录 ✅", "", "'; DROP TABLE activities; --", "zero\0byte", "long " * 5000]
START = datetime(2025, 3, 29, 22, 0, 0)  # a night on which clocks are put forward in Rome


TIMES = ("timestamp", "last_seen", "last_heartbeat", "last_updated")
PEOPLE = ("agent", "agent_id", "owner", "proposer", "proposed_by", "agent1", "agent2", "from_agent", "to_agent")
DOCUMENTS = ("metadata", "details", "dependencies", "interfaces", "options", "votes", "agents", "approved_by")


@dataclass(frozen=True)
class Column:
    """A column as SQLite sees it."""

    name: str
    kind: str
    required: bool
    unique: bool


class Writer:
    """Values as the old programs wrote them, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def time(self) -> str:
        moment = START + timedelta(
            seconds=self.random.randrange(86_400 * 300), microseconds=self.random.randrange(1_000_000)
        )
        shell = moment.strftime("%Y-%m-%d %H:%M:%S")
        return self.random.choice([moment.isoformat(), shell, moment.isoformat() + "+00:00"])

    def value(self, column: Column, number: int) -> Any:
        """A value for *column* of row *number*; NULL sometimes, where the table allows it."""
        if column.name in ("id", "message_id"):
            text = self.random.choice([f"hook_{number}_{1758182400 + number}", f"{number:032x}"])
            return number if column.kind == "INTEGER" else text
        if column.name == "agent" and column.unique:
            return AGENTS[number] if number < len(AGENTS) else f"{self.random.choice(AGENTS)} {number}"
        if column.name == "name":
            return f"/api/thing{number if column.unique else number // 3}"
        if not column.required and self.random.random() < 0.15:
            return None
        return self._plain(column)

    def _plain(self, column: Column) -> Any:
        name, kind = column.name, column.kind
        if name in TIMES or name.endswith("_at"):
            return {"INTEGER": 1758182400, "REAL": 1758182400.5}.get(kind, self.time())
        if kind in ("INTEGER", "BOOLEAN"):
            return self.random.randrange(2 if name == "resolved" else 10)
        if kind == "REAL":
            return self.random.choice([0.25, float("inf"), 1e300])
        if name in DOCUMENTS:
            return self.random.choice(JSON)
        if name in PEOPLE:
            return self.random.choice(AGENTS)
        return b"\x00\xff" if name == "query_text" else self.random.choice(TEXTS)


def make(path: Path, variant: str, rows: int = 40, seed: int = 1) -> Path:
    """Write the database of *variant* to *path*."""
    db = sqlite3.connect(path)
    writer = Writer(seed)
    for schema in VARIANTS[variant]:
        for table, declared in COLUMNS[schema].items():
            db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({declared})")
            fill(db, table, writer, rows)
    if variant == "c":
        db.execute("CREATE INDEX idx_activities_agent ON activities (agent, timestamp DESC)")
    db.commit()
    db.close()
    return path


def fill(db: sqlite3.Connection, table: str, writer: Writer, rows: int, first: int = 0) -> None:
    """Add *rows* rows to *table*, numbered from *first*."""
    declared = str(db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0])
    columns = [
        Column(name, kind, bool(required), bool(place) or f"{name} TEXT UNIQUE" in declared)
        for name, kind, required, place in db.execute(
            'SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (table,)
        )
    ]
    marks = ", ".join("?" * len(columns))
    for number in range(first, first + rows):
        values = [writer.value(column, number) for column in columns]
        db.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", values)


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table, read in the plainest way there is."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    db.text_factory = decode
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    found = {
        name: [dict(row) for row in db.execute(f'SELECT * FROM "{name}"')]
        for name in names
        if not name.startswith("sqlite_")
    }
    db.close()
    return found


def decode(raw: bytes) -> Any:
    """Text as it is, or what is no text as the ledger writes it."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"text": base64.b64encode(raw).decode()}


def as_kept(row: dict[str, Any]) -> dict[str, Any]:
    """Return *row* as the ledger's JSON should say it."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return {"blob": base64.b64encode(value).decode()}
        return {"real": str(value)} if value in (float("inf"), float("-inf")) else value

    kept = {name.lower(): plain(value) for name, value in row.items() if value is not None}
    assert json.loads(json.dumps(kept)) == kept
    return kept

"""A stand-in for the old system's server: the shapes that its clients read, from its database, on its port.

It is written for the tests; the old one is not here. Run as the old system's script, in its directory.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DATABASE = "/tmp/mcp_state.db"
SCHEMA = """
CREATE TABLE IF NOT EXISTS activities (id INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT NOT NULL,
    timestamp TEXT NOT NULL, activity TEXT NOT NULL, category TEXT, status TEXT);
CREATE TABLE IF NOT EXISTS components (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, type TEXT, owner TEXT,
    created_at TEXT);
CREATE TABLE IF NOT EXISTS agent_states (agent TEXT PRIMARY KEY, last_seen TEXT, status TEXT, current_task TEXT);
"""


def rows(query: str, *values: str) -> list[dict[str, Any]]:
    """Run one statement, commit it, return its rows."""
    connection = sqlite3.connect(DATABASE, timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            return [dict(row) for row in connection.execute(query, values)]
    finally:
        connection.close()


class Handler(BaseHTTPRequestHandler):
    """GET the status or the activities, POST an activity."""

    def do_GET(self) -> None:
        activities = rows("SELECT * FROM activities ORDER BY timestamp DESC LIMIT 10")
        total = rows("SELECT count(*) AS n FROM activities")[0]["n"]
        status = {
            "activities": activities,
            "agent_states": rows("SELECT * FROM agent_states"),
            "components": rows("SELECT * FROM components"),
            "stats": {"total_activities": total, "conflicts_detected": 0},
            "server_running": True,
            "timestamp": datetime.now().isoformat(),
        }
        self.answer({"/api/mcp/status": status, "/api/mcp/activities": activities}.get(self.path))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        now = datetime.now().isoformat()
        columns = "agent, timestamp, activity, category, status"
        query = f"INSERT INTO activities ({columns}) VALUES (?, ?, ?, 'info', 'completed')"
        rows(query, body["agent"], now, body["activity"])
        self.answer({"success": True})

    def answer(self, value: object) -> None:
        """Send *value* as JSON; 404 for None."""
        content = json.dumps(value).encode()
        self.send_response(404 if value is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """With the backlog of the old system's framework; by default a sixth caller would be dropped."""

    request_queue_size = 128


if __name__ == "__main__":
    setup = sqlite3.connect(DATABASE)
    setup.executescript(SCHEMA)
    setup.close()
    Server(("127.0.0.1", 8099), Handler).serve_forever()

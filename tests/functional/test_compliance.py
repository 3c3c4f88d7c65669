"""The compliance endpoints and ``mcpctl compliance`` with a real daemon: every route, every way to be refused."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest

from mcpd.server import compliance_api, openapi
from mcpd.server.compliance_endpoint import FOLDER
from mcpd.store.database import Database
from tests.functional.conftest import MakeDaemon
from tests.functional.daemon import Daemon, Reply
from tests.functional.test_jsonrpc import call
from tests.functional.test_mcpctl import answer, at, mcpctl, refused

DAY_US = 86_400_000_000
PLUGIN = """
from typing import Annotated
from mcpd.plugins.api import Arguments, Call, Plugin, Resource, Result, Tool, ToolFailed, json_content

class Asked(Arguments):
    subject: str
    reason: str | None = None
    emergency: bool = False

def look(call: Call, asked: Asked) -> Result:
    if asked.subject == "nobody":
        raise ToolFailed("there is no such patient")
    return Result(success=True)

plugin = Plugin(
    tools=[Tool(name="read_chart", title="Read chart", description="Read a chart.", arguments=Asked, result=Result,
                function=look, read_only=True, classification="phi")],
    resources=[Resource("ward://list", "Ward", "Ward", "Who lies there.", "application/json",
                        lambda reading: json_content([]), classification="phi")],
)
"""


@pytest.fixture(scope="module")
def rpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("daemon")
    (directory / "tools.d").mkdir()
    (directory / "tools.d" / "clinic.py").write_text(PLUGIN)
    (directory / "backups").mkdir()
    (directory / "agents.d").mkdir()
    (directory / "agents.d" / "backend-api.toml").write_text('title = "Backend"\nport = 8090\nuser = "nobody"\n')
    settings = f'[tools]\nplugins = "{directory}/tools.d"\n[backup]\ndirectory = "{directory}/backups"\n'
    daemon = Daemon(directory, settings)
    daemon.migrate()
    daemon.start()
    yield daemon
    daemon.close()


def ask(rpc: Daemon, method: str, path: str, body: Any = None) -> Reply:
    """Ask; an answer must be what the API's description says of it."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = rpc.request(method, f"{FOLDER}/{path}", data, {"Content-Type": "application/json"})
    if reply.status == 200:
        bare = path.partition("?")[0]
        folder, _, _ = bare.partition("/")
        route = f"{FOLDER}/{folder}/{{name}}" if "/" in bare else f"{FOLDER}/{bare}"
        document = openapi.document({route: [method]}, compliance_api.OPERATIONS)
        described = document["paths"][route][method.lower()]
        schema = described["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(reply.json, schema)
        if body is not None and "requestBody" in described:
            jsonschema.validate(body, described["requestBody"]["content"]["application/json"]["schema"])
    return reply


def ok(rpc: Daemon, method: str, path: str, body: Any = None) -> Any:
    reply = ask(rpc, method, path, body)
    assert reply.status == 200, reply.body
    return reply.json


def rows(rpc: Daemon, sql: str, *values: object) -> list[Any]:
    db = Database(str(rpc.database), read_only=True)
    try:
        return db.rows(sql, values)
    finally:
        db.close()


def newest(rpc: Daemon, operation: str) -> Any:
    found = rows(rpc, "SELECT outcome, resource, details FROM audit WHERE operation = ? ORDER BY id DESC", operation)
    return found[0]


def topics(rpc: Daemon) -> list[str]:
    return [row[0] for row in rows(rpc, "SELECT topic FROM events ORDER BY seq")]


def test_a_consent_is_given_asked_for_and_withdrawn(rpc: Daemon) -> None:
    given = ok(rpc, "POST", "consent", {"user_id": "ada", "purpose": "newsletter", "duration_days": 30})
    assert given["success"] is True
    assert newest(rpc, "compliance/consent.grant")[:2] == ("ok", "ada")
    assert ok(rpc, "GET", "consents?user_id=ada&purpose=newsletter")["active"] is True
    assert ok(rpc, "GET", "consents?user_id=ada&purpose=other")["active"] is False
    [consent] = ok(rpc, "GET", "consents?user_id=ada")["consents"]
    assert (consent["id"], consent["withdrawn"], consent["active"]) == (given["consent_id"], False, True)
    old = rows(rpc, "SELECT user_id, purpose, withdrawn_at, granted_at < expires_at FROM consent_records")
    assert ("ada", "newsletter", None, 1) in old
    assert ok(rpc, "DELETE", f"consent/{consent['id']}") == {"success": True}
    assert ok(rpc, "DELETE", f"consent/{consent['id']}") == {"success": False}
    assert ok(rpc, "GET", "consents?user_id=ada&purpose=newsletter")["active"] is False
    assert {"compliance.consent_granted", "compliance.consent_withdrawn"} <= set(topics(rpc))


def test_a_consent_without_an_end_holds_until_it_is_withdrawn(rpc: Daemon) -> None:
    given = ok(rpc, "POST", "consent", {"user_id": "grace", "purpose": "p", "duration_days": None})
    assert given["expires_at"] is None
    assert ok(rpc, "POST", "consent", {"user_id": "grace", "purpose": "p"})["expires_at"] is not None
    assert ok(rpc, "GET", "consents?user_id=grace&limit=1")["total"] == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "consent", b"{", 400, "the body is not JSON"),
        ("POST", "consent", b"", 400, "the body is not JSON"),
        ("POST", "consent", [], 400, "Expected `object`, got `array`"),
        ("POST", "consent", {"user_id": "a"}, 400, "missing required field `purpose`"),
        ("POST", "consent", {"user_id": "", "purpose": "p"}, 400, "length >= 1 - at `$.user_id`"),
        ("POST", "consent", {"user_id": 7, "purpose": "p"}, 400, "Expected `str`, got `int` - at `$.user_id`"),
        ("POST", "consent", {"user_id": "a\nb", "purpose": "p"}, 400, "$.user_id"),
        ("POST", "consent", {"user_id": "x" * 257, "purpose": "p"}, 400, "length <= 256"),
        ("POST", "consent", {"user_id": "a", "purpose": "p", "duration_days": 0}, 400, "$.duration_days"),
        ("POST", "consent", {"user_id": "a", "purpose": "p", "duration_days": 1.5}, 400, "$.duration_days"),
        ("POST", "consent", {"user_id": "a", "purpose": "p", "days": 3}, 400, "unknown field `days`"),
        ("DELETE", "consent/nothing", None, 404, "there is no consent 'nothing'"),
        ("GET", "consents?limit=x", None, 400, "parameter 'limit': expected a whole number"),
        ("GET", "consents?" + "a=1&" * 60, None, 400, "the query is malformed"),
        ("GET", "report?framework=iso_9001", None, 400, "Invalid framework: iso_9001; expected one of gdpr, hipaa"),
        ("POST", "processing", {"data_type": "mail", "purpose": "p", "classification": "secret"}, 400, "secret"),
        ("POST", "processing", {"data_type": "m", "purpose": "p", "classification": "pii", "shared": 1}, 400, "shared"),
        ("PUT", "retention/nonsense", {"retention_days": 3}, 404, "there is no type of data 'nonsense'; expected"),
        ("PUT", "retention/audit", {"retention_days": -1}, 400, "$.retention_days"),
        ("PUT", "retention/audit", {}, 400, "retention_days"),
        ("POST", "encrypt", {"data": {"a": 1}}, 400, "Expected `str`, got `object` - at `$.data`"),
        ("POST", "encrypt", {"data": "x", "classification": "top"}, 400, "Invalid enum value 'top'"),
        ("POST", "encrypt", {"data": "x" * 300_000}, 413, "expected at most 262144 characters, got 300000"),
        ("POST", "anonymize", {"data": [1]}, 400, "Expected `object`, got `array` - at `$.data`"),
        ("POST", "anonymize", {"data": {"a": "x" * 300_000}}, 413, "expected at most 65536 bytes"),
        ("POST", "anonymize", b'{"data":' + b'{"a":' * 70 + b"1" + b"}" * 71, 400, "nested at most 64 deep"),
        ("GET", "export/7", None, 400, "user_id: expected a name"),
        ("GET", "export/%20x", None, 400, "user_id: expected a name"),
        ("GET", "export/root", None, 400, "root is no person's name"),
        ("GET", "export/ada?after=nonsense", None, 400, "parameter 'after'"),
        ("GET", "export/ada?after=WyJhdWRpdCIsMSwyXQ==", None, 400, "parameter 'after'"),
        ("GET", "export/ada?after=WzEsMl0=", None, 400, "parameter 'after'"),
        ("DELETE", "user/x", None, 400, "user_id: expected a name"),
        ("DELETE", "user/ada", {"reason": 7}, 400, "$.reason"),
        ("DELETE", "user/ada", b"nonsense", 400, "the body is not JSON"),
        ("DELETE", "user/backend-api", None, 409, "backend-api is an agent of this machine"),
        ("POST", "breach", {"severity": "bad", "affected_records": 1, "data_types": ["mail"]}, 400, "bad"),
        ("POST", "breach", {"severity": "low", "affected_records": -1, "data_types": ["m"]}, 400, "affected_records"),
        ("POST", "breach", {"severity": "low", "affected_records": 1, "data_types": []}, 400, "data_types"),
        ("POST", "breach", {"severity": "low", "affected_records": 1, "data_types": "mail"}, 400, "data_types"),
        (
            "POST", "breach",
            {"severity": "low", "affected_records": 1, "data_types": ["m"], "detected_at": "2026-01-01T00:00:00"},
            400, "detected_at: expected a time with its offset",
        ),
        (
            "POST", "breach",
            {"severity": "low", "affected_records": 1, "data_types": ["m"], "detected_at": "2926-01-01T00:00:00Z"},
            400, "detected_at: expected a time that has come",
        ),
        ("PUT", "breach/nothing", {"closed": True}, 404, "there is no breach 'nothing'"),
        ("PUT", "breach/nothing", {"told": "police"}, 400, "police"),
        ("GET", "breaches?offset=-1", None, 400, "parameter 'offset'"),
        ("POST", "report", {}, 405, "POST is not allowed"),
        ("GET", "nonsense", None, 404, "there is no endpoint"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_and_named(
    rpc: Daemon, method: str, path: str, body: Any, status: int, words: str
) -> None:
    reply = ask(rpc, method, path, body)
    assert (reply.status, words in reply.json["error"]) == (status, True), reply.body


def test_a_refused_change_is_audited_and_changes_nothing(rpc: Daemon) -> None:
    before = rows(rpc, "SELECT * FROM retention_rules")
    assert ask(rpc, "PUT", "retention/none", {"retention_days": 1}).status == 404
    assert newest(rpc, "compliance/retention.set")[:2] == ("refused", "none")
    assert rows(rpc, "SELECT * FROM retention_rules") == before


def test_text_is_encrypted_with_a_key_of_this_machine_and_decrypted_by_mcpctl(rpc: Daemon, tmp_path: Path) -> None:
    secret = "Grüße, 4111 1111 1111 1111\n"
    sealed = ok(rpc, "POST", "encrypt", {"data": secret, "classification": "pci"})
    assert sealed["encrypted"].startswith(f"mcpd1.{sealed['key_id']}.pci.")
    assert (sealed["algorithm"], sealed["classification"]) == ("AES-256-GCM", "pci")
    again = ok(rpc, "POST", "encrypt", {"data": secret, "classification": "pci"})
    assert again["encrypted"] != sealed["encrypted"]
    key = rpc.directory / "compliance.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    assert (sealed["key_id"], "AES-256-GCM", 256) in rows(
        rpc, "SELECT key_id, algorithm, key_length FROM encryption_audit"
    )
    assert "4111" not in str(newest(rpc, "compliance/encrypt"))
    assert answer(mcpctl("compliance", "decrypt", "--json", *at(rpc), text=sealed["encrypted"])) == {
        "data": secret, "classification": "pci",
    }  # fmt: skip
    file = tmp_path / "sealed"
    file.write_text(sealed["encrypted"] + "\n")
    assert mcpctl("compliance", "decrypt", str(file), *at(rpc)).stdout == secret
    changed = sealed["encrypted"].replace(".pci.", ".public.")
    refused(mcpctl("compliance", "decrypt", *at(rpc), text=changed), 65, "was changed after it was encrypted")
    other = tmp_path / "other.key"
    other.write_bytes(os.urandom(32))
    refused(mcpctl("compliance", "decrypt", "--key", str(other), *at(rpc), text=changed), 65, "was encrypted with key")
    refused(mcpctl("compliance", "decrypt", *at(rpc), text="mcpd0.x.y.z"), 65, "expected mcpd1.KEY.CLASS.DATA")


def test_what_is_open_is_not_encrypted_and_says_so(rpc: Daemon) -> None:
    sealed = ok(rpc, "POST", "encrypt", {"data": "hello", "classification": "public"})
    assert (sealed["encrypted"], sealed["algorithm"], sealed["key_id"]) == ("hello", None, None)


def test_a_key_of_systemd_goes_before_the_file(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "mcpd.compliance-key").write_bytes(bytes(range(32)))
    daemon = make_daemon(environment={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    sealed = ok(daemon, "POST", "encrypt", {"data": "x"})
    assert not (daemon.directory / "compliance.key").exists()
    key = str(tmp_path / "mcpd.compliance-key")
    assert mcpctl("compliance", "decrypt", "--key", key, *at(daemon), text=sealed["encrypted"]).stdout == "x"


def test_people_are_masked(rpc: Daemon) -> None:
    data = {
        "name": "Ada Lovelace", "email": "ada@example.org", "age": 36, "zip_code": "90210", "city": "London",
        "patient": {"firstName": "Ada", "note": "call ada@example.org or 123-45-6789"}, "user_id": "ada",
    }  # fmt: skip
    assert ok(rpc, "POST", "anonymize", {"data": data})["anonymized"] == {
        "name": "REDACTED", "email": "ad****@example.org", "age_group": "30-39", "zip_code": "902**", "city": "London",
        "patient": {"firstName": "REDACTED", "note": "call ad****@example.org or REDACTED"}, "user_id": "REDACTED",
    }  # fmt: skip
    asked = {"data": {"user_id": "ada", "friend": "ada"}, "pseudonymize": ["userId", "friend"], "salt": "1"}
    one = ok(rpc, "POST", "anonymize", asked)["anonymized"]
    assert one["user_id"] == one["friend"]
    assert one["user_id"].startswith("pn_")
    assert ok(rpc, "POST", "anonymize", asked)["anonymized"] == one
    assert ok(rpc, "POST", "anonymize", asked | {"salt": "2"})["anonymized"] != one


def test_uses_of_what_is_declared_sensitive_are_logged_and_no_others(rpc: Daemon) -> None:
    for _ in range(3):
        assert rpc.request("GET", "/api/mcp/health").status == 200
    call(rpc, "heartbeat", {"agent": "patient-health"})
    call(rpc, "read_chart", {"subject": "p-1", "reason": "ward round"})
    call(rpc, "read_chart", {"subject": "nobody", "emergency": True})
    call(rpc, "read_chart", {})
    body = {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "ward://list"}}
    assert "error" not in rpc.post("/jsonrpc", body).json
    found = rows(
        rpc,
        "SELECT action, resource, subject, outcome, reason, emergency FROM sensitive_accesses"
        " WHERE classification = 'phi' ORDER BY rowid",
    )
    assert found == [
        ("tools/call", "read_chart", "p-1", "ok", "ward round", 0),
        ("tools/call", "read_chart", "nobody", "failed", None, 1),
        ("tools/call", "read_chart", None, "refused", None, 0),
        ("resources/read", "ward://list", None, "ok", None, 0),
    ]
    old = rows(rpc, "SELECT patient_id, resource_accessed, emergency_override FROM hipaa_access_logs")
    assert len(old) == 4
    report = ok(rpc, "GET", "report?framework=hipaa")
    counts = {finding["type"]: finding["count"] for finding in report["findings"]}
    assert (report["access_logs_7d"], counts["emergency_access"], counts["unexplained_access"]) == (4, 1, 3)


def test_a_breach_is_recorded_with_its_deadlines_and_followed(rpc: Daemon) -> None:
    long_ago = {
        "severity": "critical",
        "affected_records": 700,
        "data_types": ["mail"],
        "detected_at": "2026-01-02T03:04:05Z",
    }
    made = ok(rpc, "POST", "breach", long_ago)
    assert made["reported"] is True
    assert [(due["regulation"], due["due"][:19], due["overdue"]) for due in made["required_notifications"]] == [
        ("GDPR", "2026-01-05T03:04:05", True), ("HIPAA", "2026-03-03T03:04:05", True),
    ]  # fmt: skip
    assert "compliance.breach_recorded" in topics(rpc)
    small = ok(rpc, "POST", "breach", {"severity": "low", "affected_records": 1, "data_types": ["mail"]})
    assert small["required_notifications"] == []
    report = ok(rpc, "GET", "report")
    assert report["status"] == "non_compliant"
    assert "overdue_breach_notification" in {finding["type"] for finding in report["findings"]}
    told = ok(rpc, "PUT", f"breach/{made['breach_id']}", {"told": "gdpr", "containment": "keys changed"})
    assert told["deadlines"][0]["overdue"] is False
    closed = ok(rpc, "PUT", f"breach/{made['breach_id']}", {"told": "hipaa", "closed": True})
    assert closed["closed"] is not None
    for wrong in ({}, {"closed": False}):
        assert ask(rpc, "PUT", f"breach/{made['breach_id']}", wrong).status == 400
    report = ok(rpc, "GET", "report")
    assert "overdue_breach_notification" not in {finding["type"] for finding in report["findings"]}
    assert ok(rpc, "GET", "breaches")["total"] == 2
    [old] = rows(rpc, "SELECT regulatory_reported, containment_actions FROM breach_records WHERE severity = 'critical'")
    assert old == (1, "keys changed")


@pytest.mark.parametrize("framework", ["gdpr", "hipaa", "soc2", "pci_dss", "iso_27001", "ccpa"])
def test_a_report_says_what_it_cannot_know_and_never_that_all_is_well(rpc: Daemon, framework: str) -> None:
    report = ok(rpc, "GET", f"report?framework={framework}")
    assert report["framework"] == framework
    assert report["status"] in ("no_findings", "action_required", "non_compliant")
    assert {entry["reason"] for entry in report["not_assessed"]} >= {"mcpd cannot know"}


def test_findings_come_and_go_with_what_is_so(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon('[access]\nloopback = "open"\n')

    def found(framework: str) -> dict[str, int]:
        report = ok(daemon, "GET", f"report?framework={framework}")
        return {finding["type"]: finding["count"] for finding in report["findings"]}

    assert found("gdpr") == {"open_access": 1}
    record = {"data_type": "mail", "classification": "pii", "purpose": "newsletter", "user_id": "ada"}
    ok(
        daemon,
        "POST",
        "processing",
        record | {"encrypted": False, "legal_basis": "consent", "third_party_shared": True},
    )
    ok(daemon, "POST", "processing", record)
    assert found("gdpr") == {
        "open_access": 1,
        "unencrypted_sensitive_data": 1,
        "without_consent": 1,
        "no_legal_basis": 1,
    }
    assert found("ccpa") == {"unencrypted_sensitive_data": 1, "shared_data": 1}
    assert ok(daemon, "GET", "report?framework=soc2")["status"] == "non_compliant"
    ok(daemon, "POST", "consent", {"user_id": "ada", "purpose": "newsletter"})
    ok(daemon, "POST", "processing", record | {"encrypted": True, "legal_basis": "consent"})
    assert found("gdpr")["without_consent"] == 1, "what was done before there was a consent stays done without one"
    ok(daemon, "PUT", "retention/audit", {"retention_days": 30})
    assert found("pci_dss")["short_audit"] == 1
    assert [item["user_id"] for item in ok(daemon, "GET", "processing?limit=2")["records"]] == ["ada", "ada"]


def fill(rpc: Daemon, now_us: int) -> None:
    db = Database(str(rpc.database))
    old = now_us - 800 * DAY_US
    for number in range(1200):
        db.execute(
            "INSERT INTO activities (at_us, agent, activity, category, status) VALUES (?, 'a', ?, 'task', 'completed')",
            (old if number % 2 else now_us, f"work {number}"),
        )
    for name, expires_us in (
        ("gone", now_us - 400 * DAY_US),
        ("recent", now_us - 10 * DAY_US),
        ("on", now_us + DAY_US),
    ):
        db.execute(
            "INSERT INTO subject_consents VALUES (?, 'ada', 'p', ?, ?, NULL, '1', NULL, NULL, ?)",
            (name, old, expires_us, old),
        )
    for name, days in (("own", 5), ("class", None)):
        db.execute(
            "INSERT INTO processing_records VALUES (?, 'x', 'pii', 'p', NULL, NULL, ?, 1, 0, NULL, NULL, ?)",
            (name, days, now_us - 20 * DAY_US),
        )
    db.close()


def test_what_is_over_its_time_is_deleted(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    fill(daemon, time.time_ns() // 1000)
    assert ok(daemon, "GET", "retention")["enforced_at"] is None
    report = ok(daemon, "GET", "report")
    assert {key: value for key, value in report["findings"][0].items() if key in ("type", "count")} == {
        "type": "expired_data",
        "count": 602,
    }
    words = ["compliance", "retention", "--enforce", *at(daemon)]
    would = answer(mcpctl(*words, "--dry-run", "--json"))
    assert rows(daemon, "SELECT count(*) FROM activities") == [(1200,)]
    done = answer(mcpctl(*words, "--json"))
    assert would["rows"] == done["rows"]
    assert {kind: number for kind, number in done["rows"].items() if number} == {
        "activities": 600, "consents": 1, "processing_records": 1,
    }  # fmt: skip
    assert rows(daemon, "SELECT count(*) FROM activities") == [(600,)]
    assert rows(daemon, "SELECT id FROM subject_consents ORDER BY id") == [("on",), ("recent",)]
    assert rows(daemon, "SELECT id FROM processing_records") == [("class",)]
    assert "nothing to delete" in mcpctl(*words).stdout
    assert newest(daemon, "compliance/retention")[0] == "ok"
    assert topics(daemon).count("retention.enforced") == 2
    assert ok(daemon, "GET", "retention")["enforced_at"] is not None
    policies = {policy["type"]: policy["retention_days"] for policy in ok(daemon, "GET", "retention")["policies"]}
    assert (policies["PII"], policies["PHI"], policies["PCI"], policies["Restricted"]) == (365, 2190, 365, 90)
    assert "kept for ever" in mcpctl("compliance", "retention", "activities", "0", *at(daemon)).stdout
    assert rows(daemon, "SELECT retention_days FROM retention_policies WHERE data_type = 'activities'") == [(0,)]


def everywhere(rpc: Daemon, name: str) -> list[str]:
    """Where in the whole database a name stands, looked for in the plainest way there is."""
    db = Database(str(rpc.database), read_only=True)
    tables = [row[0] for row in db.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = []
    for table in tables:
        for row in db.rows(f'SELECT * FROM "{table}"'):
            found += [
                f"{table}: {row}" for value in row if name in str(value) or name.encode() in bytes(str(value), "utf-8")
            ]
    db.close()
    return found


def test_all_about_a_person_is_exported_and_erased(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    person, other = "zelda-quince", "zelda-quince-2"
    call(daemon, "log_activity", {"agent": person, "activity": "met zelda-quince at noon", "category": "task"})
    call(daemon, "log_activity", {"agent": other, "activity": "asked zelda-quince.", "category": "task"})
    call(daemon, "register_component", {"agent": person, "name": "desk", "type": "service"})
    call(daemon, "request_collaboration", {"from_agent": other, "to_agent": person, "task": "help", "priority": "low"})
    call(daemon, "update_status", {"agent": person, "status": "busy", "current_task": "x"}, {"Idempotency-Key": person})
    for purpose in ("mail", "calls"):
        ok(daemon, "POST", "consent", {"user_id": person, "purpose": purpose})
    ok(daemon, "POST", "processing", {"data_type": "m", "classification": "pii", "purpose": "mail", "user_id": person})
    exports = daemon.directory / "exports"
    exports.mkdir()
    (exports / "1.jsonl").write_text(json.dumps({"agent": person}) + "\n")
    (exports / "2.jsonl").write_text(json.dumps({"agent": other}) + "\n")

    part = ok(daemon, "GET", f"export/{person}")
    assert part["next"] is None
    assert [row["purpose"] for row in part["data"]["consents"]] == ["mail", "calls"]
    assert {"activities", "agents", "audit", "claims", "collaboration_requests", "components"} <= set(part["data"])
    assert part["data"]["access_logs"][0]["resource"] == "compliance/export"
    assert part["data"]["processing_records"][-1]["data_type"] == "user_data_export"

    gone = ok(daemon, "DELETE", f"user/{person}", {"reason": f"asked for by {person}"})
    assert gone["success"] is True
    assert gone["deleted"]["subject_consents"] == 2
    assert gone["deleted"]["agents"] == 1
    assert gone["files"] == 1
    assert [path.name for path in exports.iterdir()] == ["2.jsonl"]
    assert [found for found in everywhere(daemon, person) if other not in found] == []
    [(kept,)] = rows(daemon, "SELECT activity FROM activities WHERE agent = ? AND activity LIKE 'asked %'", other)
    assert kept == f"asked {gone['erasure_id']}."
    outcomes = rows(daemon, "SELECT DISTINCT outcome FROM audit WHERE operation = 'compliance/erase'")
    assert outcomes == [("ok",)]
    assert rows(daemon, "SELECT subject, reason FROM erasures") == [(None, f"asked for by {gone['erasure_id']}")]
    assert topics(daemon)[-1] == "compliance.erased"
    again = ok(daemon, "DELETE", f"user/{person}")
    assert (again["deleted"], again["anonymised"]) == ({}, {})
    assert ok(daemon, "GET", "report?framework=ccpa")["erasures_45d"] == 2
    daemon.stop()
    data = b"".join(path.read_bytes() for path in daemon.directory.glob("mcp.db*"))
    assert data.count(person.encode()) == data.count(other.encode()), "not in the pages of the file either"
    daemon.start()


def test_long_exports_come_in_parts_and_erasures_hold_nobody_up(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    db = Database(str(daemon.database))
    with db.transaction():
        for number in range(3000):
            db.execute(
                "INSERT INTO activities (at_us, agent, activity, category, status) VALUES (7, ?, 'x', 'y', 'z')",
                ("ada" if number % 2 else "bob",),
            )
    db.close()
    first = ok(daemon, "GET", "export/ada")
    assert len(first["data"]["activities"]) <= 500
    assert first["next"] is not None
    whole = answer(mcpctl("compliance", "export", "ada", *at(daemon)))
    assert len(whole["data"]["activities"]) == 1500
    assert len({row["id"] for row in whole["data"]["activities"]}) == 1500
    target = daemon.directory / "ada.json"
    said = answer(mcpctl("compliance", "export", "ada", "--output", str(target), "--json", *at(daemon)))
    assert said["rows"]["activities"] == 1500
    assert json.loads(target.read_text())["data"].keys() == said["rows"].keys()
    done = threading.Event()

    def erase() -> None:
        try:
            ok(daemon, "DELETE", "user/ada")
        finally:
            done.set()

    erasing = threading.Thread(target=erase)
    erasing.start()
    between = 0
    while not done.is_set():
        assert daemon.request("GET", "/api/mcp/health").status == 200
        between += 1
    erasing.join()
    assert between > 1
    assert rows(daemon, "SELECT count(*) FROM activities WHERE agent = 'ada'") == [(0,)]
    assert rows(daemon, "SELECT count(*) FROM activities WHERE agent = 'bob'") == [(1500,)]
    audited = rows(daemon, "SELECT count(*) FROM audit WHERE operation = 'compliance/erase'")[0][0]
    assert audited >= 8, "in batches, each with its record"


@pytest.mark.parametrize("name", ["O'Brien", 'say "hi"', "back\\slash", "检查员", "José Ñandú", "a b/c?d", "x\u2028y"])
def test_names_of_all_kinds_are_erased(make_daemon: MakeDaemon, name: str) -> None:
    daemon = make_daemon()
    call(daemon, "log_activity", {"agent": name, "activity": f"told {name}, twice: {name}", "category": "task"})
    body = {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": f"agent://{quote(name, safe='')}"}}
    assert "error" not in daemon.post("/jsonrpc", body).json
    ok(daemon, "POST", "consent", {"user_id": name, "purpose": "p"})
    assert len(ok(daemon, "GET", f"export/{quote(name, safe='')}")["data"]["consents"]) == 1
    ok(daemon, "DELETE", f"user/{quote(name, safe='')}", {"reason": name})
    for form in {name, quote(name, safe=""), json.dumps(name)[1:-1]}:
        assert everywhere(daemon, form) == []


def test_switched_off_nothing_answers_and_nothing_is_logged(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(environment={"MCP_ENABLE_COMPLIANCE": "FALSE"})
    reply = ask(daemon, "GET", "consents")
    assert (reply.status, "switched off" in reply.json["error"]) == (404, True)
    block = daemon.request("GET", "/api/mcp/status").json["compliance"]
    assert (block["enabled"], block["frameworks"], block["encryption"]) == (False, [], None)
    refused(mcpctl("compliance", "report", *at(daemon)), 1, "switched off")


def test_the_status_says_what_is_done(rpc: Daemon) -> None:
    block = rpc.request("GET", "/api/mcp/status").json["compliance"]
    assert block == {
        "enabled": True, "frameworks": ["GDPR", "HIPAA", "SOC 2", "PCI-DSS", "ISO 27001", "CCPA"],
        "encryption": "AES-256-GCM", "data_retention": "Policy-based", "audit_logging": "Enabled",
    }  # fmt: skip


def test_mcpctl_does_all_of_it(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()

    def run(*words: str) -> Any:
        return answer(mcpctl("compliance", *words, "--json", *at(daemon)))

    given = run("consent", "grant", "ada", "mail", "--days", "3")
    assert mcpctl("compliance", "consent", "check", "ada", "mail", *at(daemon)).returncode == 0
    assert given["consent_id"] in mcpctl("compliance", "consents", "ada", *at(daemon)).stdout
    assert run("consent", "withdraw", given["consent_id"]) == {"success": True}
    done = mcpctl("compliance", "consent", "check", "ada", "mail", *at(daemon))
    assert (done.returncode, done.stdout) == (1, "ada, mail: no consent\n")
    assert run("consent", "grant", "ada", "calls", "--days", "0")["expires_at"] is None
    made = run("breach", "high", "12", "mail", "phone", "--description", "a laptop was lost")
    assert "GDPR by 20" in mcpctl("compliance", "breaches", *at(daemon)).stdout
    assert run("breach", made["breach_id"], "--told", "gdpr", "--contained", "wiped", "--close")["closed"]
    assert "GDPR told" in mcpctl("compliance", "breaches", *at(daemon)).stdout
    shown = mcpctl("compliance", "report", "soc2", *at(daemon)).stdout
    assert "Not assessed" in shown
    assert "mcpd cannot know" in shown
    assert run("report")["framework"] == "gdpr"
    assert "no records" in mcpctl("compliance", "processing", *at(daemon)).stdout
    assert "2190" in mcpctl("compliance", "retention", *at(daemon)).stdout
    erased = mcpctl("compliance", "erase", "ada", "--yes", "--reason", "asked", *at(daemon)).stdout
    assert "subject_consents" in erased
    assert "Kept" in erased


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (
            ["consent"],
            64,
            "usage: mcpctl compliance consent grant USER PURPOSE, or mcpctl compliance consent withdraw ID",
        ),
        (["consent", "withdraw", "x", "--days", "3"], 64, "--days is for"),
        (["consent", "withdraw", "x"], 1, "there is no consent 'x'"),
        (["consents", "a", "b", "c"], 64, "usage"),
        (["report", "a", "b"], 64, "usage"),
        (["report", "nonsense"], 1, "Invalid framework"),
        (["export"], 64, "usage: mcpctl compliance export USER"),
        (["export", "ada", "--output", "/nonexistent/x"], 64, "cannot be written"),
        (["export", "ada", "--reason", "x"], 64, "mcpctl compliance export takes no --reason; erase does"),
        (["erase", "ada"], 64, "say --yes if it is meant"),
        (["erase", "backend-api", "--yes"], 1, "is an agent of this machine"),
        (["erase"], 64, "usage"),
        (["breach", "high"], 64, "usage"),
        (["breach", "high", "many", "mail"], 64, "usage"),
        (["breach", "high", "1", "mail", "--close"], 64, "usage"),
        (["breach", "none", "--close"], 1, "there is no breach 'none'"),
        (["breaches", "x"], 64, "usage"),
        (["processing", "x"], 64, "usage"),
        (["retention", "audit"], 64, "usage: mcpctl compliance retention, or mcpctl compliance retention TYPE DAYS"),
        (["retention", "nonsense", "3"], 1, "there is no type of data"),
        (["retention", "--dry-run"], 64, "--dry-run is for"),
        (["retention", "audit", "3", "--enforce"], 64, "usage"),
        (["decrypt", "/nonexistent"], 64, "cannot be read"),
        (["decrypt", "a", "b"], 64, "usage"),
        (["nonsense"], 64, "invalid choice"),
    ],
)
def test_mcpctl_says_what_is_wrong(rpc: Daemon, words: list[str], status: int, said: str) -> None:
    refused(mcpctl("compliance", *words, *at(rpc)), status, said)

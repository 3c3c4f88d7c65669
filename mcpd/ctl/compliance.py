"""``mcpctl compliance``: reports, consents, exports, erasures, breaches, retention, decryption."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from mcpd import config
from mcpd.ctl import client, output
from mcpd.ctl.client import Client
from mcpd.errors import UsageError

HELP = "report, consents, exports, erasures, breaches, retention"

FOLDER = "/api/mcp/compliance"
_TIMEOUT_S = 3600.0  # an erasure looks through the whole database
_USAGE = {
    "report": ("", "FRAMEWORK"),
    "consents": ("", "USER", "USER PURPOSE"),
    "consent": ("grant USER PURPOSE", "withdraw ID", "check USER PURPOSE"),
    "processing": ("",),
    "export": ("USER",),
    "erase": ("USER",),
    "breaches": ("",),
    "breach": ("SEVERITY RECORDS TYPE...", "ID"),
    "retention": ("", "TYPE DAYS"),
    "decrypt": ("", "FILE"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``compliance`` takes."""
    parser.add_argument("action", choices=_ACTIONS, help="what to do")
    parser.add_argument("words", metavar="WORD", nargs="*", help="what it is about, see mcpctl(1)")
    parser.add_argument("--days", metavar="DAYS", type=int, help="for consent grant: how long it holds, 0 for ever")
    parser.add_argument("--reason", metavar="TEXT", help="for erase: why")
    parser.add_argument("--yes", action="store_true", help="for erase: do it without asking")
    parser.add_argument("--output", metavar="FILE", type=Path, help="for export: write it there")
    parser.add_argument("--description", metavar="TEXT", help="for breach: what happened")
    parser.add_argument("--told", choices=("gdpr", "hipaa", "subjects"), help="for breach: who knows of it now")
    parser.add_argument("--contained", metavar="TEXT", help="for breach: what was done about it")
    parser.add_argument("--close", action="store_true", help="for breach: that is all")
    parser.add_argument("--enforce", action="store_true", help="for retention: delete what is over its time")
    parser.add_argument("--dry-run", action="store_true", help="for retention --enforce: say what would be deleted")
    parser.add_argument(
        "--key", metavar="FILE", type=Path, help="for decrypt: the key, if it is not beside the database"
    )


_OPTIONS = {
    "days": "consent", "reason": "erase", "yes": "erase", "output": "export", "description": "breach", "told": "breach",
    "contained": "breach", "close": "breach", "enforce": "retention", "dry_run": "retention", "key": "decrypt",
}  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Do it; the daemon says what came of it."""
    for option, action in _OPTIONS.items():
        if getattr(arguments, option) not in (None, False) and action != arguments.action:
            name = option.replace("_", "-")
            raise UsageError(f"mcpctl compliance {arguments.action} takes no --{name}; {action} does")
    return _ACTIONS[arguments.action](arguments) or 0


def _wrong(arguments: argparse.Namespace) -> UsageError:
    forms = (f"mcpctl compliance {arguments.action} {form}".rstrip() for form in _USAGE[arguments.action])
    return UsageError(f"usage: {', or '.join(forms)}")


def _ask(
    arguments: argparse.Namespace, method: str, path: str, body: object = None, query: dict[str, Any] | None = None
) -> dict[str, Any]:
    where = Client(client.endpoint(arguments.url), _TIMEOUT_S)
    target = f"{FOLDER}/{path}" + (f"?{urlencode(query)}" if query else "")
    data = b"" if body is None else json.dumps(body).encode()
    answer = where.request(method, target, data, {"Content-Type": "application/json"})
    if answer.status != 200:
        raise client.refusal(answer)
    return answer.body


def _report(arguments: argparse.Namespace) -> None:
    if len(arguments.words) > 1:
        raise _wrong(arguments)
    query = {"framework": arguments.words[0]} if arguments.words else {}
    report = _ask(arguments, "GET", "report", query=query)
    if arguments.json:
        output.print_json(report)
        return
    lists = ("findings", "met", "not_assessed")
    findings = [[f["requirement"], f["type"], f["count"], f["action"]] for f in report["findings"]]
    output.print_tables(
        output.pairs("", {key: value for key, value in report.items() if key not in lists}),
        output.table("Findings", ("requirement", "finding", "count", "what to do"), findings),
        output.table("Met, as far as mcpd sees", ("requirement", "what"), [tuple(m.values()) for m in report["met"]]),
        output.table(
            "Not assessed", ("requirement", "what", "why"), [tuple(n.values()) for n in report["not_assessed"]]
        ),
    )


def _consents(arguments: argparse.Namespace) -> None:
    if len(arguments.words) > 2:
        raise _wrong(arguments)
    answer = _ask(arguments, "GET", "consents", query=dict(zip(("user_id", "purpose"), arguments.words, strict=False)))
    if arguments.json:
        output.print_json(answer)
        return
    columns = ("id", "user_id", "purpose", "granted_at", "expires_at", "withdrawn_at", "active")
    _print_rows(answer["consents"], columns, "no consents")


def _consent(arguments: argparse.Namespace) -> int:
    words = arguments.words
    if arguments.days is not None and words[:1] != ["grant"]:
        raise UsageError("--days is for mcpctl compliance consent grant")
    if len(words) == 3 and words[0] == "grant":
        days = {} if arguments.days is None else {"duration_days": arguments.days or None}
        answer = _ask(arguments, "POST", "consent", {"user_id": words[1], "purpose": words[2], **days})
        _say(arguments, answer, f"{answer['consent_id']}: holds until {answer['expires_at'] or 'it is withdrawn'}")
    elif len(words) == 2 and words[0] == "withdraw":
        answer = _ask(arguments, "DELETE", f"consent/{quote(words[1], safe='')}")
        _say(arguments, answer, f"{words[1]}: {'withdrawn' if answer['success'] else 'was withdrawn before'}")
    elif len(words) == 3 and words[0] == "check":
        answer = _ask(arguments, "GET", "consents", query={"user_id": words[1], "purpose": words[2]})
        _say(arguments, answer, f"{words[1]}, {words[2]}: {'agreed' if answer['active'] else 'no consent'}")
        return 0 if answer["active"] else 1
    else:
        raise _wrong(arguments)
    return 0


def _processing(arguments: argparse.Namespace) -> None:
    if arguments.words:
        raise _wrong(arguments)
    answer = _ask(arguments, "GET", "processing")
    if arguments.json:
        output.print_json(answer)
        return
    columns = ("timestamp", "data_type", "classification", "purpose", "legal_basis", "user_id", "encrypted")
    _print_rows(answer["records"], columns, "no records of processing")


def _export(arguments: argparse.Namespace) -> None:
    if len(arguments.words) != 1:
        raise _wrong(arguments)
    path, found, query = f"export/{quote(arguments.words[0], safe='')}", dict[str, Any](), dict[str, str]()
    while True:
        part = _ask(arguments, "GET", path, query=query)
        if not found:
            found = part
        else:
            for table, rows in part["data"].items():
                found["data"].setdefault(table, []).extend(rows)
        if part["next"] is None:
            break
        query = {"after": part["next"]}
    del found["next"]
    rows = {table: len(rows) for table, rows in found["data"].items()}
    if arguments.output is None:
        output.print_json(found)  # there is no other form in which a program could take it
        return
    try:
        arguments.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{arguments.output}: cannot be written: {exc.strerror}") from exc
    _say(arguments, {"output": str(arguments.output), "rows": rows}, f"{arguments.output}: {sum(rows.values())} rows")


def _erase(arguments: argparse.Namespace) -> None:
    if len(arguments.words) != 1:
        raise _wrong(arguments)
    subject = arguments.words[0]
    if not arguments.yes:
        _confirm(subject)
    body = {} if arguments.reason is None else {"reason": arguments.reason}
    answer = _ask(arguments, "DELETE", f"user/{quote(subject, safe='')}", body)
    if arguments.json:
        output.print_json(answer)
        return
    output.write(f"erased as {answer['erasure_id']}\n")
    counts = {
        table: (answer["deleted"].get(table, 0), answer["anonymised"].get(table, 0))
        for table in sorted({*answer["deleted"], *answer["anonymised"]})
    }
    rows = [(table, *numbers) for table, numbers in counts.items()]
    output.print_tables(
        output.table("", ("table", "deleted", "anonymised"), rows, "nothing was stored"),
        output.table("Kept", ("what", "why"), [(kept["what"], kept["why"]) for kept in answer["kept"]]),
    )


def _confirm(subject: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError("an erasure cannot be undone; say --yes if it is meant")
    output.write(f"Erase all that is stored about {output.visible(subject)}? This cannot be undone. [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was erased")


def _breaches(arguments: argparse.Namespace) -> None:
    if arguments.words:
        raise _wrong(arguments)
    answer = _ask(arguments, "GET", "breaches")
    if arguments.json:
        output.print_json(answer)
        return
    rows = [
        (
            breach["id"], breach["detected_at"], breach["severity"], breach["affected_records"], breach["data_types"],
            [f"{due['regulation']} {_deadline(due)}" for due in breach["deadlines"]], breach["closed"],
        )
        for breach in answer["breaches"]
    ]  # fmt: skip
    columns = ("breach", "detected", "severity", "records", "data", "authorities", "closed")
    output.print_tables(output.table("", columns, rows, "no breaches"))


def _deadline(due: dict[str, Any]) -> str:
    if due["told"]:
        return "told"
    return f"OVERDUE since {due['due']}" if due["overdue"] else f"by {due['due']}"


def _breach(arguments: argparse.Namespace) -> None:
    words = arguments.words
    follows = {"told": arguments.told, "containment": arguments.contained, "closed": arguments.close or None}
    given = {key: value for key, value in follows.items() if value is not None}
    if len(words) == 1 and given and arguments.description is None:
        answer = _ask(arguments, "PUT", f"breach/{quote(words[0], safe='')}", given)
        _say(arguments, answer, f"{words[0]}: noted{', closed' if answer['closed'] else ''}")
        return
    if len(words) < 3 or given or not words[1].isdigit():
        raise _wrong(arguments)
    body = {"severity": words[0], "affected_records": int(words[1]), "data_types": words[2:]}
    if arguments.description is not None:
        body["description"] = arguments.description
    answer = _ask(arguments, "POST", "breach", body)
    lines = [f"{answer['breach_id']}: recorded"]
    lines += [
        f"{due['regulation']}: tell the {due['authority']} by {due['due']} {due['applies']}"
        for due in answer["required_notifications"]
    ]
    _say(arguments, answer, "\n".join(lines))


def _retention(arguments: argparse.Namespace) -> None:
    words = arguments.words
    if arguments.dry_run and not arguments.enforce:
        raise UsageError("--dry-run is for mcpctl compliance retention --enforce")
    if arguments.enforce:
        if words:
            raise _wrong(arguments)
        _enforce(arguments)
    elif len(words) == 2 and words[1].isdigit():
        answer = _ask(arguments, "PUT", f"retention/{quote(words[0], safe='')}", {"retention_days": int(words[1])})
        kept = f"kept for {words[1]} days" if int(words[1]) else "kept for ever"
        _say(arguments, answer, f"{words[0]}: {kept}")
    elif words:
        raise _wrong(arguments)
    else:
        answer = _ask(arguments, "GET", "retention")
        if arguments.json:
            output.print_json(answer)
            return
        rows = [
            (policy["type"], policy["retention_days"] or "for ever", policy["legal_requirement"])
            for policy in answer["policies"]
        ]
        output.print_tables(
            output.table("", ("data", "days", "why"), rows),
            output.pairs("", {"enforced": answer["enforced_at"] or "never"}),
        )


def _enforce(arguments: argparse.Namespace) -> None:
    from mcpd.compliance import breaches, retention
    from mcpd.legacy import migration

    db = migration.open_target(Path(config.load(arguments.config).database.path).absolute())
    try:
        caller, now_us = getpass.getuser(), time.time_ns() // 1000
        rows = retention.enforce(db, now_us, caller=caller, dry_run=arguments.dry_run)
        overdue = 0 if arguments.dry_run else breaches.remind(db, now_us, caller)
    finally:
        db.close()
    done = "would be deleted" if arguments.dry_run else "deleted"
    lines = [f"{data_type}: {number} rows {done}" for data_type, number in rows.items() if number]
    if overdue:
        output.warn(f"of {overdue} breaches an authority should know by now; see mcpctl compliance breaches")
    answer = {"dry_run": arguments.dry_run, "rows": rows, "overdue_breaches": overdue}
    _say(arguments, answer, "\n".join(lines) or "nothing to delete")


def _decrypt(arguments: argparse.Namespace) -> None:
    from mcpd.compliance.vault import KEY_FILE, Vault

    if len(arguments.words) > 1:
        raise _wrong(arguments)
    try:
        text = Path(arguments.words[0]).read_text("ascii") if arguments.words else sys.stdin.read()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{arguments.words[0] if arguments.words else 'stdin'}: cannot be read: {exc}") from exc
    beside = Path(config.load(arguments.config).database.path).with_name(KEY_FILE)
    data, classification = Vault(arguments.key or beside, make=False).decrypt(text)
    if arguments.json:
        output.print_json({"data": data, "classification": classification})
    else:
        output.write(data)


def _print_rows(items: list[dict[str, Any]], columns: tuple[str, ...], empty: str) -> None:
    rows = [[item[column] for column in columns] for item in items]
    output.print_tables(output.table("", columns, rows, empty))


def _say(arguments: argparse.Namespace, answer: dict[str, Any], words: str) -> None:
    if arguments.json:
        output.print_json(answer)
    else:
        output.write("".join(f"{output.visible(line)}\n" for line in words.splitlines()))


_ACTIONS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "report": _report,
    "consents": _consents,
    "consent": _consent,
    "processing": _processing,
    "export": _export,
    "erase": _erase,
    "breaches": _breaches,
    "breach": _breach,
    "retention": _retention,
    "decrypt": _decrypt,
}

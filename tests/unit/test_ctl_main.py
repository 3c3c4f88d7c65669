"""The command line of mcpctl."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest

from mcpd import config
from mcpd.config import Setting
from mcpd.ctl import client, logs, main, migrate
from mcpd.ctl.client import Answer, Endpoint, Refused
from mcpd.ctl.config import is_changed
from mcpd.errors import AccessDenied, Error, StoreUnavailable, UsageError

# Every command takes the common options before itself and behind.
PLACES = [
    ["--json", "--url", "unix:/s", "--config", "f", "status"],
    ["status", "--json", "--url", "unix:/s", "--config", "f"],
]


@pytest.mark.parametrize("words", PLACES)
def test_common_options_stand_before_or_behind_the_command(words: list[str]) -> None:
    parsed = main.parse(words)
    assert (parsed.json, parsed.url, parsed.config) == (True, "unix:/s", [Path("f")])


def test_without_options_the_socket_of_the_system_is_asked() -> None:
    parsed = main.parse(["status"])
    assert (parsed.json, parsed.url, parsed.config) == (False, "unix:/run/mcpd/mcp.sock", None)


@pytest.mark.parametrize(
    "words",
    [
        ["call", "--dry-run", "heartbeat", "agent=x", "a=b"],
        ["call", "heartbeat", "--dry-run", "agent=x", "a=b"],
        ["call", "heartbeat", "agent=x", "--dry-run", "a=b"],
        ["call", "heartbeat", "agent=x", "a=b", "--dry-run"],
    ],
)
def test_a_call_takes_options_among_its_arguments(words: list[str]) -> None:
    parsed = main.parse(words)
    assert (parsed.tool, parsed.words, parsed.dry_run) == ("heartbeat", ["agent=x", "a=b"], True)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["unheard"],
        ["--unheard", "status"],
        ["status", "--unheard"],
        ["status", "word"],
        ["status", "--js"],
        ["call", "heartbeat", "--unheard", "a=b"],
        ["config", "--url"],
        ["logs", "--lines", "many"],
        ["logs", "--lines", "-1"],
        ["logs", "rpc", "ws"],
    ],
)
def test_a_wrong_command_line_is_a_usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 64
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"mcpctl: .+\n", said.err)


def test_an_error_is_also_json_when_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--json", "unheard"]) == 64
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["exit_status"] == 64
    assert "unheard" in error["message"]


def test_help_is_one_screen_and_names_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) <= 40
    assert "See mcpctl(1)." in said


def test_what_nobody_foresaw_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_arguments: argparse.Namespace) -> int:
        raise RuntimeError("of all things")

    monkeypatch.setattr(main.COMMANDS["config"], "run", fail)
    assert main.run(["config"]) == 70
    said = capsys.readouterr().err
    assert re.fullmatch(r"mcpctl: internal error, .*RuntimeError: of all things \(test_ctl_main.py:\d+\)\n", said)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:/run/mcpd/mcp.sock", Endpoint("unix:/run/mcpd/mcp.sock", "/run/mcpd/mcp.sock")),
        ("http://localhost:8099", Endpoint("http://localhost:8099", None, "localhost", 8099)),
        ("http://localhost:8099/", Endpoint("http://localhost:8099/", None, "localhost", 8099)),
        ("http://[::1]:8099", Endpoint("http://[::1]:8099", None, "::1", 8099)),
        ("http://workshop", Endpoint("http://workshop", None, "workshop", 80)),
    ],
)
def test_a_url_names_a_socket_or_a_port(url: str, expected: Endpoint) -> None:
    assert client.endpoint(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8099",
        "https://localhost",
        "http://",
        "http://h:port",
        "http://h:99999",
        "http://h:1/mcp",
        "http://u@h:1",
        "unix:relative",
        "unix:",
    ],
)
def test_what_is_no_url_of_ours_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="--url"):
        client.endpoint(url)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Answer(403, {"error": "not you"}), AccessDenied, "not you"),
        (Answer(403, {"error": {"code": -32600, "message": "nor you"}}), AccessDenied, "nor you"),
        (Answer(503, {"reason": "locked"}), StoreUnavailable, "locked"),
        (Answer(404, {"error": "no such endpoint"}), Refused, "no such endpoint"),
        (Answer(200, {"error": {"code": -32602, "message": "unknown tool"}}), Refused, "unknown tool"),
        (Answer(500, {}), Refused, "the request was answered with HTTP 500 and no reason"),
    ],
)
def test_a_refusal_becomes_the_error_with_its_words(answer: Answer, kind: type[Error], message: str) -> None:
    error = client.refusal(answer)
    assert (type(error), error.message) == (kind, message)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], ["--unit=mcpd-*"]),
        (["rpc"], ["--unit=mcpd-rpc.service"]),
        (["mcpd-migrate"], ["--unit=mcpd-migrate.service"]),
        (["mcpd-rpc.socket"], ["--unit=mcpd-rpc.socket"]),
        (["mcp-agent@testing"], ["--unit=mcp-agent@testing.service"]),
        (["mcp.target"], ["--unit=mcp.target"]),
        (["--follow", "--lines", "0"], ["--unit=mcpd-*", "--follow", "--lines=0"]),
        (["--since=-1h"], ["--unit=mcpd-*", "--since=-1h"]),
        (
            ["--since", "1 hour ago", "--json"],
            ["--unit=mcpd-*", "--since=1 hour ago", "--output=json"],
        ),
        (
            ["--tool", "heartbeat", "--caller", "root", "--request", "a-1"],
            ["--unit=mcpd-*", "MCPD_TOOL=heartbeat", "MCPD_CALLER=root", "MCPD_REQUEST_ID=a-1"],
        ),
    ],
)
def test_logs_asks_journalctl_for_what_was_asked(words: list[str], command: list[str]) -> None:
    assert logs.journalctl(main.parse(["logs", *words])) == ["journalctl", *command]


@pytest.mark.parametrize(
    ("value", "source", "changed"),
    [
        ("info", "default", False),
        ("info", str(config.DEFAULTS_FILE), False),
        ("debug", str(config.DEFAULTS_FILE), True),
        ("info", "/etc/mcpd/mcpd.toml", True),
        ("debug", "environment: MCP_LOG_LEVEL", True),
    ],
)
def test_a_setting_is_changed_when_something_else_than_the_defaults_decided_it(
    value: str, source: str, changed: bool
) -> None:
    default = config.defaults()["log.level"]
    assert is_changed(Setting("log.level", value, source, default.type, default.doc)) is changed


def test_the_time_zone_of_a_migration_is_this_machines_unless_said_otherwise(tmp_path: Path) -> None:
    localtime = tmp_path / "localtime"
    assert migrate.local_zone(localtime) == "UTC"
    localtime.symlink_to("/usr/share/zoneinfo/Europe/Rome")
    assert migrate.local_zone(localtime) == "Europe/Rome"
    assert str(migrate.zone("Europe/Rome")) == "Europe/Rome"
    localtime.unlink()
    localtime.write_bytes(b"TZif2")
    with pytest.raises(UsageError, match="does not say which time zone"):
        migrate.local_zone(localtime)
    for name in ("Mars/Base", "../../etc/passwd", "/etc/passwd", "Europe", "x" * 5000, "a\0b"):
        with pytest.raises(UsageError, match="there is no such time zone"):
            migrate.zone(name)

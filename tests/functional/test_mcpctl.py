"""mcpctl as an operator runs it, against a real daemon: every command, every exit status, tables and JSON."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import mcpd
from mcpd.ctl import client
from mcpd.errors import Unreachable
from tests.functional.daemon import Daemon

ROOT = Path(mcpd.__file__).parents[1]
MCPCTL = [sys.executable, "-m", "mcpd.ctl.main"]
TIMEOUT_S = 30.0
NOBODY = 65534
Done = subprocess.CompletedProcess[str]


def environment(**changes: str) -> dict[str, str]:
    ours = ("MCP_", "COLUMNS", "NO_COLOR", "PYTHONUNBUFFERED")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return kept | {"PYTHONPATH": str(ROOT)} | changes


def mcpctl(*words: str, text: str = "", user: int | None = None, **changes: str) -> Done:
    """Run mcpctl to its end; whatever comes of it, nobody sees a traceback."""
    done = subprocess.run(
        [*MCPCTL, *words],
        input=text,
        env=environment(**changes),
        cwd="/",
        user=user,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def at(daemon: Daemon) -> list[str]:
    return ["--url", f"unix:{daemon.socket_path}", "--config", str(daemon.config)]


def answer(done: Done) -> Any:
    """The JSON that a successful command printed."""
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def refused(done: Done, status: int, *said: str) -> None:
    """Assert that a command failed with *status* and said so, in one line and as JSON if that was asked for."""
    assert done.returncode == status, done
    assert done.stderr.startswith("mcpctl: ")
    assert done.stderr.count("\n") == 1
    for part in said:
        assert part in done.stderr
    if done.stdout:
        error = json.loads(done.stdout)["error"]
        assert error["exit_status"] == status
        assert error["message"] in done.stderr


@contextmanager
def canned(status: int, body: bytes, kind: str = "application/json") -> Iterator[str]:
    """Serve one answer to everybody; what is not mcpd, or another version of it. Yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


# --- status


def test_status_shows_the_agents_and_what_they_did(rpc: Daemon) -> None:
    words = ["agent=alice", "activity=tame the \x1b[31mparser", "category=task", "status=started"]
    assert mcpctl(*at(rpc), "call", "log_activity", *words).returncode == 0
    done = mcpctl(*at(rpc), "status")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2026-07-28" in done.stdout
    [agent] = [line.split() for line in done.stdout.splitlines() if line.startswith("alice")]
    assert agent[1] == "active"
    assert "tame the \\x1b[31mparser" in done.stdout
    assert "\x1b" not in done.stdout


def test_status_as_json_is_what_the_daemon_answers(rpc: Daemon) -> None:
    status = answer(mcpctl(*at(rpc), "--json", "status"))
    served = rpc.request("GET", "/api/mcp/status").json
    assert {**status, "timestamp": ""} == {**served, "timestamp": ""}


def test_status_over_tcp(rpc: Daemon) -> None:
    assert answer(mcpctl("status", "--json", "--url", rpc.url))["status"] == "operational"


# --- health


def checks(done: Done) -> dict[str, dict[str, str]]:
    report = json.loads(done.stdout)
    assert report["healthy"] is (done.returncode == 0)
    return {check["name"]: check for check in report["checks"]}


def test_health_of_a_sound_daemon(rpc: Daemon) -> None:
    done = mcpctl(*at(rpc), "health", "--json")
    assert done.returncode == 0, done
    found = checks(done)
    for name in ("configuration", f"unix:{rpc.socket_path}", "database", "integrity", "schema", "WAL"):
        assert found[name]["outcome"] == "ok", found[name]
    table = mcpctl(*at(rpc), "health")
    assert table.returncode == 0
    assert f"{rpc.database}, " in table.stdout


def test_health_of_a_stopped_daemon_failed(rpc: Daemon) -> None:
    done = mcpctl("health", "--json", "--config", str(rpc.config), "--url", f"unix:{rpc.directory}/absent")
    assert done.returncode == 1
    [failed] = [check for check in checks(done).values() if check["outcome"] == "failed"]
    assert "no such socket" in failed["detail"]
    assert failed["advice"] == "systemctl start mcp.target"


def test_health_of_the_system_asks_for_its_socket_and_port(rpc: Daemon) -> None:
    """What comes of it depends on the machine; what is looked at does not."""
    found = checks(mcpctl("health", "--json", "--config", str(rpc.config)))
    assert {"unix:/run/mcpd/mcp.sock", "port 8099", "database"} <= set(found)
    assert "units" in found or "mcpd-rpc.service" in found


def test_health_without_a_database_failed(rpc: Daemon, tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    config.write_text(f'[database]\npath = "{tmp_path}/absent.db"\n')
    done = mcpctl("health", "--json", "--config", str(config), "--url", rpc.url)
    assert done.returncode == 1
    found = checks(done)
    assert found["database"]["outcome"] == "failed"
    assert found[rpc.url]["outcome"] == "ok"
    assert not (tmp_path / "absent.db").exists()


def test_health_with_a_wrong_configuration_failed(rpc: Daemon, tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text("[server]\nmax_body_bytes = 1\n")
    done = mcpctl("health", "--json", "--config", str(config), "--url", rpc.url)
    assert done.returncode == 1
    found = checks(done)
    assert "server.max_body_bytes" in found["configuration"]["detail"]
    assert found["database"]["outcome"] == "skipped"


def test_health_of_an_unhealthy_daemon_says_why() -> None:
    with canned(503, b'{"status": "unhealthy", "reason": "the database is damaged"}') as there:
        found = checks(mcpctl("health", "--json", "--url", there))
    assert (found[there]["outcome"], found[there]["detail"]) == ("failed", "the database is damaged")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run mcpctl as another user")
def test_health_for_whom_may_not_read_the_database(rpc: Daemon, tmp_path: Path) -> None:
    config = Path(rpc._runtime.name).parent / f"{tmp_path.name}.toml"  # where nobody may read it
    config.write_text(f'[database]\npath = "{rpc.database}"\n')
    rpc.database.chmod(0o600)
    try:
        found = checks(mcpctl("health", "--json", "--config", str(config), "--url", rpc.url, user=NOBODY))
    finally:
        config.unlink()
    assert found["database"]["outcome"] == "skipped"
    assert found["database"]["advice"] == "run as root: sudo mcpctl health"
    assert found[rpc.url]["outcome"] == "ok"


# --- call


def test_call_changes_the_database_and_prints_the_result(rpc: Daemon) -> None:
    words = ["name=api", "owner=alice", 'paths=["src/api"]', 'metadata={"team": 1}']
    assert answer(mcpctl(*at(rpc), "--json", "call", "register_component", *words))["success"] is True
    done = mcpctl(*at(rpc), "call", "find_component_owner", "component=api")
    assert done.returncode == 0
    assert ["owner", "alice"] in [line.split() for line in done.stdout.splitlines()]


def test_a_dry_run_changes_nothing(rpc: Daemon) -> None:
    words = ["name=api", "owner=alice"]
    dry = answer(mcpctl(*at(rpc), "--json", "call", "register_component", "--dry-run", *words))
    assert dry["dry_run"] is True
    status = answer(mcpctl(*at(rpc), "--json", "status"))
    assert status["stats"]["total_components"] == 0


def test_call_reads_values_from_files_from_stdin_and_from_an_object(rpc: Daemon, tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_text("from a file\nof two lines")
    words = [f"activity=@{note}", "details=-", "status=started"]
    base = '{"agent": "@bob", "category": "task", "status": "failed"}'
    done = mcpctl(*at(rpc), "--json", "call", "log_activity", *words, "--arguments", base, text='{"n": [1]}')
    assert answer(done)["success"] is True
    [activity] = answer(mcpctl(*at(rpc), "--json", "status"))["activities"]
    assert activity["activity"] == "from a file\nof two lines"
    assert (activity["agent"], activity["status"]) == ("@bob", "started")


def test_call_without_a_tool_lists_the_tools(rpc: Daemon) -> None:
    listed = mcpctl(*at(rpc), "call").stdout
    tools = answer(mcpctl(*at(rpc), "call", "--json"))
    assert len(tools) == 19
    for tool in tools:
        assert tool["name"] in listed


@pytest.mark.parametrize("json_option", [[], ["--json"]])
@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["hartbeat"], 64, "unknown tool 'hartbeat'; did you mean heartbeat?"),
        (["component"], 64, "register_component"),
        (["xyzzy"], 64, "there are log_activity, check_conflicts"),
        (["heartbeat", "agent"], 64, "argument 'agent': expected key=value"),
        (["heartbeat", "agent=x", "dry_run=perhaps"], 64, "'dry_run': expected true or false, got 'perhaps'"),
        (["heartbeat", "agent=@/does/not/exist"], 64, "/does/not/exist: cannot be read: No such file"),
        (["log_activity", "agent=-", "activity=-"], 64, "only one argument can be read from standard input"),
        (["heartbeat", "--arguments", "[]"], 64, "--arguments: expected a JSON object"),
        (["heartbeat"], 1, "argument 'agent' is missing; expected a string"),
        (["heartbeat", "agnt=x"], 1, "unknown argument 'agnt'; expected only agent, dry_run"),
        (["update_status", "agent=x", "status=asleep"], 1, "argument 'status': "),
    ],
)
def test_a_call_that_fails_says_why(
    shared_rpc: Daemon, words: list[str], status: int, said: str, json_option: list[str]
) -> None:
    done = mcpctl(*at(shared_rpc), *json_option, "call", *words)
    refused(done, status, said)
    assert bool(done.stdout) is bool(json_option)


# --- logs


@pytest.fixture
def journalctl(tmp_path: Path) -> str:
    """A directory with a journalctl that shows its command line, as the journal of a test machine may be empty."""
    program = tmp_path / "journalctl"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 3\n')
    program.chmod(0o755)
    return str(tmp_path)


def test_logs_becomes_journalctl(journalctl: str) -> None:
    done = mcpctl("logs", "rpc", "--lines", "5", "--tool", "heartbeat", "--json", PATH=journalctl)
    assert done.returncode == 3
    expected = ["--unit=mcpd-rpc.service", "--lines=5", "--output=json", "MCPD_TOOL=heartbeat"]
    assert done.stdout.splitlines() == expected


def test_logs_without_journalctl_says_so(tmp_path: Path) -> None:
    refused(mcpctl("logs", PATH=str(tmp_path)), 69, "journalctl is not installed")


# --- config


def test_config_shows_every_key_and_what_decided_it(rpc: Daemon) -> None:
    settings = answer(mcpctl("config", "--json", "--config", str(rpc.config)))
    assert settings["database.path"]["value"] == str(rpc.database)
    assert settings["database.path"]["source"] == str(rpc.config)
    assert settings["log.level"] == settings["log.level"] | {"value": "info", "source": "default"}
    table = mcpctl("config", "--config", str(rpc.config)).stdout
    for name in settings:
        assert name in table


def test_config_can_show_only_what_was_changed(rpc: Daemon) -> None:
    settings = answer(mcpctl("config", "--json", "--changed", "--config", str(rpc.config)))
    assert list(settings) == ["database.path"]


def test_config_warns_of_variables_that_only_this_shell_has(rpc: Daemon) -> None:
    done = mcpctl("config", "--json", "--changed", "--config", str(rpc.config), MCP_LOG_LEVEL="DEBUG")
    assert done.returncode == 0
    assert json.loads(done.stdout)["log.level"]["source"] == "environment: MCP_LOG_LEVEL"
    assert "log.level: set by this shell's environment" in done.stderr


@pytest.mark.parametrize("json_option", [[], ["--json"]])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server", "is not valid TOML"),
        ("[log]\nlevl = 'info'\n", "unknown key 'log.levl'; did you mean 'log.level'?"),
        ("[log]\nlevel = 'loud'\n", "key 'log.level': expected one of"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_configuration_names_the_file(
    tmp_path: Path, text: str | None, said: str, json_option: list[str]
) -> None:
    config = tmp_path / "wrong.toml"
    if text is not None:
        config.write_text(text)
    refused(mcpctl("config", *json_option, "--config", str(config)), 78, str(config), said)


# --- version


def test_version_asks_the_running_daemon_too(rpc: Daemon) -> None:
    versions = answer(mcpctl("version", "--json", *at(rpc)))
    assert versions["mcpd"] == versions["running"] == mcpd.__version__
    assert versions["mcp"][0] == "2026-07-28"
    assert set(versions) == {"mcpd", "running", "schema", "python", "sqlite", "systemd", "mcp"}


def test_version_warns_of_another_version_that_runs() -> None:
    with canned(200, b'{"status": "healthy", "version": "99.0"}') as there:
        done = mcpctl("version", "--json", "--url", there)
    assert done.returncode == 0
    assert json.loads(done.stdout)["running"] == "99.0"
    assert "mcpd 99.0 is running" in done.stderr


def test_version_without_a_daemon_is_no_error(tmp_path: Path) -> None:
    done = mcpctl("version", "--url", f"unix:{tmp_path}/absent")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no such socket" in done.stdout


def test_version_as_an_option() -> None:
    assert mcpctl("--version").stdout == f"mcpctl {mcpd.__version__}\n"


# --- who cannot be reached, or does not want us


@pytest.mark.parametrize("command", [["status"], ["call", "heartbeat", "agent=x"], ["--json", "status"]])
def test_nobody_there(tmp_path: Path, command: list[str]) -> None:
    refused(mcpctl("--url", f"unix:{tmp_path}/absent", *command), 69, "no such socket", "systemctl start mcp.target")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = url(listener)
    refused(mcpctl("status", "--url", there), 69, f"nobody listens at {there}")


def test_a_daemon_that_does_not_answer_is_given_up(silent: socket.socket) -> None:
    asked = client.Client(client.endpoint(url(silent)), 0.1)
    with pytest.raises(Unreachable, match=r"does not answer at .* within 0\.1 s"):
        asked.get("/api/mcp/status")
    asked.close()


def test_a_connection_that_breaks(silent: socket.socket) -> None:
    def hang_up() -> None:
        silent.accept()[0].close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    refused(mcpctl("status", "--url", url(silent)), 69, "broke before an answer came")
    thread.join()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_somebody_else_who_answers_is_not_mcpd(body: bytes) -> None:
    with canned(200, body, "text/html") as there:
        refused(mcpctl("status", "--url", there), 69, f"what answers at {there} is not mcpd")


@pytest.mark.parametrize(("http_status", "exit_status"), [(403, 77), (404, 1), (503, 75)])
def test_a_refusal_is_shown_in_the_servers_words(http_status: int, exit_status: int) -> None:
    with canned(http_status, b'{"error": "not today"}') as there:
        refused(mcpctl("status", "--url", there), exit_status, "not today")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run mcpctl as another user")
@pytest.mark.parametrize("command", [["status"], ["call", "heartbeat", "agent=x"], ["--json", "status"]])
def test_who_is_not_admitted_learns_how_to_be(rpc: Daemon, command: list[str]) -> None:
    refused(mcpctl("--url", rpc.url, *command, user=NOBODY), 77, "is not in group mcp-admin", "usermod -aG mcp-admin")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run mcpctl as another user")
def test_who_may_not_even_connect(rpc: Daemon) -> None:
    refused(mcpctl("status", "--url", f"unix:{rpc.socket_path}", user=NOBODY), 77, "you may not connect to")


@pytest.mark.parametrize("words", [[], ["unheard"], ["status", "--unheard"], ["status", "--url", "ftp://x"]])
def test_a_wrong_command_line(words: list[str]) -> None:
    refused(mcpctl(*words), 64)


# --- terminals, pipes and signals


def test_colours_on_a_terminal_only(rpc: Daemon) -> None:
    master, slave = pty.openpty()
    command = [*MCPCTL, *at(rpc), "health"]
    with subprocess.Popen(command, stdout=slave, env=environment(TERM="xterm-256color")) as process:
        os.close(slave)
        printed = b""
        try:
            while part := os.read(master, 65536):
                printed += part
        except OSError:  # what Linux says when the other end of a terminal is closed
            pass
    os.close(master)
    assert process.returncode == 0
    assert b"\x1b[32mok" in printed
    assert "\x1b" not in mcpctl(*at(rpc), "health").stdout


@pytest.mark.parametrize("words", [["config"], ["config", "--json"], ["--help"]])
def test_a_reader_who_went_away_is_no_error(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen([*MCPCTL, *words], stdout=writer, stderr=subprocess.PIPE, env=environment()) as process:
        os.close(writer)
        said = process.communicate(timeout=TIMEOUT_S)[1]
    assert said == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_ctrl_c_ends_it_without_a_word(silent: socket.socket) -> None:
    command = [*MCPCTL, "status", "--url", url(silent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        connection, _ = silent.accept()
        connection.recv(1)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=TIMEOUT_S) == (b"", b"")
        connection.close()
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("words", [["config"], ["config", "--json"]])
def test_a_full_disk_under_stdout_is_told(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*MCPCTL, *words], stdout=full, stderr=subprocess.PIPE, env=environment(), text=True, check=False
        )
    assert done.returncode == 70
    assert done.stderr == "mcpctl: cannot write the output: No space left on device\n"


def test_a_full_disk_under_stderr_leaves_the_exit_status(tmp_path: Path) -> None:
    command = [*MCPCTL, "status", "--url", f"unix:{tmp_path}/absent"]
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(command, stderr=full, env=environment(), check=False).returncode == 69


def test_closed_streams_and_poor_encodings_do_not_matter(rpc: Daemon) -> None:
    closed = subprocess.run(["/bin/sh", "-c", '"$@" >&- 2>&-', "sh", *MCPCTL, "config"], env=environment(), check=False)
    assert closed.returncode == 0
    assert mcpctl(*at(rpc), "call", "heartbeat", "agent=Ä").returncode == 0
    poor = mcpctl(*at(rpc), "status", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert poor.returncode == 0
    assert "\\xc4" in poor.stdout

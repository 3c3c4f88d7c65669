"""Typing into a real tmux, the pane's life in it, and mcpctl's commands on it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pty
import pwd
import re
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcpd.agents import agent, files
from mcpd.ctl import main as mcpctl
from mcpd.errors import AccessDenied, AgentFailed, InvalidParams
from mcpd.store.database import Database
from mcpd.terminals import tmux as tmux_module
from mcpd.terminals import typing
from mcpd.terminals.tmux import Tmux
from tests.functional.conftest import MakeDaemon
from tests.functional.terminal import Terminal, eventually

TYPIST = Path(__file__).with_name("typist.py")

Make = Callable[..., Terminal]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Terminal] = []

    def terminal(command: str, **options: str) -> Terminal:
        made.append(Terminal(command, **options))
        return made[-1]

    yield terminal
    for one in made:
        one.close()


def typist(make: Make, typed: Path, *options: str) -> Terminal:
    """A terminal in which the typist keeps what comes in the file *typed*."""
    terminal = make(f"exec {sys.executable} {TYPIST} {typed} {' '.join(options)}")
    eventually(lambda: "ready" in terminal.text())
    return terminal


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "ü ✓ 日本語 👩‍💻 e\u0301",
        "-l --not 'an' \"option\" $HOME `x` ; Enter #{pane_id} #(touch x) %1",
        "C-c",
        "x" * 10_000,
        "tab\tin it",
        " leading and trailing ",
        ";",
        "ends with;",
        "~",
    ],
)
def test_text_arrives_as_it_was_and_enter_after_it(make: Make, tmp_path: Path, text: str) -> None:
    terminal = typist(make, tmp_path / "typed")
    assert typing.type_text(terminal.tmux, text).enter_attempts == 1
    assert (tmp_path / "typed").read_bytes() == text.encode() + b"\r"


def test_lines_arrive_as_lines(make: Make, tmp_path: Path) -> None:
    terminal = typist(make, tmp_path / "typed")
    typing.type_text(terminal.tmux, "one\n  zwei ü\n\nthree")
    assert (tmp_path / "typed").read_bytes() == b"one\r  zwei \xc3\xbc\r\rthree\r"


def test_lines_are_one_paste_for_a_program_that_knows_pastes(make: Make, tmp_path: Path) -> None:
    terminal = make(f"printf '\\033[?2004h'; exec {sys.executable} {TYPIST} {tmp_path / 'typed'}")
    eventually(lambda: "ready" in terminal.text())
    typing.type_text(terminal.tmux, "one\ntwo")
    assert (tmp_path / "typed").read_bytes() == b"\x1b[200~one\rtwo\x1b[201~\r"


def test_a_shell_runs_what_was_typed(make: Make) -> None:
    terminal = make("exec bash --norc")
    typed = typing.type_text(terminal.tmux, "echo $((6*7))-✓")
    assert typed.was_seen
    eventually(lambda: "42-✓" in terminal.text().split("\n"))


def test_without_enter_the_text_waits(make: Make, tmp_path: Path) -> None:
    terminal = typist(make, tmp_path / "typed")
    assert typing.type_text(terminal.tmux, "draft", enter=False) == typing.Typed(1, 0, was_seen=True)
    assert (tmp_path / "typed").read_bytes() == b"draft"


def test_text_that_was_lost_is_typed_once_more(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typing, "CONFIRM_S", 0.5)
    terminal = typist(make, tmp_path / "typed", "--deaf", "1")
    assert typing.type_text(terminal.tmux, "hello") == typing.Typed(2, 1, was_seen=True)
    assert (tmp_path / "typed").read_bytes() == b"hello\r"


def test_an_enter_that_was_lost_is_pressed_once_more(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typing, "CONFIRM_S", 0.5)
    terminal = typist(make, tmp_path / "typed", "--lose-enter", "1")
    assert typing.type_text(terminal.tmux, "hello") == typing.Typed(1, 2, was_seen=True)
    assert (tmp_path / "typed").read_bytes() == b"hello\r"


def test_what_has_no_effect_is_reported(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typing, "CONFIRM_S", 0.3)
    silent = typist(make, tmp_path / "silent", "--silent")
    with pytest.raises(AgentFailed, match="typed 2 times, but the screen does not change"):
        typing.type_text(silent.tmux, "hello")
    assert b"\r" not in (tmp_path / "silent").read_bytes()
    stuck = typist(make, tmp_path / "stuck", "--lose-enter", "9")
    with pytest.raises(AgentFailed, match="Enter has no effect"):
        typing.type_text(stuck.tmux, "hello")


def test_control_characters_are_typed_only_when_asked_for(make: Make, tmp_path: Path) -> None:
    terminal = typist(make, tmp_path / "typed")
    with pytest.raises(InvalidParams, match=r"control character U\+001B"):
        typing.type_text(terminal.tmux, "a\x1b[Ab")
    typing.type_text(terminal.tmux, "a\x02b", control=True, enter=False)
    assert (tmp_path / "typed").read_bytes() == b"a\x02b"


def test_keys_are_pressed(make: Make, tmp_path: Path) -> None:
    terminal = typist(make, tmp_path / "typed")
    typing.press_keys(terminal.tmux, ["y", "C-c", "Up", "Enter", "-", ";"])
    eventually(lambda: (tmp_path / "typed").read_bytes() == b"y\x03\x1b[A\r-;")
    with pytest.raises(InvalidParams, match="there is no key 'enter'; did you mean 'Enter'"):
        typing.press_keys(terminal.tmux, ["enter"])


def test_who_looks_at_the_history_does_not_take_the_keys(make: Make, tmp_path: Path) -> None:
    terminal = typist(make, tmp_path / "typed")
    terminal.tmux.run("copy-mode", "-t", terminal.tmux.target)
    assert terminal.tmux.screen().in_mode
    typing.type_text(terminal.tmux, "hello")
    assert (tmp_path / "typed").read_bytes() == b"hello\r"


def _send(tmux: Tmux, texts: list[str]) -> None:
    for text in texts:
        typing.type_text(tmux, text)


def test_several_processes_type_one_after_the_other(make: Make, tmp_path: Path) -> None:
    terminal = typist(make, tmp_path / "typed")
    texts = [[f"{who}{turn}:{who * 60}" for turn in range(3)] for who in "abcd"]
    senders = [multiprocessing.Process(target=_send, args=(terminal.tmux, part)) for part in texts]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert [sender.exitcode for sender in senders] == [0] * 4
    lines = (tmp_path / "typed").read_bytes().decode().split("\r")
    assert lines.pop() == ""
    assert sorted(lines) == sorted(text for part in texts for text in part)


def test_who_waits_too_long_for_his_turn_is_told(make: Make) -> None:
    terminal = make("exec cat")
    with (
        typing.exclusively(terminal.tmux),
        pytest.raises(AgentFailed, match="somebody else has been typing there"),
        typing.exclusively(terminal.tmux, timeout_s=0.1),
    ):
        pass
    with typing.exclusively(terminal.tmux, timeout_s=0.1):
        pass


def test_a_terminal_that_is_not_there_or_does_not_answer_is_reported(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AgentFailed, match="claude-x is not running"):
        typing.type_text(Tmux(tmp_path / "x" / "tmux.sock", "claude-x"), "hello")
    with pytest.raises(AgentFailed, match="claude-x is not running"):
        Tmux(tmp_path / "tmux.sock", "claude-x").screen()
    terminal = make("exec cat")
    monkeypatch.setattr(tmux_module, "TIMEOUT_S", 0.3)
    terminal.server.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(AgentFailed, match="did not answer within 0 s"):
            typing.type_text(terminal.tmux, "hello")
    finally:
        terminal.server.send_signal(signal.SIGCONT)


def test_an_end_stays_to_be_seen_and_nothing_is_typed_into_it(make: Make) -> None:
    terminal = make("echo last words; exit 3")
    eventually(lambda: terminal.tmux.screen().ended == "status 3")  # tmux knows of the end a moment before the status
    screen = terminal.tmux.screen()
    assert terminal.tmux.capture(1)[0] == "last words"
    assert any(line.startswith("claude-tester ended: status 3, ") for line in screen.lines)
    with pytest.raises(AgentFailed, match=r"its command has ended \(status 3\)"):
        typing.type_text(terminal.tmux, "hello")


def test_a_command_that_failed_is_started_again(make: Make) -> None:
    terminal = make("echo try; read line; kill -9 $$", restart="on-failure")
    eventually(lambda: "try" in terminal.text())
    first = terminal.tmux.screen().pid
    typing.press_keys(terminal.tmux, ["Enter"])
    eventually(lambda: terminal.option("@quick_ends") == "1")
    eventually(lambda: terminal.tmux.screen().pid != first and not terminal.tmux.screen().ended)
    eventually(lambda: "try" in terminal.text())


def test_the_server_ends_with_its_session(make: Make) -> None:
    terminal = make("exec cat")
    terminal.tmux.run("kill-session", "-t", f"={terminal.tmux.session}")
    assert terminal.server.wait(10) == 0


def test_a_pane_gets_neither_systemd_s_words_nor_the_viewer_s_environment(make: Make) -> None:
    terminal = make("env | sort; echo end; exec cat")
    eventually(lambda: "end" in terminal.text())
    names = {line.partition("=")[0] for line in terminal.tmux.capture(1000)}
    assert {"AGENT_NAME", "TMUX"} <= names
    assert not names & {"NOTIFY_SOCKET", "JOURNAL_STREAM", "DISPLAY", "SSH_AUTH_SOCK"}
    assert terminal.option("history_limit") == "50000"
    assert terminal.option("window-size") == "latest"
    assert "RGB" in terminal.tmux.run("show-options", "-sv", "terminal-features")


def test_without_a_command_and_without_claude_a_shell_says_what_to_install(make: Make) -> None:
    terminal = make("")
    if any(Path(folder, "claude").exists() for folder in os.environ["PATH"].split(":")):
        pytest.skip("claude is installed here")
    eventually(lambda: "Claude Code is not installed for this user" in terminal.text())
    typing.type_text(terminal.tmux, "echo $((6*7))")
    eventually(lambda: "42" in terminal.text().split("\n"))


@pytest.fixture
def known(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal whose agent mcpctl knows."""
    (tmp_path / "tester.toml").write_text("port = 9000\nuser = 'root'\n")
    (tmp_path / "asleep.toml").write_text("port = 9001\nuser = 'root'\n")
    monkeypatch.setattr(files, "DIRECTORIES", (tmp_path,))
    terminal = typist(make, tmp_path / "typed")
    monkeypatch.setattr(agent, "RUNTIME_DIRECTORY", terminal.runtime.parent)
    return terminal


def test_mcpctl_sends_presses_and_captures(known: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mcpctl.run(["send", "Tester Agent", "hello -- ü"]) == 0
    assert mcpctl.run(["keys", "tester", "y", "Enter"]) == 0
    assert mcpctl.run(["send", "--no-enter", "tester", "--", "-x"]) == 0
    assert capsys.readouterr().out == "tester: sent\ntester: pressed\ntester: typed\n"
    eventually(lambda: (tmp_path / "typed").read_bytes().decode() == "hello -- ü\ry\r-x")
    assert mcpctl.run(["capture", "tester", "--history", "5"]) == 0
    assert "hello -- ü\n" in capsys.readouterr().out
    assert mcpctl.run(["--json", "capture", "tester"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["ended"], shown["lines"][1]) == ("tester", "", "hello -- ü")


def test_mcpctl_has_mcpd_tell_of_what_it_sent(
    known: Terminal, make_daemon: MakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    rpc = make_daemon()
    (rpc.directory / "agents.d").mkdir()
    shutil.copy(files.DIRECTORIES[0] / "tester.toml", rpc.directory / "agents.d")
    assert mcpctl.run(["--url", rpc.url, "send", "Tester Agent", "sécret"]) == 0
    assert capsys.readouterr().err == ""
    db = Database(str(rpc.database), read_only=True)
    ((agent, data),) = db.rows("SELECT agent, data FROM events WHERE topic = 'message.sent'")
    db.close()
    told = {"caller": pwd.getpwuid(os.geteuid()).pw_name, "size_bytes": 7, "entered": True, "was_seen": True}
    assert (agent, json.loads(data)) == ("tester", told)
    nowhere = f"unix:{rpc.directory}/none.sock"
    assert mcpctl.run(["--url", nowhere, "send", "tester", "again"]) == 0
    why = f"mcpd does not listen at {nowhere}: there is no such socket\n"
    assert capsys.readouterr().err.endswith(f"tester: it arrived, but no event tells of it: {why}")


def left(child: int, screen: int) -> int | None:
    """Press the keys by which a person leaves tmux; return how *child* ended, once it has.

    Not both keys at once: what comes within a millisecond tmux takes for a paste, in which it looks for no keys.
    """
    with contextlib.suppress(OSError):  # the terminal ends with the one who used it
        for key in (b"\x02", b"d"):
            os.write(screen, key)
            time.sleep(0.1)
        while select.select([screen], [], [], 0)[0] and os.read(screen, 65536):
            pass
    ended, status = os.waitpid(child, os.WNOHANG)
    return status if ended else None


def test_mcpctl_attaches_until_it_is_left(known: Terminal, tmp_path: Path) -> None:
    child, screen = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115 - pytest has put others there
        os._exit(mcpctl.run(["attach", "tester"]))
    shown = b""
    while b"ready" not in shown:
        shown += os.read(screen, 65536)
    os.write(screen, b"by hand")
    eventually(lambda: (tmp_path / "typed").read_bytes() == b"by hand")
    until_s = time.monotonic() + 20
    while (status := left(child, screen)) is None:
        assert time.monotonic() < until_s
    assert os.waitstatus_to_exitcode(status) == 0
    assert known.server.poll() is None


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["send", "nobody", "x"], 64, "no agent 'nobody'; there are asleep, tester"),
        (["send", "../tester", "x"], 64, "no agent '../tester'"),
        (["send", "asleep", "x"], 1, "claude-asleep is not running: mcpctl agent start asleep"),
        (["send", "tester", "\x1b[A"], 64, "control character U+001B"),
        (["keys", "tester", "Retrun"], 64, "there is no key 'Retrun'"),
        (["capture", "asleep"], 1, "claude-asleep is not running"),
        (["capture", "tester", "--history", "-1"], 64, "--history -1: expected a number of lines"),
        (["attach", "tester"], 64, "attach needs a terminal"),
        (["agent", "show"], 64, "usage: mcpctl agent show NAME"),
        (["agent", "list", "x"], 64, "usage: mcpctl agent list"),
        (["agent", "start", "tester", "--port", "1"], 64, "agent start takes no --port"),
        (["agent", "add", "../x"], 64, "'../x' is no name for an agent; expected small letters"),
        (["agent", "add", "tester"], 64, "there is an agent 'tester' already"),
        (["agent", "add", "x", "--port", "9001"], 64, "port 9001 is asleep's"),
        (["agent", "limits", "tester", "--memory-max", "much"], 64, "--memory-max much: expected a size such as"),
    ],
)
def test_mcpctl_says_what_is_wrong(
    known: Terminal, capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    assert mcpctl.run(words) == status
    assert said in capsys.readouterr().err
    assert known.server.poll() is None


def test_mcpctl_lists_agents_and_faults(known: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.toml").write_text("port = ")
    assert mcpctl.run(["agent", "list"]) == 0
    shown = capsys.readouterr()
    assert re.search(r"tester +Tester +9000", shown.out)
    assert f"agent left out: {tmp_path}/bad.toml: is not valid TOML" in shown.err
    assert mcpctl.run(["--json", "agent", "list"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["agents"]] == ["asleep", "tester"]
    assert [fault["file"] for fault in found["faults"]] == [f"{tmp_path}/bad.toml"]


def test_a_user_who_may_not_reach_a_terminal_is_told(known: Terminal) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody else")
    known.home.chmod(0o711)
    known.runtime.chmod(0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(AccessDenied, match="this user may not reach the terminal"):
            typing.type_text(known.tmux, "hello")
    finally:
        os.seteuid(0)

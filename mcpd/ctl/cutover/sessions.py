"""The old system's agents: ``claude-NAME`` sessions of tmux, on whatever server of whatever user they are.

A server can make a client run what it likes, so each is asked by its own user.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from mcpd.agents.agent import RUNTIME_DIRECTORY
from mcpd.errors import AgentFailed

PREFIX = "claude-"
CLAUDE = "claude"
SHELLS = frozenset({"bash", "dash", "fish", "ksh", "sh", "zsh"})
HISTORY_LINES = 50_000
_TEMPORARY = Path("/tmp")  # noqa: S108 - where tmux has its sockets
_TIMEOUT_S = 10.0
_FIELDS = ("session_name", "session_attached", "pane_pid", "pane_width", "pane_height", "history_size",
           "pane_current_command", "pane_current_path")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Session:
    """A session: on which *socket* of which *user* (number and name), and its first pane: where and what runs there.

    *program* is ``claude`` if that is among the processes of the pane, else another one there that is no shell.
    """

    socket: Path
    uid: int
    user: str
    name: str
    attached: int
    pid: int
    width: int
    height: int
    history: int
    program: str
    cwd: str

    @property
    def target(self) -> str:
        """The first window's pane, as tmux's commands take it with -t."""
        return f"={self.name}:^"

    def command(self, *words: str) -> str:
        """Return the command line by which an operator gives the server a command as its user."""
        tmux = shlex.join(["tmux", "-S", str(self.socket), *words])
        return tmux if self.uid == os.geteuid() else f"runuser -u {self.user} -- {tmux}"


def sockets(temporary: Path = _TEMPORARY) -> list[Path]:
    """Return the sockets of tmux servers: in each user's directory below *temporary*, which is that user's own."""
    found = []
    for directory in sorted(temporary.glob("tmux-*")):
        uid = directory.name.removeprefix("tmux-")
        for path in _entries(directory):
            state = path.lstat()
            if stat.S_ISSOCK(state.st_mode) and str(state.st_uid) == uid:
                found.append(path)
    return found


def running_sockets() -> list[Path]:
    """Return the sockets on which running tmux servers listen, wherever those are; agents' own are none."""
    found: set[Path] = set()
    try:
        connections = psutil.net_connections("unix")
    except psutil.Error:  # processes come and go meanwhile
        return []
    for connection in connections:
        path = connection.laddr
        if connection.pid and isinstance(path, str) and path.startswith("/") and _is_tmux(connection.pid):
            found.add(Path(path))
    return sorted(path for path in found if not path.is_relative_to(RUNTIME_DIRECTORY))


def find(paths: Iterable[Path]) -> list[Session]:
    """Return the ``claude-NAME`` sessions on the servers at *paths*; a server that does not answer has none."""
    found: dict[tuple[str, str], Session] = {}
    for path in paths:
        try:
            uid = path.stat().st_uid
            text = run(path, uid, "list-panes", "-a", "-F", "\t".join(f"#{{{name}}}" for name in _FIELDS))
        except (OSError, AgentFailed):
            continue
        for session in _sessions(path, uid, text.splitlines()):
            found.setdefault((str(path.resolve()), session.name), session)
    return list(found.values())


def everywhere() -> list[Session]:
    """Return the sessions of this machine, as far as we may see them: root sees all."""
    return find([*sockets(), *running_sockets()])


def run(socket: Path, uid: int, *words: str) -> str:
    """Give the server on *socket* one command, as its user *uid*; return the output. Raises ``AgentFailed``."""
    command = ["tmux", "-u", "-N", "-S", str(socket), *words]
    identity: dict[str, object] = {}
    if os.geteuid() == 0:
        identity = {"user": uid, "group": _group(uid), "extra_groups": ()}
    try:
        done = subprocess.run(  # type: ignore[call-overload]  # noqa: S603 - no shell
            command,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
            **identity,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise AgentFailed(f"tmux at {socket}: {exc}") from exc
    if done.returncode:
        raise AgentFailed(f"tmux at {socket}: {done.stderr.decode(errors='replace').strip()}")
    return str(done.stdout.decode(errors="replace"))


def text_of(session: Session) -> str:
    """Return what is on the screen and in the history of *session*; raises ``AgentFailed``."""
    wanted = ("capture-pane", "-p", "-t", session.target, "-S", str(-HISTORY_LINES))
    return run(session.socket, session.uid, *wanted)


def export(session: Session, variables: Mapping[str, str]) -> None:
    """Set *variables* for whatever is started in *session* from now on; raises ``AgentFailed``.

    What runs in it keeps the environment that it has, and nothing is typed into it.
    """
    for name, value in variables.items():
        run(session.socket, session.uid, "set-environment", "-t", f"={session.name}", name, value)


def _sessions(path: Path, uid: int, lines: Sequence[str]) -> Iterator[Session]:
    seen = set()
    for line in lines:
        values = line.split("\t", len(_FIELDS) - 1)
        if len(values) != len(_FIELDS) or not values[0].startswith(PREFIX) or values[0] in seen:
            continue
        name, attached, pid, width, height, history, program, cwd = values
        seen.add(name)  # the others are more panes of it
        program = _program(_number(pid), program)
        size = (_number(width), _number(height), _number(history))
        yield Session(path, uid, _user(uid), name, _number(attached), _number(pid), *size, program, cwd)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _program(pid: int, foreground: str) -> str:
    """Return what runs in the pane whose first process is *pid*: Claude Code, any other program, or only a shell.

    tmux tells the *foreground*, which is a shell too where that runs a script, or a program without a terminal.
    """
    try:
        first = psutil.Process(pid)
        processes = [first, *first.children(recursive=True)]
        words = {one.pid: [Path(word).name for word in (one.name(), *one.cmdline()[:2])] for one in processes}
        if any(CLAUDE in found for found in words.values()):
            return CLAUDE
        for one in reversed(processes):
            if one.name() not in SHELLS:
                return one.name()
            if not one.children() and (script := next((w for w in one.cmdline()[1:] if not w.startswith("-")), "")):
                return f"{one.name()} {Path(script).name}"
    except (psutil.Error, ValueError):
        pass
    return foreground


def _is_tmux(pid: int) -> bool:
    try:
        return psutil.Process(pid).name().startswith("tmux")
    except psutil.Error:
        return False


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _group(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid

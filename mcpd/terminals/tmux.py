"""One agent's tmux server, asked by the tmux command: the screen read, keys sent. Blocking; each call is bounded.

Root, the agent's own user and mcpd's daemons reach it (the mode of the socket, and tmux's ``server-access``).
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcpd.errors import AccessDenied, AgentFailed, AgentNotRunning, Unreachable

TIMEOUT_S = 5.0
_FIELDS = ("pane_dead", "pane_dead_status", "pane_dead_signal", "pane_in_mode", "cursor_x", "cursor_y", "pane_pid")
_FORMAT = "\t".join(f"#{{{field}}}" for field in _FIELDS)
_FACTS = ("pane_width", "pane_height", "pane_title", "pane_current_command")
_CHUNK_CHARS = 2000  # of at most four bytes each; tmux takes messages of 16 KiB
BUFFER = "mcpd"


@dataclass(frozen=True, slots=True)
class Screen:
    """A pane: its *lines* without the blank ones at the end, the *cursor* (column, row), and the *pid* in it.

    *ended* says how its command ended, empty while it runs; *in_mode*, the pane shows its history instead.
    """

    lines: tuple[str, ...]
    cursor: tuple[int, int]
    pid: int = 0
    ended: str = ""
    in_mode: bool = False

    @property
    def cursor_line(self) -> str:
        """The line that the cursor is in."""
        row = self.cursor[1]
        return self.lines[row] if row < len(self.lines) else ""


@dataclass(frozen=True, slots=True)
class Tmux:
    """The tmux server on *socket*, and in it the first window of *session*, which is the agent's."""

    socket: Path
    session: str

    @property
    def target(self) -> str:
        """The agent's pane, as tmux's commands take it with -t."""
        return f"={self.session}:^"

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of tmux for *arguments*, in UTF-8 whatever the locale; it starts no server."""
        return ["tmux", "-u", "-N", "-S", str(self.socket), *arguments]

    def run(self, *arguments: str, text: str | None = None) -> str:
        """Run one tmux command, whose *arguments* are taken as they are, with *text* as its input; return its output.

        Raises ``AgentNotRunning`` where there is no server, ``AgentFailed`` where it says no or does not answer,
        ``AccessDenied`` where it is not ours to ask, ``Unreachable`` without tmux.
        """
        return self._execute([*map(_argument, arguments)], text)

    def run_together(self, *commands: Sequence[str]) -> str:
        """Run *commands* at once, nothing in between; return their output, one behind the other; raises as ``run``."""
        joined: list[str] = []
        for command in commands:
            joined += [*map(_argument, command), ";"]
        return self._execute(joined[:-1], None)

    def _execute(self, arguments: Sequence[str], text: str | None) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - the arguments reach no shell
                self.command(*arguments),
                input=None if text is None else text.encode(),
                stdin=subprocess.DEVNULL if text is None else None,
                capture_output=True,
                check=False,
                timeout=TIMEOUT_S,
            )
        except FileNotFoundError as exc:
            raise Unreachable("tmux is not installed: apt install tmux") from exc
        except subprocess.TimeoutExpired as exc:
            message = f"{self.session}: tmux did not answer within {TIMEOUT_S:.0f} s; is the agent frozen?"
            raise AgentFailed(message) from exc
        if done.returncode:
            raise self.failure(done.stderr.decode(errors="replace").strip())
        return done.stdout.decode(errors="replace")

    def screen(self) -> Screen:
        """Return what the agent's pane shows and how it is."""
        ask = ("display-message", "-p", "-t", self.target, _FORMAT)
        head, _, text = self.run_together(ask, ("capture-pane", "-p", "-t", self.target)).partition("\n")
        dead, status, signal, in_mode, column, row, pid = head.split("\t")
        ended = (f"signal {signal}" if signal else f"status {status}") if dead == "1" else ""
        return Screen(lines_of(text), (int(column), int(row)), int(pid or 0), ended, in_mode not in ("", "0"))

    def capture(self, history_lines: int = 0) -> tuple[str, ...]:
        """Return the lines of the pane, and *history_lines* above them, without the blank ones at the end."""
        return lines_of(self.run("capture-pane", "-p", "-t", self.target, "-S", str(-history_lines)))

    def capture_whole(self, history_lines: int) -> tuple[int, tuple[str, ...]]:
        """Return what ``capture`` does, and before it how many of these lines are above the screen."""
        ask = ("display-message", "-p", "-t", self.target, "#{history_size}")
        capture = ("capture-pane", "-p", "-t", self.target, "-S", str(-history_lines))
        size, _, text = self.run_together(ask, capture).partition("\n")
        return min(int(size), history_lines), lines_of(text)

    def facts(self) -> tuple[int, int, str, str, str]:
        """Return width and height of the pane, its title, the program in its foreground and that one's directory."""
        words = "\t".join(f"#{{{name}}}" for name in _FACTS)
        shown = self.run("display-message", "-p", "-t", self.target, words).rstrip("\n").split("\t", len(_FACTS) - 1)
        cwd = self.run("display-message", "-p", "-t", self.target, "#{pane_current_path}").rstrip("\n")
        return int(shown[0]), int(shown[1]), shown[2], shown[3], cwd

    def leave_mode(self) -> None:
        """Bring the pane back from its history, where keys would go to tmux instead of the agent."""
        self.run("copy-mode", "-q", "-t", self.target)

    def send_text(self, text: str) -> None:
        """Type *text* literally; what is too long for one message of tmux goes in several."""
        for start in range(0, len(text), _CHUNK_CHARS):
            self.run("send-keys", "-l", "-t", self.target, "--", text[start : start + _CHUNK_CHARS])

    def paste(self, text: str) -> None:
        """Paste *text* as a terminal does: in brackets if the program asked for that, lines ended by Return."""
        self.load_buffer(text)
        self.run("paste-buffer", "-d", "-p", "-b", BUFFER, "-t", self.target)

    def load_buffer(self, text: str) -> None:
        """Have *text* ready to be pasted."""
        self.run("load-buffer", "-b", BUFFER, "-", text=text)

    def send_keys(self, *keys: str) -> None:
        """Press *keys*, named as tmux names them."""
        self.run("send-keys", "-t", self.target, "--", *keys)

    def failure(self, said: str) -> Exception:
        """Return the error that tmux's complaint *said* means."""
        if "no server" in said or "No such file" in said or "Connection refused" in said or "can't find" in said:
            return AgentNotRunning(f"{self.session} is not running")
        if "ermission denied" in said or "access not allowed" in said:
            return AccessDenied(f"{self.session}: this user may not reach the terminal at {self.socket}")
        return AgentFailed(f"{self.session}: tmux says: {said or 'nothing'}")


def _argument(text: str) -> str:
    """Return *text* so that tmux, which ends a command at an argument that ends in a semicolon, takes it as it is."""
    return f"{text[:-1]}\\;" if text.endswith(";") else text


def lines_of(text: str) -> tuple[str, ...]:
    """Return the lines of *text* without blanks at their ends and without the blank lines at its end."""
    return tuple(line.rstrip() for line in text.rstrip().split("\n"))

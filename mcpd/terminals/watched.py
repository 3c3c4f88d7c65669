"""An agent's tmux, asked over the connection by which it is watched.

No client of tmux runs as us: an agent owns its server, and a server can make its clients run what it likes. The lines
we send are parsed by tmux as those of a configuration file (tmux(1), PARSING SYNTAX), so every argument is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mcpd.errors import AgentFailed, AgentNotRunning
from mcpd.terminals.control import Answer
from mcpd.terminals.tmux import BUFFER, Tmux

Ask = Callable[[Sequence[bytes]], Sequence[Answer]]
_OBEYED = re.compile(r'[\x00-\x1f\x7f"\\$]')
_PASTE_CHARS = 16_000


def line(arguments: Sequence[str]) -> bytes:
    """Return the line that gives tmux the command *arguments*, each exactly as it is."""
    return " ".join(f'"{_OBEYED.sub(_escape, argument)}"' for argument in arguments).encode() + b"\n"


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return f"\\{character}" if character in '"\\$' else f"\\{ord(character):03o}"


@dataclass(frozen=True, slots=True)
class WatchedTmux(Tmux):
    """A ``Tmux`` whose commands *ask* carries; it blocks, and raises ``AgentFailed`` when nothing comes back."""

    ask: Ask

    def run(self, *arguments: str, text: str | None = None) -> str:
        """Run one command; see ``Tmux.run``."""
        assert text is None, "a command has no input here"
        return self.run_together(arguments)

    def run_together(self, *commands: Sequence[str]) -> str:
        """Run *commands*, sent at once; see ``Tmux.run_together``."""
        found: list[str] = []
        for answer in self.ask([line(command) for command in commands]):
            if not answer.ok:
                raise self.failure(" ".join(answer.lines))
            found += answer.lines
        return "\n".join(found)

    def load_buffer(self, text: str) -> None:
        """Have *text* ready to be pasted, brought in parts."""
        parts = [text[start : start + _PASTE_CHARS] for start in range(0, len(text), _PASTE_CHARS)]
        for number, part in enumerate(parts):
            self.run("set-buffer", *(["-a"] if number else []), "-b", BUFFER, "--", part)


def gone(session: str) -> AgentFailed:
    """Return the error that the watch of *session* is not there, or has ended."""
    return AgentFailed(f"{session}: its terminal cannot be seen at the moment; try again, or see mcpctl logs")


def not_running(session: str) -> AgentNotRunning:
    """Return the error that the agent of *session* does not run."""
    return AgentNotRunning(f"{session} is not running; start the agent first")

"""What becomes of the old system's sessions: told what to do with each, and, if that is wanted, agents in their place.

A tmux server cannot be moved into another unit, nor a session to another server. So what was on the screen is kept and
the agent started anew, in the same directory; Claude Code goes on with its last conversation there. No session is
ended.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import tomlkit

from mcpd import files
from mcpd.agents import edit, generator, names, units
from mcpd.agents.agent import Agent
from mcpd.agents.files import Agents
from mcpd.ctl.cutover import sessions
from mcpd.ctl.cutover.sessions import CLAUDE, SHELLS, Session
from mcpd.errors import Error
from mcpd.ports import Ports

CONTINUE = "claude --continue || exec claude"
LEFT, ADOPTED, FAILED = "left running", "adopted", "could not be adopted"
_FOLDER = "adopted"
_DROP_INS = Path("/run/systemd/system")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of *session*: the agent that it is, None if there is none, why, and what an operator can do next."""

    session: Session
    agent: str | None
    outcome: str
    why: str = ""
    saved: Path | None = None
    commands: Sequence[str] = ()
    notes: Sequence[str] = field(default=())

    def as_json(self) -> dict[str, object]:
        """Return it as JSON knows it."""
        s = self.session
        facts = {"session": s.name, "user": s.user, "socket": str(s.socket), "pid": s.pid, "attached": s.attached}
        facts |= {"program": s.program, "cwd": s.cwd, "agent": self.agent, "outcome": self.outcome, "why": self.why}
        saved = self.saved and str(self.saved)
        return {**facts, "saved": saved, "commands": list(self.commands), "notes": list(self.notes)}


def variables(agent: str, cwd: str, database: str, ports: Ports) -> dict[str, str]:
    """Return the environment that agents of both systems read, which leads them to whoever has *ports* now."""
    return {
        "AGENT_NAME": agent,
        "CLAUDE_AGENT_NAME": agent,
        "CLAUDE_PROJECT_DIR": cwd,
        "CLAUDE_HOOKS_DIR": f"{cwd}/.claude-hooks",
        **ports.variables(),
        "MCP_ENABLED": "true",
        "MCP_BRIDGE_ENABLED": "true",
        "MCP_DB_PATH": database,
    }


def export(
    found: Iterable[Session], described: Agents, database: str, ports: Ports, say: Callable[[str], None]
) -> None:
    """Lead what starts in each of *found* from now on to who has *ports* now, whose *database* that is.

    *say* where that fails.
    """
    for session in found:
        agent = _agent(session, described)
        name = agent.name if agent else session.name.removeprefix(sessions.PREFIX)
        try:
            sessions.export(session, variables(name, session.cwd, database, ports))
        except Error as error:
            say(f"{session.name} of {session.user}: its environment stays: {error.message}")


def _agent(session: Session, described: Agents) -> Agent | None:
    return described.agents.get(names.normalise(session.name))


@dataclass(frozen=True, slots=True)
class Adopter:
    """Deals with sessions for the agents that *described* has; *database* is mcpd's, beside which screens are kept."""

    described: Agents
    database: Path

    def deal(self, found: Iterable[Session], *, adopt: bool, say: Callable[[str], None]) -> list[Outcome]:
        """Return what became of each of *found*; *adopt* them if told."""
        outcomes = []
        for session in found:
            try:
                outcome = self._deal(session, adopt=adopt)
            except Error as error:  # one session's trouble must not keep a switch from being watched
                outcome = Outcome(session, None, FAILED if adopt else LEFT, error.message)
            outcomes.append(outcome)
            say(f"{session.name} of {session.user}: {outcome.outcome}{f' ({outcome.why})' if outcome.why else ''}")
        return outcomes

    def look(self, found: Iterable[Session]) -> list[Outcome]:
        """Return what can be done with each of *found*; change nothing."""
        return [self._deal(session, adopt=False) for session in found]

    def _deal(self, session: Session, *, adopt: bool) -> Outcome:
        agent = _agent(session, self.described)
        why = self._why_not(session, agent)
        commands = tuple(self._commands(session, agent))
        name = agent.name if agent else None
        if agent is None or why or not adopt:
            return Outcome(session, name, LEFT, why, None, commands)
        saved, notes = None, tuple[str, ...]()
        try:
            saved = self._save(session)
            notes = self._describe(session, agent)
            self._start(session, agent)
        except (Error, OSError) as error:
            return Outcome(session, name, FAILED, getattr(error, "message", str(error)), saved, commands, notes)
        ended = session.command("kill-session", "-t", f"={session.name}")
        return Outcome(session, name, ADOPTED, "", saved, (f"mcpctl attach {name}", ended), notes)

    def _why_not(self, session: Session, agent: Agent | None) -> str:
        """Say why *session* is not adopted, empty if it can be."""
        if agent is None:
            return "no agent of mcpd has this name"
        if session.program not in {CLAUDE, *SHELLS}:
            return f"{session.program} runs in it, and what starting that a second time does is not known"
        if session.user.startswith("#"):
            return "its user has no name"
        if not units.has_systemd():
            return "systemd does not run here"
        if units.states([agent])[agent.name].is_running:
            return f"{agent.unit} runs already"
        return ""

    def _commands(self, session: Session, agent: Agent | None) -> Iterable[str]:
        """Yield what an operator does to move *session* by hand, in order."""
        kept = f">{shlex.quote(session.name)}.txt"
        yield f"{session.command('capture-pane', '-p', '-S', '-', '-t', session.target)} {kept}"
        name = agent.name if agent else names.normalise(session.name)
        if agent is None:
            yield f"mcpctl agent add {name} --user {session.user} --workdir {shlex.quote(session.cwd)}"
        yield f"mcpctl agent start {name}"
        if session.program == CLAUDE:
            yield f"mcpctl attach {name}  # and there: /resume, or claude --continue"
        elif session.program not in SHELLS:
            yield f"mcpctl send {name} '…'  # what started {session.program}, when it has ended in the old session"
        yield session.command("kill-session", "-t", f"={session.name}")

    def _save(self, session: Session) -> Path:
        """Keep what is on the screen of *session* and in its history; return where."""
        directory = self.database.parent / _FOLDER
        files.make_directory(directory, self.database)
        name = f"{names.normalise(session.name)}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.txt"
        path = files.unused(directory / name)
        files.write(path, sessions.text_of(session).encode(), self.database)
        return path

    def _describe(self, session: Session, agent: Agent) -> tuple[str, ...]:
        """Let the agent's file name the user and the directory of *session*; return what was changed."""
        if (agent.user, agent.workdir) == (session.user, session.cwd):
            return ()
        path, text = edit.path_of(agent.name), agent.source.read_text(encoding="utf-8")
        document = tomlkit.parse(text)
        document["user"], document["workdir"] = session.user, session.cwd
        notes = [f"{path} names user {session.user} and directory {session.cwd} now"]
        if path.exists():
            kept = path.with_name(f"{path.name}.before-adoption")
            shutil.copy2(path, kept)
            notes.append(f"what it said before is {kept}")
        edit.save(path, tomlkit.dumps(document))
        return tuple(notes)

    def _start(self, session: Session, agent: Agent) -> None:
        """Start the agent, with Claude Code's last conversation if that was in *session*, this once."""
        drop_in = _DROP_INS / f"{agent.unit}.d" / "60-adopted.conf"
        if session.program == CLAUDE:
            drop_in.parent.mkdir(parents=True, exist_ok=True)
            drop_in.write_text(f"[Service]\nEnvironment={generator.quote(f'MCPD_AGENT_COMMAND={CONTINUE}')}\n")
        try:
            units.systemctl("daemon-reload")
            units.systemctl("start", agent.unit)
        finally:
            if drop_in.exists():
                drop_in.unlink()
                units.systemctl("daemon-reload")

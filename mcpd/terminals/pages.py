"""What a browser shows when there is no terminal: the reason, what to do about it, and the agent's last screen."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from mcpd.agents.agent import Agent
from mcpd.agents.machine import start_fault
from mcpd.terminals.states import Unit

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>{refresh}
<meta name="viewport" content="width=device-width">
<style>
body {{ background: #1a1a1a; color: #ddd; font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem;
padding: 0 1rem }}
h1 {{ font-size: 1.3rem; color: #fff }} code, pre {{ color: #0f0; background: #000; padding: .1rem .3rem }}
pre {{ padding: 1rem; overflow: auto }}
</style></head>
<body><h1>{title}</h1><p>{reason}</p>{advice}{screen}</body></html>
"""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there is no terminal: *status* of HTTP, *reason* in a sentence, *advice* as commands to run."""

    status: int
    reason: str
    advice: tuple[str, ...] = ()
    retry_s: int | None = None


def render(agent: str, trouble: Trouble, screen: str = "") -> bytes:
    """Return the page that tells *trouble* with the terminal of *agent*, and *screen*, the last text seen on it."""
    commands = "".join(f"<p><code>{escape(command)}</code></p>" for command in trouble.advice)
    page = _PAGE.format(
        title=escape(f"Terminal of {agent}: {trouble.status}"),
        reason=escape(trouble.reason),
        advice=f"<p>What to do:</p>{commands}" if commands else "",
        screen=f"<p>Its last screen:</p><pre>{escape(screen)}</pre>" if screen.strip() else "",
        refresh="" if trouble.retry_s is None else f'<meta http-equiv="refresh" content="{trouble.retry_s}">',
    )
    return page.encode()


def no_agent(name: str) -> Trouble:
    """There is a socket of that name, but no (valid) agent's file."""
    return Trouble(404, f"There is no agent {name}, or its file has a mistake.", ("mcpctl agent list", "mcpctl health"))


def no_ttyd(agent: str) -> Trouble:
    """The machine has no ttyd, which shows terminals in the browser."""
    return Trouble(
        503,
        "ttyd, the program that shows terminals in a browser, is not installed on this machine. "
        "The agents and everything else of mcpd work without it.",
        ("apt install ttyd", f"mcpctl attach {agent}"),
    )


def not_stopped(unit: Unit, job: str) -> Trouble:
    """An agent's *unit* did not stop; *job* is how systemd's job ended."""
    status = "" if unit.exit_status is None else f", exit status {unit.exit_status}"
    reason = f"{unit.name} is {unit.active}: {unit.result if unit.result != 'success' else job}{status}"
    return Trouble(503, reason, (f"journalctl -u {unit.name}",))


def not_started(agent: Agent, unit: Unit, job: str) -> Trouble:
    """*unit* of *agent* could not be started; *job* is how systemd's job ended (JobRemoved, org.freedesktop.systemd1).

    What the unit of ttyd asserts is that there is one; that of the agent, its directory.
    """
    if job == "assert" and unit.name == agent.ttyd_unit:
        return no_ttyd(agent.name)
    if job == "assert":
        reason = f"The agent {agent.name} cannot be started: its directory {agent.workdir} or its file is not there."
        return Trouble(503, reason, ("mcpctl health", f"systemctl status {unit.name}"))
    fault = start_fault(agent, unit.exit_status) if unit.name == agent.unit else None
    if fault:
        return Trouble(503, f"The agent {agent.name} cannot be started: {fault}.", (f"mcpctl agent show {agent.name}",))
    status = "" if unit.exit_status is None else f", exit status {unit.exit_status}"
    what = unit.result if unit.result != "success" else job
    logs = f"journalctl -u {unit.name}"
    return Trouble(503, f"{unit.name} could not be started: {what}{status}.", (f"systemctl status {unit.name}", logs))


def stopped(agent: str) -> Trouble:
    """Somebody stopped the agent, and the page that asks was open before that."""
    return Trouble(503, f"The agent {agent} was stopped. Loading this page again starts it.", retry_s=None)


def frozen(agent: str) -> Trouble:
    """The processes of the agent are halted, tmux among them."""
    return Trouble(
        503, f"The agent {agent} is frozen, so its terminal cannot be used.", (f"mcpctl agent thaw {agent}",)
    )


def no_answer(unit: str, why: str) -> Trouble:
    """ttyd runs and does not answer."""
    reason = f"{unit} runs and takes no connection: {why}."
    return Trouble(504, reason, (f"systemctl status {unit}", f"journalctl -u {unit}"), retry_s=5)


def no_systemd(reason: str) -> Trouble:
    """systemd did not do as we asked."""
    return Trouble(503, f"systemd cannot be asked to start the terminal: {reason}.", ("mcpctl health",), retry_s=5)

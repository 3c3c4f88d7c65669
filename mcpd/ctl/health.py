"""``mcpctl health``: is everything there that mcpd needs, and what to do if not."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from mcpd import config
from mcpd.agents import files as agent_files
from mcpd.config import Config
from mcpd.ctl import client, output
from mcpd.ctl.checks import agents, backups, database, legacy, ports, units
from mcpd.ctl.checks.check import Check, Outcome, failed, ok, skipped
from mcpd.ctl.checks.units import Unit
from mcpd.errors import EX_REFUSED, ConfigError, Unreachable
from mcpd.ports import DEFAULTS, Ports

HELP = "check configuration, units, ports, database and backups"

_STYLES = {Outcome.OK: "green", Outcome.WARNING: "yellow", Outcome.FAILED: "bold red", Outcome.SKIPPED: "dim"}


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare nothing: the common options are all."""


def run(arguments: argparse.Namespace) -> int:
    """Make all checks and print them; 1 if one failed."""
    client.endpoint(arguments.url)
    found = list(checks(arguments.url, arguments.config))
    healthy = is_healthy(found)
    if arguments.json:
        rows = [{"name": c.name, "outcome": c.outcome, "detail": c.detail, "advice": c.advice} for c in found]
        output.print_json({"healthy": healthy, "checks": rows})
    else:
        _print(found)
    return 0 if healthy else EX_REFUSED


def is_healthy(checks: Sequence[Check]) -> bool:
    """Say whether nothing failed."""
    return all(check.outcome is not Outcome.FAILED for check in checks)


def checks(url: str, files: Sequence[Path] | None) -> Iterator[Check]:
    """Make all checks, with the daemon at *url* and the configuration of *files*, or the machine's."""
    configuration, settings = check_configuration(files)
    yield configuration
    if url == client.DEFAULT_URL:
        yield from _check_system(DEFAULTS if settings is None else settings.ports)
    else:
        yield skipped("units", "--url names a daemon that need not be systemd's")
        yield ports.judge_probe(url, ports.probe(url))
    if settings is None:
        yield skipped("database", "the configuration does not say where it is")
        return
    facts = database.gather(settings.database.path)
    yield from database.judge(facts)
    yield backups.judge(backups.gather(settings.backup.directory), facts.age_s)


def _check_system(configured: Ports) -> Iterator[Check]:
    from mcpd.ctl.cutover import switching

    if switching.old_serves():
        yield from legacy.judge(legacy.probe(configured.rpc), configured.rpc)
    else:
        yield from _check_mcpd(configured)
    yield from agents.judge(agent_files.load(), agents.find_tmux(), agents.find_ttyd())


def _check_mcpd(configured: Ports) -> Iterator[Check]:
    found: dict[str, Unit] | None = None
    try:
        found = units.gather()
    except Unreachable as error:
        yield failed("units", error.message, "systemctl status")
    else:
        yield from units.judge(found)
    listening = ports.listeners()
    yield ports.judge_probe(client.DEFAULT_URL, ports.probe(client.DEFAULT_URL))
    tcp = ports.probe(f"http://127.0.0.1:{configured.rpc}")
    rpc = ports.judge_probe(f"port {configured.rpc}", tcp, listening.get(configured.rpc, ()))
    yield from ports.judge(found, listening, rpc, configured)


def check_configuration(files: Sequence[Path] | None) -> tuple[Check, Config | None]:
    """Return the check of the configuration and, if it is valid, that."""
    try:
        settings = config.effective(files)
    except ConfigError as error:
        return failed("configuration", error.message, f"mend it; then {client.start()}"), None
    return ok("configuration", f"{len(settings)} settings, all valid"), config.build(settings)


def _print(checks: Sequence[Check]) -> None:
    rows = [(c.name, output.coloured(c.outcome, _STYLES[c.outcome]), c.detail, c.advice) for c in checks]
    output.print_tables(output.table("", ("check", "outcome", "what was seen", "what to do"), rows))

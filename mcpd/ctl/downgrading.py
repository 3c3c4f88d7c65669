"""``mcpctl rollback --upgrade`` as it is shown: what would be done, or what was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcpd.config import Config
from mcpd.ctl import output
from mcpd.ctl.downgrade import flow
from mcpd.ctl.downgrade.flow import Plan


def run(settings: Config, package: Path | None, *, only_plan: bool, as_json: bool) -> None:
    """Take the last upgrade back, or only say what that would be."""
    found = flow.plan(Path(settings.database.path).absolute(), package)
    if only_plan:
        _print_plan(found, as_json=as_json)
        return
    port = settings.server.port
    done = flow.carry_out(
        found, port, (lambda _: None) if as_json else lambda text: output.write(f"{output.visible(text)}\n")
    )
    if as_json:
        more = {"kept": done.kept and str(done.kept), "written": dict(done.written), "outage_us": done.outage_us}
        output.print_json(_as_json(found) | more)
        return
    outage = f"port {port} refused callers for {done.outage_us / 1000:.0f} ms"
    output.write(f"mcpd {found.source.version} answers; {outage}\n")


def _print_plan(found: Plan, *, as_json: bool) -> None:
    if as_json:
        output.print_json(_as_json(found))
        return
    snapshot = found.snapshot
    shown = {
        "installed": found.installed,
        "goes back to": str(found.source),
        "snapshot": str(snapshot.path),
        "made": f"{snapshot.made:%Y-%m-%d %H:%M:%S} UTC, verified",
        "schema": snapshot.schema_version,
        "written since": f"{flow.described(found.written)}; kept beside {found.database}",
    }
    output.print_tables(output.pairs("", shown))


def _as_json(found: Plan) -> dict[str, Any]:
    snapshot = found.snapshot
    return {
        "installed": found.installed,
        "version": found.source.version,
        "package": found.source.path and str(found.source.path),
        "snapshot": str(snapshot.path),
        "made": snapshot.made.isoformat(),
        "schema_version": snapshot.schema_version,
        "written": dict(found.written),
    }

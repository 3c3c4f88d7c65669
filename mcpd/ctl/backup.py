"""``mcpctl backup``: make, list, verify, restore and prune backups."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mcpd import config
from mcpd.config import Setting
from mcpd.ctl import output
from mcpd.errors import AccessDenied, SourceUnusable, UsageError
from mcpd.times import rfc3339

if TYPE_CHECKING:
    from mcpd.backup.archive import Backup

HELP = "make, list, show, verify, restore or prune backups"

_READING = ("show", "verify", "restore")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``backup`` takes."""
    parser.add_argument("action", choices=_ACTIONS, help="what to do")
    parser.add_argument("file", metavar="FILE", type=Path, nargs="?", help="for show, verify and restore: the backup")
    parser.add_argument("name", metavar="NAME", nargs="?", help="for show: the agent whose screen to show")
    parser.add_argument("--directory", metavar="DIRECTORY", type=Path, help="where the backups are")
    parser.add_argument(
        "--identity", metavar="FILE", type=Path, help="for show, verify and restore: the key of an encrypted backup"
    )
    parser.add_argument(
        "--history", metavar="N", type=int, default=0, help="for show NAME: N lines above the screen too"
    )
    parser.add_argument("--dry-run", action="store_true", help="for prune: say what would be removed")


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    action = arguments.action
    if arguments.file is not None and action not in _READING:
        raise UsageError(f"mcpctl backup {action} takes no FILE; --directory says where")
    if arguments.file is None and action == "restore":
        raise UsageError("which backup? mcpctl backup list shows them; then mcpctl backup restore FILE")
    if arguments.dry_run and action != "prune":
        raise UsageError(f"mcpctl backup {action} takes no --dry-run")
    if arguments.identity is not None and action not in _READING:
        raise UsageError(f"mcpctl backup {action} takes no --identity")
    if arguments.name is not None and action != "show":
        raise UsageError(f"mcpctl backup {action} takes no NAME")
    if arguments.history and arguments.name is None:
        raise UsageError("--history goes with mcpctl backup show FILE NAME")
    if arguments.history < 0:
        raise UsageError(f"--history {arguments.history}: expected a number of lines")
    _ACTIONS[action](arguments)
    return 0


def _directory(arguments: argparse.Namespace) -> Path:
    """Return where the backups are: as the command line says, else the configuration."""
    given: Path | None = arguments.directory
    return (given or Path(config.load(arguments.config).backup.directory)).absolute()


def _now(arguments: argparse.Namespace) -> None:
    from mcpd.backup import backups, nightly

    settings = config.effective(arguments.config)
    built = config.build(settings)
    contents = nightly.contents(built, config.files_of(settings, arguments.config))
    recipient = built.backup.recipient
    directory, states = _directory(arguments), nightly.states(built.backup)
    made = backups.make(_database(settings), contents, directory, recipient=recipient, states=states)
    _print(made, "made and proved", as_json=arguments.json)


def _list(arguments: argparse.Namespace) -> None:
    from mcpd.backup import backups

    directory = _directory(arguments)
    found = [_peek(path) for path in backups.all_of(directory)]
    if arguments.json:
        output.print_json(found)
        return
    rows = [(Path(entry["path"]).name, *_row(entry)) for entry in found]
    empty = f"no backups in {directory}"
    output.print_tables(output.table("", ("backup", "size", "proved", "rows", "schema", "agents", "mcpd"), rows, empty))
    output.write("".join(f"{output.visible(entry['error'])}\n" for entry in found if "error" in entry))


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    if "error" in entry:
        return None, output.coloured("unusable", "bold red")
    size = f"{entry['size_bytes'] >> 10} KiB"
    proved = entry["proved"] and f"{entry['proved'][:16]}Z"
    if "rows" not in entry:
        return size, proved, "encrypted"
    agents = f"{sum(not agent['unseen'] for agent in entry['agents'])} of {len(entry['agents'])}"
    return size, proved, sum(entry["rows"].values()), entry["schema_version"], agents, entry["mcpd_version"]


def _peek(path: Path) -> dict[str, Any]:
    """Return what the backup *path* says of itself, or the error that it cannot or has another size than it had."""
    from mcpd.backup import age, archive, proof

    try:
        proof.check_size(path)
        return _encrypted(path) if age.is_encrypted(path) else _as_json(archive.peek(path))
    except (SourceUnusable, AccessDenied) as error:
        return {"path": str(path), "error": error.message}


def _encrypted(path: Path) -> dict[str, Any]:
    """Return what is known of a backup without its key."""
    return {"path": str(path), "size_bytes": path.stat().st_size, "encrypted": True, "proved": _proved_at(path)}


def _proved_at(path: Path) -> str | None:
    from mcpd.backup import proof

    found = proof.of(path)
    return None if found is None else found.at


def _show(arguments: argparse.Namespace) -> None:
    from mcpd.backup import backups

    path = _given_or_newest(arguments)
    if arguments.name is not None:
        _show_agent(path, arguments)
        return
    entry = _as_json(backups.look(path, arguments.identity)[0])
    if arguments.json:
        output.print_json(entry)
        return
    agents, rows, files = (entry.pop(name) for name in ("agents", "rows", "files"))
    listed = [(file["name"], file["size_bytes"], file["sha256"][:12]) for file in files]
    output.print_tables(
        output.pairs("", entry),
        output.pairs("Rows", {name: number for name, number in rows.items() if number}),
        output.table("Files", ("file", "bytes", "sha256"), listed),
        _agents(agents),
    )


def _agents(agents: Sequence[Mapping[str, Any]]) -> Any:
    """Return a table of what agents were at."""
    rows = [
        (
            agent["name"],
            agent["state"],
            agent["cwd"],
            agent["running"],
            f"{agent['width']}×{agent['height']}" if agent["width"] else None,
            agent["lines"] or None,
            agent["unseen"],
        )
        for agent in agents
    ]
    return output.table("Agents", ("agent", "state", "directory", "program", "size", "lines", "why not seen"), rows)


def _show_agent(path: Path, arguments: argparse.Namespace) -> None:
    """Print what was on an agent's screen, as ``mcpctl capture`` does."""
    from mcpd.agents import names
    from mcpd.backup import backups
    from mcpd.backup.agents import FOLDER

    found = {agent.name: agent for agent in backups.look(path, arguments.identity)[0].manifest.agents}
    agent = found[names.find(arguments.name, found)]
    file = f"{FOLDER}/{agent.name}.txt"
    text = backups.look(path, arguments.identity, [file])[1].get(file)
    if text is None and not arguments.json:
        raise SourceUnusable(f"{path}: nothing was seen of {agent.name}: {agent.unseen}")
    lines = (text or b"").decode(errors="replace").splitlines()
    above = max(0, agent.above - arguments.history)
    if arguments.json:
        output.print_json(msgspec.to_builtins(agent) | {"text": lines[above:]})
    else:
        output.write("".join(f"{output.visible(line)}\n" for line in lines[above:]))


def _given_or_newest(arguments: argparse.Namespace) -> Path:
    from mcpd.backup import backups

    path: Path | None = arguments.file or next(iter(backups.all_of(_directory(arguments))), None)
    if path is None:
        raise UsageError(f"there are no backups in {_directory(arguments)}; mcpctl backup now makes one")
    return path


def _verify(arguments: argparse.Namespace) -> None:
    from mcpd.backup import age, backups

    path = _given_or_newest(arguments)
    if arguments.identity is not None or not age.is_encrypted(path) or not backups.is_proved(path):
        _print(backups.verify(path, arguments.identity), "is whole", as_json=arguments.json)
    elif arguments.json:
        output.print_json(_encrypted(path))
    else:
        output.write(f"{path}: is what was proved at {_proved_at(path)}; with --identity it is unpacked too\n")


def _restore(arguments: argparse.Namespace) -> None:
    from mcpd.backup import backups

    database = _database(config.effective(arguments.config))
    done = backups.restore(arguments.file, database, arguments.identity)
    if arguments.json:
        output.print_json(
            {**_as_json(done.backup), "database": str(database), "replaced": done.replaced and str(done.replaced)}
        )
        return
    kept = f"; what was there is {done.replaced}" if done.replaced else ""
    output.write(f"{database}: restored from {arguments.file}{kept}\n")
    if agents := done.backup.manifest.agents:
        output.print_tables(_agents([msgspec.to_builtins(agent) for agent in agents]))
        output.write(f"What an agent had on its screen: mcpctl backup show {arguments.file} AGENT\n")
    output.write("Now: systemctl start mcp.target\n")


def _prune(arguments: argparse.Namespace) -> None:
    from mcpd.backup import backups, nightly

    rules = nightly.rules(config.load(arguments.config).backup)
    done = backups.prune(_directory(arguments), rules, dry_run=arguments.dry_run)
    if arguments.json:
        unusable = {str(path): reason for path, reason in done.unusable.items()}
        removed = [str(path) for path in done.removed]
        output.print_json({"dry_run": arguments.dry_run, "removed": removed, "unusable": unusable})
        return
    for reason in done.unusable.values():
        output.warn(f"{reason}; it stays, and takes no other backup's place")
    did = "would be removed" if arguments.dry_run else "removed"
    output.write("".join(f"{path}: {did}\n" for path in done.removed) or "nothing to remove\n")


_ACTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    "now": _now,
    "list": _list,
    "show": _show,
    "verify": _verify,
    "restore": _restore,
    "prune": _prune,
}


def _database(settings: Mapping[str, Setting]) -> Path:
    return Path(str(settings["database.path"].value)).absolute()


def _print(backup: Backup, done: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json(_as_json(backup))
    else:
        manifest = backup.manifest
        rows, seen = sum(manifest.rows.values()), sum(not agent.unseen for agent in manifest.agents)
        agents = f", {seen} of {len(manifest.agents)} agents" if manifest.agents else ""
        output.write(f"{backup.path}: {done}; {backup.size_bytes >> 10} KiB, {rows} rows{agents}\n")


def _as_json(backup: Backup) -> dict[str, Any]:
    manifest = backup.manifest
    return {
        "path": str(backup.path),
        "size_bytes": backup.size_bytes,
        "created": rfc3339(round(manifest.created.timestamp() * 1_000_000)),
        "mcpd_version": manifest.mcpd_version,
        "schema_version": manifest.schema_version,
        "rows": manifest.rows,
        "files": [{"name": f.name, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in manifest.files],
        "agents": msgspec.to_builtins(manifest.agents),
        "proved": _proved_at(backup.path),
    }

"""``mcpctl backup``: make, list, verify, restore and prune backups."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpd import config
from mcpd.config import Setting
from mcpd.ctl import output
from mcpd.errors import SourceUnusable, UsageError
from mcpd.times import rfc3339

if TYPE_CHECKING:
    from mcpd.backup.archive import Backup

HELP = "make, list, verify, restore or prune backups"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``backup`` takes."""
    parser.add_argument("action", choices=_ACTIONS, help="what to do")
    parser.add_argument("file", metavar="FILE", type=Path, nargs="?", help="for verify and restore: the backup")
    parser.add_argument("--directory", metavar="DIRECTORY", type=Path, help="where the backups are")
    parser.add_argument(
        "--identity", metavar="FILE", type=Path, help="for verify and restore: the key of an encrypted backup"
    )
    parser.add_argument("--dry-run", action="store_true", help="for prune: say what would be removed")


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    action = arguments.action
    if arguments.file is not None and action not in ("verify", "restore"):
        raise UsageError(f"mcpctl backup {action} takes no FILE; --directory says where")
    if arguments.file is None and action == "restore":
        raise UsageError("which backup? mcpctl backup list shows them; then mcpctl backup restore FILE")
    if arguments.dry_run and action != "prune":
        raise UsageError(f"mcpctl backup {action} takes no --dry-run")
    if arguments.identity is not None and action not in ("verify", "restore"):
        raise UsageError(f"mcpctl backup {action} takes no --identity")
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
    made = backups.make(_database(settings), contents, _directory(arguments), recipient=recipient)
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
    output.print_tables(output.table("", ("backup", "size", "rows", "schema", "mcpd"), rows, empty))


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    if "error" in entry:
        return (output.coloured(entry["error"], "bold red"),)
    size = f"{entry['size_bytes'] >> 10} KiB"
    if "rows" not in entry:
        return size, "encrypted"
    return size, sum(entry["rows"].values()), entry["schema_version"], entry["mcpd_version"]


def _peek(path: Path) -> dict[str, Any]:
    """Return what the backup *path* says of itself, or the error that it cannot."""
    from mcpd.backup import age, archive

    if age.is_encrypted(path):
        return {"path": str(path), "size_bytes": path.stat().st_size, "encrypted": True}
    try:
        return _as_json(archive.peek(path))
    except SourceUnusable as error:
        return {"path": str(path), "error": error.message}


def _verify(arguments: argparse.Namespace) -> None:
    from mcpd.backup import backups

    path = arguments.file or next(iter(backups.all_of(_directory(arguments))), None)
    if path is None:
        raise UsageError(f"there are no backups in {_directory(arguments)}; mcpctl backup now makes one")
    _print(backups.verify(path, arguments.identity), "is whole", as_json=arguments.json)


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
    output.write(f"{database}: restored from {arguments.file}{kept}\nNow: systemctl start mcp.target\n")


def _prune(arguments: argparse.Namespace) -> None:
    from mcpd.backup import backups, nightly

    rules = nightly.rules(config.load(arguments.config).backup)
    gone = backups.prune(_directory(arguments), rules, dry_run=arguments.dry_run)
    if arguments.json:
        output.print_json({"dry_run": arguments.dry_run, "removed": [str(path) for path in gone]})
        return
    done = "would be removed" if arguments.dry_run else "removed"
    output.write("".join(f"{path}: {done}\n" for path in gone) or "nothing to remove\n")


_ACTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    "now": _now,
    "list": _list,
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
        rows = sum(backup.manifest.rows.values())
        output.write(f"{backup.path}: {done}; {backup.size_bytes >> 10} KiB, {rows} rows\n")


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
    }

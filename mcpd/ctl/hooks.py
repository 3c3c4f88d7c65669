"""``mcpctl hooks``: have Claude Code run mcpd-hook and know the MCP server, or no longer.

Files are changed as the user to whom they belong, never as root in somebody's directory; whole or not at all, after
all of them were found to be in order; and what stood there before is kept beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mcpd import config, files
from mcpd.ctl import output
from mcpd.ctl.client import Refused
from mcpd.errors import AccessDenied, ConfigError, UsageError, denied, described
from mcpd.hooks import settings
from mcpd.hooks.events import EVENTS
from mcpd.hooks.settings import Document

HELP = "have Claude Code tell mcpd what it does"
BACKUP = ".mcpd-backup"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``hooks`` takes."""
    parser.add_argument("action", choices=("install", "uninstall", "status"), help="what to do")
    parser.add_argument("--user", metavar="USER", help="the user whose Claude Code it is, by default you")
    parser.add_argument("--project", metavar="DIR", type=Path, help="set up this project instead of all of the user's")


@dataclass(frozen=True, slots=True)
class _Part:
    """A file of Claude Code's and what we have in it."""

    path: Path
    what: str
    add: Callable[[Document], Document]
    remove: Callable[[Document], Document]
    state: Callable[[Document], str]

    @property
    def backup(self) -> Path:
        return self.path.with_name(self.path.name + BACKUP)


def run(arguments: argparse.Namespace) -> int:
    """Do it for each of the files."""
    url = config.load(arguments.config).ports.url
    home = _become(arguments.user, arguments.project)
    parts = _parts(home, arguments.project, url)
    documents = [_read(part.path, part) for part in parts]
    if arguments.action == "status":
        states = [part.state(document or {}) for part, document in zip(parts, documents, strict=True)]
    else:
        change = _install if arguments.action == "install" else _uninstall
        with _refused_by_the_system():
            states = [change(part, document) for part, document in zip(parts, documents, strict=True)]
    rows = [(str(part.path), part.what, state) for part, state in zip(parts, states, strict=True)]
    _print(rows, as_json=arguments.json)
    complete = all(state == "installed" for state in states)
    return 0 if arguments.action != "status" or complete else Refused.exit_status


def _parts(home: Path, project: Path | None, url: str) -> list[_Part]:
    with_server = partial(settings.with_server, url=url)
    settings_of = (project.resolve() if project is not None else home) / ".claude" / "settings.json"
    servers_of = project.resolve() / ".mcp.json" if project is not None else home / ".claude.json"
    return [
        _Part(settings_of, "hooks", settings.with_hooks, settings.without_hooks, _hooks_state),
        _Part(servers_of, "MCP server", with_server, settings.without_server, partial(_server_state, url=url)),
    ]


def _hooks_state(document: Document) -> str:
    found = settings.installed_events(document)
    if not found:
        return "not installed"
    missing = [event for event in EVENTS if event not in found]
    return f"incomplete: {', '.join(missing)} missing" if missing else "installed"


def _server_state(document: Document, url: str) -> str:
    if not settings.has_server(document):
        return "not installed"
    return "installed" if settings.with_server(document, url) == document else f"incomplete: does not lead to {url}"


def _become(user: str | None, project: Path | None) -> Path:
    """Go on as the user whose files are to be changed, where we may; return the user's home directory."""
    if project is not None and not project.is_dir():
        raise UsageError(f"--project {project}: there is no such directory")
    if os.geteuid() != 0:
        if user is not None and pwd.getpwuid(os.geteuid()).pw_name != user:
            raise AccessDenied(f"only root may change the files of user {user}")
        return Path.home()
    try:
        account = pwd.getpwnam(user) if user is not None else pwd.getpwuid(project.stat().st_uid if project else 0)
    except KeyError as exc:
        raise UsageError(f"there is no user {user}" if user else f"{project}: its owner is no user") from exc
    if account.pw_uid == 0:
        return Path.home() if user is None else Path(account.pw_dir)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    return Path(account.pw_dir)


def _read(path: Path, part: _Part) -> Document | None:
    """Return the document in *path*, None if there is none; raises ``ConfigError`` unless *part* can deal with it."""
    try:
        with _refused_by_the_system():
            document = json.loads(path.read_bytes() or b"{}")
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}: is not JSON: {exc}; nothing was changed") from exc
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected a JSON object; nothing was changed")
    try:
        part.add(document)
    except ValueError as exc:
        raise ConfigError(f"{path}: {exc}; nothing was changed") from exc
    return document


def _install(part: _Part, document: Document | None) -> str:
    before = document or {}
    after = part.add(before)
    if after == before:
        return "installed"
    if document is not None and part.remove(before) == before:
        files.rewrite(part.backup, part.path.read_bytes(), like=part.path)
    part.path.parent.mkdir(exist_ok=True, parents=True)
    files.rewrite(part.path, _encoded(after), like=part.path)
    return "installed"


def _uninstall(part: _Part, document: Document | None) -> str:
    if document is None:
        return "not installed"
    backup = part.backup.read_bytes() if part.backup.exists() else None
    after = part.remove(document)
    if backup is not None and _would_become(part, backup, document):
        files.rewrite(part.path, backup, like=part.path)
    elif not after and document:
        part.path.unlink()
    elif after != document:
        files.rewrite(part.path, _encoded(after), like=part.path)
    part.backup.unlink(missing_ok=True)
    return "not installed" if part.state(after) == "not installed" else "kept: it is not as we installed it"


def _would_become(part: _Part, backup: bytes, document: Document) -> bool:
    """Say whether nobody but us changed the file since *backup* was made of it."""
    try:
        return part.add(json.loads(backup or b"{}")) == document
    except (ValueError, AttributeError, RecursionError):
        return False


def _encoded(document: Document) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


@contextmanager
def _refused_by_the_system() -> Iterator[None]:
    """Turn what the file system refuses in the block into an ``Error`` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except PermissionError as exc:
        raise denied(exc) from exc
    except OSError as exc:
        raise ConfigError(described(exc)) from exc


def _print(rows: list[tuple[str, str, str]], *, as_json: bool) -> None:
    if as_json:
        output.print_json([dict(zip(("file", "what", "state"), row, strict=True)) for row in rows])
    else:
        output.print_tables(output.table("", ("what", "state", "file"), [(what, state, f) for f, what, state in rows]))

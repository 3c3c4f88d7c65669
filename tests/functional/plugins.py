"""Plug-in files for a daemon, as an administrator would put them there."""

from __future__ import annotations

from pathlib import Path


def put(directory: Path, **files: str) -> str:
    """Write *files* (name without .py → text) into *directory*/tools.d; return the settings (TOML) that name it."""
    folder = directory / "tools.d"
    folder.mkdir(mode=0o755, parents=True)
    for name, text in files.items():
        write(folder / f"{name}.py", text)
    return f'[tools]\nplugins = "{folder}"\n'


def write(path: Path, text: str) -> None:
    """Write a file that the daemon trusts, whatever the umask."""
    path.write_text(text)
    path.chmod(0o644)

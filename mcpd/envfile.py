"""Files of KEY=VALUE lines, read as systemd's EnvironmentFile= does: comments, blank lines, optional quotes."""

from __future__ import annotations

import shlex
from pathlib import Path

from mcpd.errors import ConfigError


def read(path: Path) -> dict[str, str]:
    """Return the variables of *path*, none if it is not there; raises ``ConfigError``."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}") from exc
    variables = {}
    for line in text.splitlines():
        if "=" not in line or line.lstrip().startswith(("#", ";")):
            continue
        key, _, value = line.partition("=")
        try:
            variables[key.strip()] = " ".join(shlex.split(value))
        except ValueError as exc:
            raise ConfigError(f"{path}: variable '{key.strip()}': {exc}") from exc
    return variables

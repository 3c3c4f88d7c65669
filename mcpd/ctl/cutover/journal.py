"""What the journal has, by journalctl."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from typing import Any

from mcpd.errors import Unreachable

_TIMEOUT_S = 30.0


def entries(*words: str) -> list[dict[str, Any]]:
    """Return the entries that *words*, options and matches of journalctl, ask for; raises ``Unreachable``."""
    command = ["journalctl", "--quiet", "--no-pager", "--output=json", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Unreachable(f"journalctl: {exc}") from exc
    return [json.loads(line) for line in done.stdout.splitlines()]


def sync() -> None:
    """Wait until the journal has what was said before; where that cannot be asked for, do not."""
    with suppress(OSError, subprocess.TimeoutExpired):
        command = ["journalctl", "--sync"]
        subprocess.run(command, capture_output=True, check=False, timeout=_TIMEOUT_S)  # noqa: S603

"""The watch as a unit, which neither a closed terminal nor a reboot ends, and mcpctl that shows what it says."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mcpd.agents import generator
from mcpd.ctl.cutover import journal, order, standing, switching
from mcpd.errors import Error
from mcpd.store.cutovers import Cutover

_DROP_IN = Path(f"/etc/systemd/system/{standing.WATCH}.d/50-mcpctl.conf")
_LOOK_EVERY_S = 1.0
_LEAVING = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


class Left(Error):
    """Who followed left; the watch goes on."""

    def __init__(self, number: int) -> None:
        super().__init__("the watch goes on; mcpctl migrate --watch follows it, mcpctl migrate status says how it went")
        self.exit_status = 128 + number


def start(database: Path, watched: Cutover, files: Sequence[Path] | None) -> None:
    """Start the unit, which goes on with the watch of *watched*, now and after a reboot; it may run already.

    *files* are those of ``--config``.
    """
    order.keep(database, watched)
    if files:
        words = [word for file in files for word in ("--config", str(file.absolute()))]
        command = " ".join(map(generator.quote, ["mcpctl", *words, "migrate", "--watch", "--foreground"]))
        _DROP_IN.parent.mkdir(exist_ok=True)
        _DROP_IN.write_text(f"# Written by mcpctl --config.\n[Service]\nExecStart=\nExecStart={command}\n")
    else:
        _DROP_IN.unlink(missing_ok=True)
    switching.systemctl("daemon-reload")
    switching.systemctl("enable", "--now", standing.WATCH)


def end(database: Path) -> None:
    """Let the unit not come back after a reboot."""
    order.forget(database)
    if switching.runs_systemd():
        _DROP_IN.unlink(missing_ok=True)
        switching.systemctl("disable", standing.WATCH)


def follow(since_us: int, say: Callable[[str], None]) -> None:
    """Say what the unit says and has said since then, until it has ended; raises ``Left`` on Ctrl-C and the like."""
    place = f"--since=@{since_us / 1e6:.6f}"
    with _as_left():
        while True:
            goes_on = standing.is_watching()
            if not goes_on:
                journal.sync()
            for entry in journal.entries(place, f"_SYSTEMD_UNIT={standing.WATCH}"):
                place = f"--after-cursor={entry['__CURSOR']}"
                say(str(entry.get("MESSAGE")))
            if not goes_on:
                return
            time.sleep(_LOOK_EVERY_S)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let a terminal that is closed not end the block: half a switch would be left."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def _as_left() -> Iterator[None]:
    def leave(number: int, _frame: object) -> None:
        raise Left(number)

    before = {number: signal.signal(number, leave) for number in _LEAVING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

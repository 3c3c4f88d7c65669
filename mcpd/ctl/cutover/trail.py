"""What is noted of one switch while it is made. A database that takes no note must not keep systems from switching."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcpd.ctl.cutover import unwritten
from mcpd.ctl.cutover.record import Record, now_us
from mcpd.errors import Error
from mcpd.store.cutovers import Cutover


@dataclass(slots=True)
class Trail:
    """The notes of *switch*: in mcpd's database, or from the first that it does not take on in a file beside it."""

    record: Record
    switch: Cutover
    say: Callable[[str], None]
    is_lost: bool = False

    def change(self, state: str, **more: Any) -> None:
        """Note the *state* of the switch, and *more* as ``cutovers.change`` takes it."""
        given = {name: value for name, value in more.items() if value is not None}
        self.switch = dataclasses.replace(self.switch, state=state, **given)
        if self.is_lost:
            self._keep()
            return
        try:
            self.record.change(self.switch.id, state, **more)
        except (Error, OSError) as error:
            self.lose(error)

    def lose(self, error: Error | OSError) -> None:
        """Go on beside the database, which did not take a note for *error*."""
        self.is_lost = True
        reason = error.message if isinstance(error, Error) else str(error)
        self.say(f"{reason}; what is done is noted in {self.record.path.with_name(unwritten.FILE)}")
        self._keep()

    def _keep(self) -> None:
        try:
            unwritten.keep(self.record.path, self.switch)
        except OSError as exc:
            self.say(f"this switch is noted nowhere: {exc}")


def begin(record: Record, direction: str, say: Callable[[str], None]) -> Trail:
    """Return the trail of a switch that begins; raises as ``Record.begin`` does."""
    at_us = now_us()
    return Trail(record, Cutover(record.begin(direction, at_us), direction, "switching", at_us), say)


def begin_anyway(record: Record, direction: str, say: Callable[[str], None]) -> Trail:
    """Return the trail of a switch that begins, whatever the database says."""
    trail = Trail(record, Cutover(0, direction, "switching", now_us()), say)
    try:
        number = record.begin(direction, trail.switch.started_us)
    except (Error, OSError) as error:
        trail.lose(error)
    else:
        trail.switch = dataclasses.replace(trail.switch, id=number)
    return trail

"""Changes that coroutines want: they wait for the next turn, and are committed together with its requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from mcpd.errors import StoreUnavailable
from mcpd.store.turn import Turn

T = TypeVar("T")
Change = Callable[[int], Any]
Settle = Callable[[StoreUnavailable | None], None]
_Done = tuple[Any, BaseException | None]
"""What came of a change. A future takes not every exception as one (StopIteration it refuses), so it gets a value."""


class Jobs:
    """Changes that wait for a turn; *wake* is called when there is the first one."""

    def __init__(self) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.waiting: list[tuple[Change, asyncio.Future[_Done]]] = []

    async def run(self, change: Callable[[int], T]) -> T:
        """Return what *change* returns of the time (µs since the epoch), after it was committed.

        Raises what *change* raises, which is taken back then, and ``StoreUnavailable``.
        """
        future: asyncio.Future[_Done] = asyncio.get_running_loop().create_future()
        if not self.waiting:
            self.wake()
        self.waiting.append((change, future))
        value, fault = await future
        if fault is not None:
            raise fault
        done: T = value
        return done

    def perform(self, turn: Turn, now_us: int) -> Settle:
        """Do in *turn* what waits; return what tells those who wait, once it is known whether it was committed."""
        waiting, self.waiting = self.waiting, []
        done = [(future, *_attempt(turn, change, now_us)) for change, future in waiting if not future.cancelled()]

        def settle(lost: StoreUnavailable | None) -> None:
            for future, value, fault in done:
                if not future.cancelled():
                    future.set_result((value, fault or lost))

        return settle


def _attempt(turn: Turn, change: Change, now_us: int) -> _Done:
    try:
        return turn.run(lambda: change(now_us)), None
    except BaseException as exc:  # noqa: BLE001 - it is raised where the change came from
        return None, exc

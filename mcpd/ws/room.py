"""What the connections of one mcpd-ws share, and what a connection is to those who speak on it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from websockets.frames import CloseCode

from mcpd.access.callers import Caller
from mcpd.bridge.upstream import Upstream
from mcpd.ws.feed import Feed
from mcpd.ws.wire import Codec


class Peer(Protocol):
    """A WebSocket that is open."""

    caller: Caller
    codec: Codec

    @property
    def blocked(self) -> bool:
        """Whether the client takes nothing for now."""

    def write(self, frames: bytes) -> None:
        """Send *frames*; what is sent while ``blocked`` piles up in memory."""

    def become(self, caller: Caller) -> None:
        """Have it speak for *caller* from now on."""

    def hold(self, *, held: bool) -> None:
        """Read nothing more while *held*."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Close it, saying why."""


Verify = Callable[[str], Caller]
"""Return the client whose access token this is; raises ``Unauthorized``."""


@dataclass(slots=True)
class Room:
    """What the connections share; *count* says how many there are, *verify* whose a token is."""

    feed: Feed
    upstream: Upstream
    count: Callable[[], int]
    verify: Verify
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def now_us(self) -> int:
        """Return the time."""
        return time.time_ns() // 1000

    def subscriptions(self) -> dict[str, int]:
        """Return how many connections listen to each name."""
        names: Counter[str] = Counter()
        for group in self.feed.groups:
            names.update(dict.fromkeys(group.subscription.names, len(group.members)))
        return dict(names)

    def start(self, task: asyncio.Task[None]) -> None:
        """Keep *task* until it is done."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Session(Protocol):
    """Who speaks on a connection: one of the dialects, known by its *subprotocol*."""

    subprotocol: ClassVar[str]

    def receive(self, data: bytes) -> None:
        """Take a message, which is text in UTF-8."""

    def drained(self) -> None:
        """The client takes data again."""

    def stuck(self) -> None:
        """The client takes nothing any more."""

    def beat(self, heartbeat: bytes) -> bytes:
        """Return what shows this client that the server lives; *heartbeat* is the event dialect's message."""

    def closed(self) -> None:
        """The client is gone."""

    def is_busy(self) -> bool:
        """Say whether something is under way that another process could not go on with."""

    async def rest(self) -> None:
        """Stop what is under way, but for what ``export`` tells of."""

    def export(self) -> object:
        """Return what another process needs to go on, as a value for msgspec."""

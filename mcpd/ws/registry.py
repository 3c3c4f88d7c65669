"""Who is connected, whose deadline passes and whose turn it is: what the connections of one process share."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from mcpd.access.callers import Caller, Callers
from mcpd.access.origins import OriginGuard
from mcpd.config import Websocket
from mcpd.errors import Error
from mcpd.protocol.head import Unremembered
from mcpd.protocol.http import HttpRequest, Limits
from mcpd.ws import messages, wire
from mcpd.ws.handover import Record
from mcpd.ws.room import Peer, Session, Verify
from mcpd.ws.wire import Codec, Framers

_MAX_HEAD_BYTES = 32768
_MAX_BODY_BYTES = 1024


class Member(Protocol):
    """A connection as the registry sees it."""

    caller: Caller
    session: Session | None

    def beat(self, heartbeat: bytes, dead_s: float) -> None:
        """Show that the server lives; a client last heard before *dead_s* is gone."""

    def overdue(self) -> None:
        """Act on a deadline that has passed."""


class Registry:
    """The connections, and what is theirs together."""

    def __init__(
        self,
        settings: Websocket,
        callers: Callers,
        guard: OriginGuard,
        refused: Callable[[Caller, Error], None],
        pages: Mapping[str, Callable[[HttpRequest], bytes]],
        verify: Verify,
    ) -> None:
        self.settings = settings
        self.callers = callers
        self.guard = guard
        self.refused = refused
        self.pages = pages
        self.verify = verify
        self.limits = Limits(_MAX_HEAD_BYTES, _MAX_BODY_BYTES)
        self.heads = Unremembered()
        self.framers = Framers(settings.max_message_bytes)
        self.connections: set[Member] = set()
        self.of_caller: Counter[str] = Counter()
        self.resting = False
        self.make_session: Callable[[str, Peer, Record | None], Session]
        self.counted: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        self.now_s = self._loop.time()
        self._turns = max(1, round(settings.heartbeat_interval_s))
        self._wheel: list[set[Member]] = [set() for _ in range(self._turns)]
        self._deadlines: dict[Member, float] = {}
        self._codecs = {0: wire.PLAIN}

    @property
    def open(self) -> int:
        """How many WebSockets are open."""
        return sum(map(len, self._wheel))

    def codec(self, deflate: int) -> Codec:
        """Return the codec that all connections share which negotiated *deflate*."""
        if deflate not in self._codecs:
            self._codecs[deflate] = Codec(deflate)
        return self._codecs[deflate]

    def opened(self, member: Member, *, anew: bool = True) -> None:
        """Count *member*, whose WebSocket is open; its turn is the one in which it came, unless all come at once."""
        self.unwatch(member)
        self.of_caller[member.caller.name] += 1
        turn = int(self.now_s) if anew else self.of_caller.total()
        self._wheel[turn % self._turns].add(member)
        self.counted()

    def forget(self, member: Member) -> None:
        """Drop *member*, which is gone."""
        self.connections.discard(member)
        self.unwatch(member)
        for turn in self._wheel:
            if member in turn:
                turn.discard(member)
                self.of_caller[member.caller.name] -= 1
                if not self.of_caller[member.caller.name]:
                    del self.of_caller[member.caller.name]
                self.counted()

    def watch(self, member: Member, for_s: float) -> None:
        """Give *member* so much time."""
        self._deadlines[member] = self._loop.time() + for_s

    def unwatch(self, member: Member) -> None:
        """Give *member* all the time that it wants."""
        self._deadlines.pop(member, None)

    def tick(self) -> None:
        """Act on the deadlines that have passed, and give those a heartbeat whose turn it is; once a second."""
        before_s, self.now_s = self.now_s, self._loop.time()
        for member in [member for member, deadline_s in self._deadlines.items() if deadline_s <= self.now_s]:
            self.unwatch(member)
            member.overdue()
        dead_s = self.now_s - self._turns - self.settings.ping_timeout_s
        heartbeat = messages.heartbeat(time.time())
        # A loop that was held up catches up, but gives nobody two.
        for second in range(max(int(before_s), int(self.now_s) - self._turns) + 1, int(self.now_s) + 1):
            for member in list(self._wheel[second % self._turns]):
                member.beat(heartbeat, dead_s)

"""Every event to everyone who listens, once and in order: each listener is a place in the log.

Those that keep up are told together, a frame made once for all of them. One that does not take what is written falls
behind: it costs nothing more, and reads on from its place when it takes data again.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from mcpd.errors import StoreUnavailable
from mcpd.store.events import RESTORED
from mcpd.ws import messages
from mcpd.ws.log import Entry, Log
from mcpd.ws.topics import Subscription
from mcpd.ws.wire import Codec

_MAX_PAGES = 32


@dataclass(frozen=True, slots=True)
class Replay:
    """What is to be told again: of *subscription*, behind number *seq* and up to *until*."""

    subscription: Subscription
    seq: int
    until: int


class Listener(ABC):
    """One who listens; ``seq`` is the place of one that does not keep up, ``replays`` come before it goes on."""

    __slots__ = ("group", "lags", "replays", "seq")

    def __init__(self) -> None:
        self.group: Group | None = None
        self.seq = 0
        self.replays: tuple[Replay, ...] = ()
        self.lags = False  # it fell behind, while it had kept up before

    @property
    @abstractmethod
    def blocked(self) -> bool:
        """Whether it takes nothing for now."""

    @abstractmethod
    def write(self, frames: bytes) -> None:
        """Send *frames*."""

    @abstractmethod
    def lost(self, first: int | None, last: int, number: int | None) -> None:
        """Tell it that it will not hear the events from number *first* to *last*; None where numbers began anew.

        *number* of them are of those that it listens to; None where that is not known.
        """


class Group:
    """Those who listen to the same over the same *codec*; ``live`` are those that keep up."""

    __slots__ = ("_pages", "codec", "live", "members", "subscription")

    def __init__(self, subscription: Subscription, codec: Codec) -> None:
        self.subscription = subscription
        self.codec = codec
        self.members: set[Listener] = set()
        self.live: set[Listener] = set()
        self._pages: dict[tuple[int, int], bytes] = {}

    def page(self, entries: Sequence[Entry], seq: int, place: int) -> bytes:
        """Return the frames for *entries*, which are those behind *seq* and up to *place*: once for all who lag."""
        frames = self._pages.get((seq, place))
        if frames is None:
            frames = frames_of(entries, self.subscription, self.codec)
            if len(self._pages) >= _MAX_PAGES:
                del self._pages[next(iter(self._pages))]
            self._pages[(seq, place)] = frames
        return frames


def frames_of(entries: Sequence[Entry], subscription: Subscription, codec: Codec) -> bytes:
    """Return the frames that tell those of *entries* that *subscription* asks for."""
    frames = []
    for entry in entries:
        if entry.topic == RESTORED:
            frames.append(codec.text(messages.lagged(None, entry.seq - 1, None)))
        form = subscription.form_of(entry.topic, entry.agent)
        if form is not None:
            frames.append(entry.frame(form, codec))
    return b"".join(frames)


class Feed:
    """Tell listeners what *log* says; one that is more than *max_behind* events behind is told that it lost some."""

    def __init__(self, log: Log, max_behind: int) -> None:
        self.log = log
        self._max_behind = max_behind
        self._groups: dict[tuple[Subscription, int], Group] = {}
        self._loop = asyncio.get_running_loop()
        self._advancing = False
        self._held: list[Listener] | None = None
        self.told = 0

    @property
    def groups(self) -> Iterator[Group]:
        """Those who listen to the same, together."""
        return iter(self._groups.values())

    def place_of(self, listener: Listener) -> int:
        """Return the number up to which *listener* has been told, replays aside."""
        is_live = listener.group is not None and listener in listener.group.live
        return self.log.seq if is_live else listener.seq

    def join(self, listener: Listener, subscription: Subscription, codec: Codec, seq: int) -> None:
        """Have *listener*, which may listen already, listen to *subscription* from behind number *seq* on."""
        self.leave(listener)
        key = (subscription, codec.deflate)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(subscription, codec)
        group.members.add(listener)
        listener.group, listener.seq = group, seq
        self.catch_up(listener)

    def leave(self, listener: Listener) -> None:
        """Forget *listener*."""
        group = listener.group
        if group is None:
            return
        listener.seq = self.place_of(listener)
        listener.group = None
        group.live.discard(listener)
        group.members.discard(listener)
        if not group.members:
            del self._groups[(group.subscription, group.codec.deflate)]

    def fall_behind(self, listener: Listener) -> None:
        """Leave *listener*, which takes nothing any more, at its place."""
        group = listener.group
        if group is not None and listener in group.live:
            group.live.discard(listener)
            listener.seq = self.log.seq
            listener.lags = True

    def catch_up(self, listener: Listener) -> None:
        """Tell *listener* what it has not been told, as long as it takes it; a page a turn of the event loop."""
        group = listener.group
        if group is None or listener.blocked or listener in group.live:
            return
        if self._held is not None:
            self._held.append(listener)
            return
        try:
            done = self._replay(listener, group) if listener.replays else self._go_on(listener, group)
        except StoreUnavailable:
            self._loop.call_later(1.0, self.catch_up, listener)
            return
        if not done:
            self._loop.call_soon(self.catch_up, listener)

    def hold(self) -> None:
        """Tell nobody anything before ``release``: those who come now come from another process, all at once."""
        self._held = []

    def release(self) -> None:
        """Tell everybody what happened meanwhile."""
        held, self._held = self._held or [], None
        for listener in held:
            self._loop.call_soon(self.catch_up, listener)

    def _replay(self, listener: Listener, group: Group) -> bool:
        """Tell a page of the first replay; it is over when nothing is left of it."""
        replay, *rest = listener.replays
        seq = self._skip_deleted(listener, replay.seq, replay.until)
        if seq >= replay.until:
            listener.replays = tuple(rest)
            return False
        entries, place = self.log.page(seq)
        listener.replays = (Replay(replay.subscription, place, replay.until), *rest)
        told = [entry for entry in entries if entry.seq <= replay.until]
        if frames := frames_of(told, replay.subscription, group.codec):
            listener.write(frames)
        return False

    def _go_on(self, listener: Listener, group: Group) -> bool:
        """Tell the page behind the listener's place; say whether it keeps up from now on."""
        newest = self.log.seq
        if listener.lags and newest - listener.seq > self._max_behind:
            first, last = listener.seq + 1, newest - self._max_behind
            number = self.log.count(listener.seq, last, group.subscription)
            listener.seq = last
            listener.lost(first, last, number)
        if listener.seq >= newest:
            listener.seq, listener.lags = newest, False
            group.live.add(listener)
            return True
        seq = self._skip_deleted(listener, listener.seq, newest)
        entries, listener.seq = self.log.page(seq) if seq < newest else ((), seq)
        if entries and (frames := group.page(entries, seq, listener.seq)):
            listener.write(frames)
        return False

    def _skip_deleted(self, listener: Listener, seq: int, until: int) -> int:
        """Return the place to read on from instead of *seq* where what comes behind it is not kept any more."""
        oldest = self.log.oldest()
        if seq + 1 >= oldest:
            return seq
        last = min(oldest - 1, until)
        listener.lost(seq + 1, last, None)
        return last

    def advance(self) -> bool:
        """Tell everybody what was committed since, a page a turn; say whether there was any.

        Raises ``StoreUnavailable``.
        """
        if self._held is not None or not (entries := self.log.read_new()):
            return False
        self.told += len(entries)
        for group in list(self._groups.values()):
            if group.live and (frames := frames_of(entries, group.subscription, group.codec)):
                for listener in list(group.live):
                    listener.write(frames)
        if not self._advancing:
            self._advancing = True
            self._loop.call_soon(self._advance_again)
        return True

    def _advance_again(self) -> None:
        self._advancing = False
        with suppress(StoreUnavailable):  # the next bell, or the next look
            self.advance()

    def restart(self) -> None:
        """Have everybody go on from the newest event of a log that has taken the other's place."""
        for group in list(self._groups.values()):
            for listener in list(group.members):
                listener.replays, listener.seq = (), self.log.seq
                listener.lost(None, self.log.seq, None)

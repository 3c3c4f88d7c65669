"""The event dialect: one client of the old system, or a new one that wants every event by its number."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import msgspec
import orjson

from mcpd.errors import AccessDenied, Error, InsufficientScope, InvalidParams
from mcpd.times import rfc3339
from mcpd.ws import forward, messages, topics
from mcpd.ws.feed import Listener, Replay
from mcpd.ws.messages import Message
from mcpd.ws.room import Peer, Room
from mcpd.ws.streams import Streams
from mcpd.ws.topics import UNASKED, Subscription

_MAX_CALLS = 64


class State(msgspec.Struct, array_like=True):
    """What another process needs to go on with a client of this dialect."""

    client_id: bytes
    names: list[str]
    agents: list[str]
    seq: int
    asked: bool
    replays: list[tuple[list[str], list[str], int, int]]
    streams: list[dict[str, Any]]
    calls: list[bytes]
    lags: bool = False


class Dialect(Listener):
    """One client; it hears activities and states until it says what it wants."""

    subprotocol: ClassVar[str] = ""
    __slots__ = ("_asked", "_calls", "_client_id", "_peer", "_room", "_streams", "_subscription")

    def __init__(self, peer: Peer, room: Room, streams: Streams) -> None:
        super().__init__()
        self._peer = peer
        self._room = room
        self._streams = streams
        self._client_id = uuid.uuid4().bytes
        self._subscription = Subscription(UNASKED)
        self._asked = False
        self._calls: dict[asyncio.Task[None], bytes] | None = None

    def open(self) -> None:
        """Greet a new client, and tell it what happens from now on."""
        feed = self._room.feed
        self._say(messages.connection(str(uuid.UUID(bytes=self._client_id)), feed.log.seq))
        self._say(messages.heartbeat(self._room.now_us() / 1e6))
        feed.join(self, self._subscription, self._peer.codec, feed.log.seq)

    def take_up(self, state: State) -> None:
        """Go on where another process stopped."""
        self._client_id, self._asked = state.client_id, state.asked
        self._subscription = _subscription(state.names, state.agents)
        self.replays = tuple(
            Replay(_subscription(names, agents), seq, until) for names, agents, seq, until in state.replays
        )
        self.lags = state.lags
        for call in state.calls:
            self._forward(messages.read(call, _new_id()), again=True)
        for stream in state.streams:
            self._streams.take_up(self._peer, stream)
        self._room.feed.join(self, self._subscription, self._peer.codec, state.seq)

    def export(self) -> State:
        """Return what ``take_up`` needs."""
        wanted = self._subscription
        replays = [
            (sorted(replay.subscription.names), sorted(replay.subscription.agents), replay.seq, replay.until)
            for replay in self.replays
        ]
        return State(
            self._client_id, sorted(wanted.names), sorted(wanted.agents), self._room.feed.place_of(self),
            self._asked, replays, self._streams.export(self._peer), list((self._calls or {}).values()), self.lags,
        )  # fmt: skip

    # What the connection tells.

    def receive(self, data: bytes) -> None:
        """Take one message."""
        try:
            message = messages.read(data, _new_id())
        except Error as error:
            self._say(messages.error(None, error.message, self._room.now_us()))
            return
        handler = _HANDLERS.get(message.type)
        try:
            if handler is None:
                raise InvalidParams(f"Unknown message type: {message.type[:80]}")
            handler(self, message)
        except Error as error:
            self._say(messages.error(message.id, error.message, self._room.now_us()))

    def drained(self) -> None:
        """Go on telling."""
        self._room.feed.catch_up(self)

    def stuck(self) -> None:
        """Wait at the place that was reached."""
        self._room.feed.fall_behind(self)

    def beat(self, heartbeat: bytes) -> bytes:
        """Return the dialect's own heartbeat."""
        return self._peer.codec.text(heartbeat)

    def closed(self) -> None:
        """Listen no more, and ask for nothing more."""
        self._room.feed.leave(self)
        self._streams.forget(self._peer)
        for task in list(self._calls or ()):
            task.cancel()

    def is_busy(self) -> bool:
        """Say whether an answer of mcpd-rpc is awaited."""
        return bool(self._calls)

    async def rest(self) -> None:
        """Leave what is awaited to ``export``."""

    # What the feed tells.

    @property
    def blocked(self) -> bool:
        """Whether the client takes nothing for now."""
        return self._peer.blocked

    def write(self, frames: bytes) -> None:
        """Send *frames*."""
        self._peer.write(frames)

    def lost(self, first: int | None, last: int, number: int | None) -> None:
        """Tell that events will not be told."""
        self._say(messages.lagged(first, last, number))

    # What clients ask for.

    def _ping(self, message: Message) -> None:
        self._answer(message, "pong", timestamp=self._room.now_us() / 1e6)

    def _authenticate(self, message: Message) -> None:
        """The kernel has told who it is; a token is another matter, and is verified."""
        token = message.fields.get("token")
        caller = self._peer.caller
        if token is None and caller.uid is None and not caller.is_client:
            raise AccessDenied("Token required")
        if token is not None:
            if not isinstance(token, str) or not token:
                raise InvalidParams("token: expected a string")
            client = self._room.verify(token)
            if "read" not in client.scopes:
                raise InsufficientScope("a WebSocket needs the scope read")
            caller = replace(client, is_agent=caller.is_agent)
            self._peer.become(caller)
        self._answer(message, "authenticated", success=True, expires_in=None, caller=caller.name)

    def _subscribe(self, message: Message) -> None:
        names = topics.checked(message.fields.get("topics"), "topics")
        agents = self._agents(message)
        kept = self._subscription.names if self._asked else frozenset()
        if len(kept | names) > topics.MAX_NAMES:
            raise InvalidParams(f"topics: a connection may listen to {topics.MAX_NAMES} at most")
        feed = self._room.feed
        place = feed.place_of(self)
        since = self._since(message, place)
        self._subscription, self._asked = Subscription(kept | names, agents), True
        if since < place:
            self.replays = (*self.replays, Replay(Subscription(names, agents), since, place))
        self._answer(message, "subscribed", topics=message.fields["topics"], seq=since)
        feed.join(self, self._subscription, self._peer.codec, place)

    def _since(self, message: Message, place: int) -> int:
        since = message.fields.get("since")
        if since is None:
            return place
        newest = self._room.feed.log.seq
        if isinstance(since, bool) or not isinstance(since, int) or not 0 <= since <= newest:
            raise InvalidParams(f"since: expected a number from 0 to {newest}, that of the newest event")
        return since

    def _agents(self, message: Message) -> frozenset[str]:
        """Return the agents that *message* narrows the subscription to; what it does not mention stays as it is."""
        if "agent" not in message.fields:
            return self._subscription.agents
        value = message.fields["agent"]
        if value is None:
            return frozenset()
        named = value if isinstance(value, list) else [value]
        if not all(isinstance(name, str) and 0 < len(name) <= topics.MAX_NAMES for name in named):
            raise InvalidParams("agent: expected a name, a list of names, or null for all")
        return frozenset(named)

    def _unsubscribe(self, message: Message) -> None:
        names = topics.checked(message.fields.get("topics"), "topics")
        feed = self._room.feed
        self._subscription = self._subscription.without(names)
        self.replays = tuple(
            Replay(replay.subscription.without(names), replay.seq, replay.until) for replay in self.replays
        )
        self._streams.stop_events(self._peer, names)
        self._answer(message, "unsubscribed", topics=message.fields["topics"])
        feed.join(self, self._subscription, self._peer.codec, feed.place_of(self))

    def _rpc(self, message: Message) -> None:
        if not isinstance(message.fields.get("method"), str):
            raise InvalidParams("method: expected a string")
        if not isinstance(message.fields.get("params", {}), dict):
            raise InvalidParams("params: expected an object")
        if len(self._calls or ()) >= _MAX_CALLS:
            raise Error(f"{_MAX_CALLS} rpc messages of this connection are not answered yet; wait for one", None, 503)
        self._forward(message)

    def _forward(self, message: Message, *, again: bool = False) -> None:
        """Have mcpd-rpc answer *message*; *again* if a process before us may have done so."""
        if self._calls is None:
            self._calls = {}
        task = asyncio.create_task(self._answer_rpc(message, again=again))
        self._calls[task] = orjson.dumps(message.fields | {"id": message.id})
        task.add_done_callback(self._answered)
        self._room.start(task)

    def _answered(self, task: asyncio.Task[None]) -> None:
        assert self._calls is not None
        self._calls.pop(task, None)
        if not self._calls:
            self._calls = None

    async def _answer_rpc(self, message: Message, *, again: bool) -> None:
        try:
            result = await forward.ask(self._room.upstream, self._peer.caller, message, again=again)
        except Error as error:
            self._say(messages.error(message.id, error.message, self._room.now_us(), code=error.code, data=error.data))
        else:
            self._answer(message, "rpc_response", result=result)

    def _stream(self, message: Message) -> None:
        kind = message.fields.get("stream_type")
        params = message.fields.get("params") or {}
        if not isinstance(params, dict):
            raise InvalidParams("params: expected an object")
        if kind == "events":
            self._stream_events(message, params)
        elif kind in ("logs", "metrics"):
            self._streams.open(self._peer, message, kind, params)
        else:
            raise InvalidParams(f"Unknown stream type: {str(kind)[:80]}")

    def _stream_events(self, message: Message, params: Mapping[str, Any]) -> None:
        """A subscription by another name: that of the old system's types of events."""
        types = params.get("types", ["all"])
        names = topics.checked(types, "types")
        listened = sorted(f"event:{name}" for name in names)
        kept = self._subscription.names if self._asked else frozenset()
        topics.checked(listened, "types")
        feed = self._room.feed
        self._subscription = Subscription(kept | set(listened), self._subscription.agents)
        self._asked = True
        self._streams.remember_events(self._peer, message, listened)
        self._answer(message, "stream_started", stream_type="events", subscribed_to=types, seq=feed.place_of(self))
        feed.join(self, self._subscription, self._peer.codec, feed.place_of(self))

    def _stop_stream(self, message: Message) -> None:
        stream_id = message.fields.get("stream_id")
        names = self._streams.close(self._peer, stream_id)
        if names:
            feed = self._room.feed
            self._subscription = self._subscription.without(names)
            feed.join(self, self._subscription, self._peer.codec, feed.place_of(self))
        self._answer(message, "stream_stopped", stream_id=stream_id)

    def _broadcast(self, message: Message) -> None:
        topic, said = message.fields.get("topic"), message.fields.get("message")
        if "write" not in self._peer.caller.scopes:
            raise InsufficientScope("broadcast needs the scope write")
        if not isinstance(topic, str) or not topic or said is None:
            raise InvalidParams("Topic and message required")
        (topic,) = topics.checked([topic], "topic")
        if topics.is_reserved(topic) or "*" in topic:
            raise InvalidParams(f"topic: {topic!r} is not one that clients may speak on")
        sender = self._peer.caller.name
        payload = messages.encode(
            "broadcast", topic=topic, message=said, timestamp=rfc3339(self._room.now_us()), sender=sender
        )
        recipients = 0
        for group in self._room.feed.groups:
            if group.subscription.hears(topic):
                frame = group.codec.text(payload)
                for listener in group.members:
                    if listener is not self and not listener.blocked:
                        listener.write(frame)
                        recipients += 1
        self._answer(message, "broadcast_sent", topic=topic, recipients=recipients)

    def _get_state(self, message: Message) -> None:
        state = {
            "connected_clients": self._room.count(),
            "subscriptions": self._room.subscriptions(),
            "server_time": rfc3339(self._room.now_us()),
            "protocol_version": messages.VERSION,
            "seq": self._room.feed.log.seq,
        }
        self._answer(message, "state", state=state)

    def _handshake(self, message: Message) -> None:
        now = rfc3339(self._room.now_us())
        self._answer(message, "handshake_ack", status="connected", timestamp=now, seq=self._room.feed.log.seq)

    def _answer(self, message: Message, kind: str, **fields: object) -> None:
        self._say(messages.reply(message, kind, **fields))

    def _say(self, payload: bytes) -> None:
        self._peer.write(self._peer.codec.text(payload))


_HANDLERS: Mapping[str, Callable[[Dialect, Message], None]] = {
    "ping": Dialect._ping,
    "authenticate": Dialect._authenticate,
    "subscribe": Dialect._subscribe,
    "unsubscribe": Dialect._unsubscribe,
    "rpc": Dialect._rpc,
    "stream": Dialect._stream,
    "stream_stop": Dialect._stop_stream,
    "broadcast": Dialect._broadcast,
    "get_state": Dialect._get_state,
    "handshake": Dialect._handshake,
}
"""Type of message → what carries it out."""


def _subscription(names: list[str], agents: list[str]) -> Subscription:
    return Subscription(frozenset(names), frozenset(agents))


def _new_id() -> str:
    return str(uuid.uuid4())

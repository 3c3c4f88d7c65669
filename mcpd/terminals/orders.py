"""What mcpd-rpc asks mcpd-ttyd-manager to do with an agent, and the answers; a line of JSON each. Pure.

The manager has systemd's bus and the agents' screens; mcpd-rpc, which everybody talks to, has neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mcpd.errors import AgentFailed, InvalidParams
from mcpd.terminals.keys import MAX_TEXT_BYTES

MAX_LINE_BYTES = 8 * MAX_TEXT_BYTES
MAX_HISTORY_LINES = 2000


class Order(msgspec.Struct, frozen=True, tag_field="do", forbid_unknown_fields=True):
    """Something to do with *agent*, which is the name of one."""

    agent: str


class Start(Order, frozen=True, tag="start"):
    """Start it; one whose command has ended is restarted."""


class Stop(Order, frozen=True, tag="stop"):
    """Stop it."""


class Restart(Order, frozen=True, tag="restart"):
    """Stop and start it."""


class Open(Order, frozen=True, tag="open"):
    """Have its terminal ready for a browser."""


class Send(Order, frozen=True, tag="send"):
    """Type *text* into its terminal, and press Enter."""

    text: str
    enter: bool = True


class Read(Order, frozen=True, tag="read"):
    """Tell what its terminal shows, and *history_lines* above that."""

    history_lines: int = 0


class Changed(msgspec.Struct, frozen=True, tag="changed"):
    """The agent was found in the state *before*, and is in *state* now."""

    before: str
    state: str


class Sent(msgspec.Struct, frozen=True, tag="sent"):
    """The text arrived; *was_seen* on the screen, or it only changed something there."""

    was_seen: bool


class Shown(msgspec.Struct, frozen=True, tag="shown"):
    """What the terminal shows; *ended* says how the agent's command ended, empty while it runs."""

    lines: Sequence[str]
    column: int
    row: int
    ended: str


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It was not done; *wrong* is whether the order was at fault."""

    message: str
    wrong: bool = False


AnyOrder = Start | Stop | Restart | Open | Send | Read
Answer = Changed | Sent | Shown | Refused
_orders: msgspec.json.Decoder[AnyOrder] = msgspec.json.Decoder(AnyOrder)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def encode(message: AnyOrder | Answer) -> bytes:
    """Return *message* as a line."""
    return msgspec.json.encode(message) + b"\n"


def decode_order(line: bytes) -> AnyOrder:
    """Return the order in *line*; raises ``InvalidParams`` naming the fault."""
    try:
        return _orders.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidParams(f"this is no order: {exc}") from exc


def decode_answer(line: bytes) -> Answer:
    """Return the answer in *line*; raises ``AgentFailed`` for what is none."""
    try:
        return _answers.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise AgentFailed("mcpd-ttyd-manager closed the connection, or is of another version", http_status=503) from exc

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
_MAX_LINES_BYTES = MAX_LINE_BYTES // 2


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


class Inspect(Order, frozen=True, tag="inspect"):
    """Tell all there is to know of it: its unit, what its terminal shows, and *history_lines* above that."""

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


class Pane(msgspec.Struct, frozen=True):
    """A terminal: its size, the cursor, the directory and the program in it, and its *lines*.

    The first *above* of them are its history, as far as that was asked for and an answer has room.
    """

    width: int
    height: int
    column: int
    row: int
    pid: int
    cwd: str
    running: str
    title: str
    ended: str
    above: int
    lines: Sequence[str]


class Inspected(msgspec.Struct, frozen=True, tag="inspected"):
    """How an agent is: what it does, how systemd has its unit, and its pane; None where *unseen* says why."""

    state: str
    active: str
    result: str
    pid: int | None
    exit_status: int | None
    pane: Pane | None
    unseen: str = ""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It was not done; *wrong* is whether the order was at fault."""

    message: str
    wrong: bool = False


AnyOrder = Start | Stop | Restart | Open | Send | Read | Inspect
Answer = Changed | Sent | Shown | Inspected | Refused
HARMLESS = (Inspect,)
"""The orders that change nothing, which alone are obeyed on the socket for those who only want to know."""

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


def fitting(lines: Sequence[str]) -> Sequence[str]:
    """Return as many of *lines*, from the end, as an answer has room for."""
    size_bytes = 0
    for number in range(len(lines) - 1, -1, -1):
        size_bytes += len(msgspec.json.encode(lines[number])) + 1
        if size_bytes > _MAX_LINES_BYTES:
            return lines[number + 1 :]
    return lines

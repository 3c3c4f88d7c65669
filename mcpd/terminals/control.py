"""tmux's control mode (tmux(1), CONTROL MODE): bytes from the server in, messages out; bounded, for an agent is there.

A command's answer stands between ``%begin`` and ``%end`` or ``%error``; the third word of ``%begin`` is 1 for commands
that came from this client. Everything else that begins with ``%`` is a notification.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_LINE_BYTES = 1 << 20
MAX_ANSWER_LINES = 4096
_ESCAPE = re.compile(rb"\\([0-7]{3})")
SUBSCRIPTION = "pane"
FIELDS = ("window_activity", "pane_dead", "pane_dead_status", "pane_pid", "pane_width", "pane_height", "pane_title")


class ControlError(Exception):
    """The peer does not speak control mode, or says more than it may."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command of ours came to."""

    ok: bool
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """What a pane printed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pane:
    """The subscribed fields of the pane; *dead_status* is its command's exit status once it is dead."""

    id: str
    dead: bool
    dead_status: int | None
    pid: int | None
    width: int
    height: int
    title: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A screen as *data* that draws it on a terminal of its size."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Attached:
    """The client has its session, and commands have something to be about."""


Message = Answer | Attached | Output | Pane

_FORMAT = " ".join(f"#{{{name}}}" for name in FIELDS)
SUBSCRIBE = f"refresh-client -B '{SUBSCRIPTION}:%*:{_FORMAT}'\n".encode()
"""Tell of a pane whenever one of its fields changes, at most once a second; ``window_activity`` does with output."""


def capture(pane: str) -> bytes:
    """Return the command whose answer is the text on the screen of *pane*."""
    return f"capture-pane -p -t {pane}\n".encode()


# The agent's window is the first of its session, whatever others somebody opens in there.
PLACE = b"display-message -p -t :^ '#{cursor_y} #{cursor_x} #{pane_width} #{pane_height}'\n"
CAPTURE_COLOURS = b"capture-pane -p -e -t :^\n"


def drawing(lines: Sequence[str], place: str) -> Drawing:
    """Return the screen of which ``CAPTURE_COLOURS`` gave the *lines*, and ``PLACE`` the *place*."""
    shown = "\n".join(lines).rstrip("\n").replace("\n", "\x1b[m\r\n")
    row, column, width, height = [_number(word) or 0 for word in [*place.split(), "", "", "", ""][:4]]
    text = f"\x1b[H\x1b[2J{shown}\x1b[m\x1b[{row + 1};{column + 1}H"
    return Drawing(text.encode(), width or 80, height or 24)


REAP = b"run-shell -b true\n"
"""Have tmux look which of its processes have ended: that of a dead pane may be one that it has not noticed.

Built with utempter, as Debian builds it, ``tmux -D`` loses the SIGCHLD that comes while it takes a pane out of utmp.
The pane is dead then, but has no status and never meets its hook ``pane-died``, until some other process of tmux ends.
"""


def output_wanted(wanted: bool) -> bytes:
    """Return the command that switches the stream of ``Output`` on or off."""
    return b"refresh-client -f '%bno-output'\n" % (b"!" if wanted else b"")


class ControlReader:
    """``feed`` bytes, get messages; raises ``ControlError`` when the peer may not go on."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: list[str] | None = None
        self._ours = False

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take *data*; yield the messages that are complete."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > MAX_LINE_BYTES:
            raise ControlError(f"a line is longer than {MAX_LINE_BYTES} bytes")
        for line in lines:
            message = self._read(line)
            if message is not None:
                yield message

    def _read(self, line: bytes) -> Message | None:
        if self._answer is not None:
            return self._read_answer(line, self._answer)
        word, _, rest = line.partition(b" ")
        if word == b"%begin":
            self._answer, self._ours = [], rest.endswith(b" 1")
            return None
        if word == b"%output":
            return Output(unescape(rest.partition(b" ")[2]))
        if word == b"%session-changed":
            return Attached()
        if word == b"%subscription-changed":
            return _pane(rest.decode("utf-8", "replace"))
        return None

    def _read_answer(self, line: bytes, answer: list[str]) -> Answer | None:
        if line.startswith((b"%end ", b"%error ")):
            self._answer = None
            return Answer(line.startswith(b"%end "), tuple(answer)) if self._ours else None
        if len(answer) >= MAX_ANSWER_LINES:
            raise ControlError(f"an answer has more than {MAX_ANSWER_LINES} lines")
        answer.append(line.decode("utf-8", "replace"))
        return None


def unescape(text: bytes) -> bytes:
    """Return what ``%output`` wrote as *text*: characters below 32 and the backslash are three octal digits."""
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 255]), text) if b"\\" in text else text


def _pane(text: str) -> Pane | None:
    """Read ``NAME SESSION WINDOW INDEX PANE … : VALUE``; None for what is no pane of our subscription."""
    head, _, value = text.partition(" : ")
    words, values = head.split(), value.split(" ", len(FIELDS) - 1)
    if len(words) < 5 or words[0] != SUBSCRIPTION or len(values) != len(FIELDS) or not words[4].startswith("%"):
        return None
    fields = dict(zip(FIELDS, values, strict=True))
    return Pane(
        words[4],
        fields["pane_dead"] == "1",
        _number(fields["pane_dead_status"]),
        _number(fields["pane_pid"]),
        _number(fields["pane_width"]) or 80,
        _number(fields["pane_height"]) or 24,
        fields["pane_title"],
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

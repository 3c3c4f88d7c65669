"""tmux's control mode, as tmux 3.3 to 3.5 speaks it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.terminals import control
from mcpd.terminals.control import Answer, Attached, ControlError, ControlReader, Message, Output, Pane

STREAM = (
    b"%begin 1795362635 264 0\n%end 1795362635 264 0\n%session-changed $0 claude-x\n"
    b"%begin 1795362636 269 1\n%end 1795362636 269 1\n"
    b"%subscription-changed pane $0 @0 0 %0 : 1795362635 0  27212 80 24 a title\n"
    b"%begin 1795362637 270 1\n$ echo %end\n%output is text here\n\n%end 1795362637 270 1\n"
    b"%output %0 more\\015\\012\\134 \xc3\xa9\n"
    b"%begin 1795362642 276 1\nparse error: unknown command: bogus\n%error 1795362642 276 1\n"
    b"%subscription-changed pane $0 @0 0 %0 : 1795362650 1 5 27212 80 24 \n"
)
MESSAGES = [
    Attached(),
    Answer(True, ()),
    Pane("%0", False, None, 27212, 80, 24, "a title"),
    Answer(True, ("$ echo %end", "%output is text here", "")),
    Output(b"more\r\n\\ \xc3\xa9"),
    Answer(False, ("parse error: unknown command: bogus",)),
    Pane("%0", True, 5, 27212, 80, 24, ""),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_messages_come_out_however_the_bytes_come_in(cuts: list[int]) -> None:
    reader, found = ControlReader(), list[Message]()
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(edges):
        found += reader.feed(STREAM[start:end])
    assert found == MESSAGES


@given(st.binary(max_size=2000))
def test_an_agents_server_may_say_anything(data: bytes) -> None:
    list(ControlReader().feed(data))


def test_what_has_no_end_is_refused() -> None:
    with pytest.raises(ControlError):
        list(ControlReader().feed(b"x" * (control.MAX_LINE_BYTES + 1)))
    with pytest.raises(ControlError):
        list(ControlReader().feed(b"%begin 1 1 1\n" + b"\n" * (control.MAX_ANSWER_LINES + 1)))


@given(st.binary(max_size=200))
def test_output_is_unescaped(data: bytes) -> None:
    escaped = b"".join(b"\\%03o" % byte if byte < 32 or byte == 92 else bytes([byte]) for byte in data)
    assert control.unescape(escaped) == data


def test_the_commands() -> None:
    assert control.SUBSCRIBE.startswith(b"refresh-client -B 'pane:%*:#{window_activity} #{pane_dead} ")
    assert control.capture("%3") == b"capture-pane -p -t %3\n"
    assert control.output_wanted(True) == b"refresh-client -f '!no-output'\n"
    assert control.output_wanted(False) == b"refresh-client -f 'no-output'\n"

"""What of a message has come can go to another framer, at every byte."""

from __future__ import annotations

import json
import os

import pytest
from websockets.frames import CloseCode, Frame, Opcode

from mcpd.access.callers import Caller
from mcpd.ws import handover, wire
from mcpd.ws.handover import Record
from mcpd.ws.wire import Codec, Framers


def client_frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return bytes(Frame(opcode, data, fin).serialize(mask=True))


STREAM = (
    client_frame(Opcode.TEXT, b"first")
    + client_frame(Opcode.PING, b"p")
    + client_frame(Opcode.TEXT, b"sec", fin=False)
    + client_frame(Opcode.PING, b"between")
    + client_frame(Opcode.CONT, b"ond", fin=True)
    + client_frame(Opcode.TEXT, b"t" * 300)
)


def pings(frames: list[Frame]) -> list[bytes]:
    return [bytes(frame.data) for frame in frames if frame.opcode is Opcode.PING]


def texts(frames: list[Frame]) -> list[bytes]:
    """The whole messages in *frames*, which begin with a message."""
    found, parts = [], b""
    for frame in frames:
        if frame.opcode in (Opcode.TEXT, Opcode.CONT):
            parts += bytes(frame.data)
            if frame.fin:
                found.append(parts)
                parts = b""
    return found


@pytest.mark.parametrize("cut", range(0, len(STREAM), 3))
def test_a_message_goes_on_in_another_framer(cut: int) -> None:
    framers = Framers(1000)
    first, second = framers.borrow(wire.PLAIN), framers.borrow(wire.PLAIN)
    first.receive_data(STREAM[:cut])
    before = [frame for frame in first.events_received() if isinstance(frame, Frame)]
    unread = first.unfinished
    assert first.is_at_rest == (not unread)
    second.receive_data(unread)
    second.receive_data(STREAM[cut:])
    after = [frame for frame in second.events_received() if isinstance(frame, Frame)]
    done = texts(before)
    assert done + texts(after) == [b"first", b"second", b"t" * 300]
    assert pings(before) + pings(after) == [b"p", b"between"]


def test_a_framer_is_used_again_only_for_what_it_is_given_back_for() -> None:
    framers = Framers(1000)
    framer = framers.borrow(wire.PLAIN)
    framers.give_back(framer)
    assert framers.borrow(Codec(12)) is framer
    assert framer.extensions
    framers.give_back(framer)
    assert framers.borrow(wire.PLAIN).extensions == []


def test_a_compressed_frame_is_read_by_who_remembers_nothing() -> None:
    payload = json.dumps({"type": "event", "text": "same " * 100}).encode()
    codec = Codec(wire.WINDOW_BITS)
    frames = [codec.text(payload) for _ in range(2)]
    assert frames[0] == frames[1], "nothing is remembered from one to the next"
    assert len(frames[0]) < len(payload) / 4
    framer = Framers(10_000).borrow(wire.PLAIN)
    framer.extensions = codec.extensions()
    masked = bytes(Frame(Opcode.TEXT, payload).serialize(mask=True, extensions=codec.extensions()))
    framer.receive_data(masked)
    assert texts([frame for frame in framer.events_received() if isinstance(frame, Frame)]) == [payload]


@pytest.mark.parametrize(
    ("offered", "taken"),
    [("mcp", "mcp"), ("chat, mcp", "mcp"), ("chat", ""), (None, "")],
)
def test_which_subprotocol_is_taken(offered: str | None, taken: str) -> None:
    headers = {
        b"host": b"localhost", b"connection": b"Upgrade", b"upgrade": b"websocket", b"sec-websocket-version": b"13",
        b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    if offered is not None:
        headers[b"sec-websocket-protocol"] = offered.encode()
    response, subprotocol, deflate = wire.accept("/", headers, compression=False)
    assert (response.status_code, subprotocol, deflate) == (101, taken, 0)


def test_a_reason_is_cut_where_a_character_ends() -> None:
    frame = wire.close_frame(CloseCode.INTERNAL_ERROR, "ä" * 200)
    assert len(frame) <= 127
    frame[4:].decode()


def test_records_come_back_as_they_were() -> None:
    record = Record("mcp", b"state", Caller("agent:a", True, is_agent=True, uid=7), 12, b"unread", b"unsent")
    assert handover.read([handover.write({5: record}), handover.write({6: record})]) == {5: record, 6: record}


def test_a_file_of_another_version_is_left_aside() -> None:
    fd = os.memfd_create("other")
    os.write(fd, b"\xc1nonsense")
    assert handover.read([fd]) == {}
    os.close(fd)

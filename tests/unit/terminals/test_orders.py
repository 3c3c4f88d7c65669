"""Orders and their answers as lines, and commands as tmux's control mode reads them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from mcpd.errors import AgentFailed, InvalidParams
from mcpd.terminals import orders, watched
from mcpd.terminals.control import Answer
from mcpd.terminals.fleet import Fleet
from mcpd.terminals.orders import Changed, Read, Refused, Send, Sent, Shown, Start


@pytest.mark.parametrize("order", [Start("a"), Send("a", 'ü\n"', False), Read("a", 7)])
def test_an_order_is_one_line_and_comes_back(order: orders.AnyOrder) -> None:
    line = orders.encode(order)
    assert line.count(b"\n") == 1
    assert orders.decode_order(line) == order


NO_ORDERS = [
    b"",
    b"[]",
    b"{}",
    b'{"do":"kill","agent":"a"}',
    b'{"do":"send","agent":"a"}',
    b'{"do":"start","agent":5}',
    b'{"do":"start","agent":"a","x":1}',
    b"\xff",
]


@pytest.mark.parametrize("line", NO_ORDERS)
def test_what_is_no_order_is_refused_with_a_reason(line: bytes) -> None:
    with pytest.raises(InvalidParams, match="this is no order: "):
        orders.decode_order(line)


@pytest.mark.parametrize("answer", [Changed("idle", "absent"), Sent(True), Shown(["x"], 1, 2, ""), Refused("no")])
def test_an_answer_comes_back(answer: orders.Answer) -> None:
    found = orders.decode_answer(orders.encode(answer))
    assert orders.encode(found) == orders.encode(answer)


@pytest.mark.parametrize(
    ("argument", "quoted"),
    [
        ("plain; x", b'"plain; x"'),
        ("a\nb\tc", b'"a\\012b\\011c"'),
        ('"$HOME\\', b'"\\"\\$HOME\\\\"'),
        ("'~#{x}%", b'"\'~#{x}%"'),
        ("\x1b\x7f", b'"\\033\\177"'),
    ],
)
def test_an_argument_is_quoted_so_that_tmux_takes_it_as_it_is(argument: str, quoted: bytes) -> None:
    assert watched.line(["send-keys", argument]) == b'"send-keys" ' + quoted + b"\n"


def test_a_long_text_is_pasted_in_parts_and_a_complaint_is_an_error() -> None:
    sent: list[bytes] = []

    def ask(lines: Sequence[bytes]) -> list[Answer]:
        sent.extend(lines)
        return [Answer(len(sent) < 4, ("can't find pane",))]

    tmux = watched.WatchedTmux(Path("/x"), "claude-x", ask)
    tmux.paste("é" * 20_000)
    assert [line.split()[:3] for line in sent] == [
        [b'"set-buffer"', b'"-b"', b'"mcpd"'],
        [b'"set-buffer"', b'"-a"', b'"-b"'],
        [b'"paste-buffer"', b'"-d"', b'"-p"'],
    ]
    assert sum(line.count("é".encode()) for line in sent) == 20_000
    with pytest.raises(AgentFailed, match="claude-x is not running"):
        tmux.screen()


def ask_one(answer: bytes, tmp_path: Path) -> None:
    """Give an order to a manager that answers *answer*."""

    async def scene() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path := f"{tmp_path}/c")
            listener.listen()

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readline()
                writer.write(answer)
                writer.close()

            async with await asyncio.start_unix_server(serve, sock=listener):
                await Fleet((), Path(path)).ask(Start("a"))

    asyncio.run(scene())


def test_what_the_manager_says_becomes_the_error_that_it_is(tmp_path: Path) -> None:
    with pytest.raises(AgentFailed, match="nothing doing"):
        ask_one(orders.encode(Refused("nothing doing")), tmp_path)


@pytest.mark.parametrize("answer", [b"", b"garbage\n"])
def test_a_manager_that_says_nothing_sensible_is_unavailable(answer: bytes, tmp_path: Path) -> None:
    with pytest.raises(AgentFailed) as failed:
        ask_one(answer, tmp_path)
    assert failed.value.http_status == 503


def test_no_manager_is_said() -> None:
    with pytest.raises(AgentFailed, match="cannot be reached at /nowhere/c: No such file") as failed:
        asyncio.run(Fleet((), Path("/nowhere/c")).ask(Start("a")))
    assert failed.value.http_status == 503

"""What mcpd-rpc says of mcpd-ws is so."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mcpd.server.websockets import Websockets


def test_a_port_that_is_open_is_told_from_one_that_is_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert Websockets(port, tmp_path).listens()
    assert not Websockets(port, tmp_path).listens()


@pytest.mark.parametrize(("text", "count"), [("12", 12), ("0", 0), ("", None), ("x", None), (None, None)])
def test_the_number_of_clients(tmp_path: Path, text: str | None, count: int | None) -> None:
    place = tmp_path / "clients"
    if text is not None:
        place.write_text(text)
    assert Websockets(count_file=place).clients() == count

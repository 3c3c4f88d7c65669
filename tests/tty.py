"""A client of ttyd's protocol over a WebSocket: what the page in the browser does, without the browser.

As a program it keeps a terminal open in which a counter runs, connects again as the page does, and says at the end
what it saw: ``python -m tests.tty PORT``, until a line comes on stdin.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
import time
from http.client import HTTPConnection
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect, unix_connect

TIMEOUT_S = 20.0
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?>]*[A-Za-z]|[()][A-Z0-9]|[=>])")
COUNTER = "i=0; while :; do i=$((i+1)); echo n$i; sleep 0.05; done\r"


class Tty:
    """One open terminal."""

    def __init__(self, port: int, *, origin: str | None = "", path: str | None = None, size: str = "80x24") -> None:
        """Open the terminal at *port*, or straight at ttyd's Unix socket *path*, as the page of *origin* (its own)."""
        own = f"http://127.0.0.1:{port}"
        options: dict[str, Any] = {
            "origin": own if origin == "" else origin,
            "subprotocols": ["tty"],
            "compression": None,
            "open_timeout": TIMEOUT_S,
            "close_timeout": 1,
            "max_size": None,
        }
        url = f"ws://127.0.0.1:{port}/ws"
        connecting = connect(url, **options) if path is None else unix_connect(path, url, **options)
        self._socket = connecting.__enter__()  # until close()
        self.resize(size, first=True)
        self.text = ""

    def resize(self, size: str, *, first: bool = False) -> None:
        """Tell that the browser's terminal has COLUMNSxROWS."""
        columns, _, rows = size.partition("x")
        begin = '{"AuthToken":"",' if first else "1{"
        self._socket.send(f'{begin}"columns":{columns},"rows":{rows}}}'.encode())

    def type(self, text: str) -> None:
        """Type *text*."""
        self._socket.send(b"0" + text.encode())

    def read_until(self, wanted: str, timeout_s: float = TIMEOUT_S) -> str:
        """Read output until *wanted* came; return all of it."""
        deadline_s = time.monotonic() + timeout_s
        while wanted not in self.text:
            self._take(max(deadline_s - time.monotonic(), 0.01))
        return self.text

    def drain_until(self, wanted: bytes) -> None:
        """Read and drop output until *wanted* came."""
        last = b""
        while wanted not in last:
            message = self._socket.recv(timeout=TIMEOUT_S)
            data = message if isinstance(message, bytes) else message.encode()
            last = last[-len(wanted) :] + data[1:]

    def pump(self, seconds: float) -> None:
        """Read what comes within *seconds*."""
        end_s = time.monotonic() + seconds
        with contextlib.suppress(TimeoutError):
            while (left_s := end_s - time.monotonic()) > 0:
                self._take(left_s)

    def _take(self, timeout_s: float) -> None:
        message = self._socket.recv(timeout=timeout_s)
        data = message if isinstance(message, bytes) else message.encode()
        if data[:1] == b"0":
            self.text += data[1:].decode("utf-8", "replace")

    def close(self) -> None:
        self._socket.close()

    @property
    def lines(self) -> list[str]:
        """What was written, without tmux's cursor movements in between."""
        return plain(self.text).split("\r\n")


def plain(text: str) -> str:
    """Return *text* without escape sequences."""
    return _ESCAPE.sub("", text)


def token(port: int) -> None:
    """Ask for the token, as the page does before it connects again."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/token")
    connection.getresponse().read()
    connection.close()


def _count(port: int, ended: threading.Event) -> dict[str, object]:
    tty, text, reconnects = Tty(port), "", 0
    tty.read_until("$")
    tty.type(COUNTER)
    tty.read_until("n5\r")
    print("ready", flush=True)
    while not ended.is_set():
        try:
            tty.pump(0.2)
        except (WebSocketException, OSError):
            text, reconnects = text + tty.text, reconnects + 1
            while True:
                try:
                    token(port)
                    tty = Tty(port)
                    break
                except (WebSocketException, OSError):
                    time.sleep(0.05)
    numbers = [int(number) for number in re.findall(r"n(\d+)\r", plain(text + tty.text))]
    return {"last": max(numbers), "reconnects": reconnects, "numbers": numbers}


def main() -> None:
    """Count until a line comes."""
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.readline()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    print(json.dumps(_count(int(sys.argv[1]), ended)))


if __name__ == "__main__":
    main()

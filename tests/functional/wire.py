"""What goes over the wire between a client and the daemon, kept by somebody who stands between them."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httptools
import orjson

from mcpd.protocol.revisions import PROTOCOL_VERSION
from mcpd.protocol.sse import EventReader
from tests.functional.daemon import Daemon

Json = dict[str, Any]


@dataclass(frozen=True)
class Exchange:
    """One HTTP request's messages and those that came back for it, each message of the revision ``revision``."""

    revision: str
    sent: list[Json]
    received: list[Json]


@dataclass
class _Connection:
    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)


class Tap:
    """Listens beside *rpc*, on TCP and on a Unix socket, and passes everything on to it."""

    def __init__(self, rpc: Daemon) -> None:
        self._connections: list[_Connection] = []
        self._stack = ExitStack()
        directory = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="mcpd"))
        tcp = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{tcp.getsockname()[1]}"
        self.socket_path = Path(directory) / "mcp.sock"
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(str(self.socket_path))
        unix.listen()
        self._listen(tcp, partial(socket.create_connection, ("127.0.0.1", rpc.port)))
        self._listen(unix, partial(_connect_unix, rpc.socket_path))

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def exchanges(self) -> list[Exchange]:
        """Return what was said so far."""
        pairs = [pair for connection in self._connections for pair in _pairs(connection)]
        opened = [
            message["result"]["protocolVersion"]
            for _, received in pairs
            for message in received
            if "protocolVersion" in message.get("result", {})
        ]
        session = opened[0] if opened else ""
        return [Exchange(_stateless(sent) or session, sent, received) for sent, received in pairs]

    def revisions(self, method: str) -> set[str]:
        """Return the revisions in which *method* was requested."""
        return {
            exchange.revision
            for exchange in self.exchanges()
            if any(message.get("method") == method for message in exchange.sent)
        }

    def _listen(self, listener: socket.socket, connect: Any) -> None:
        thread = threading.Thread(target=self._accept, args=(listener, connect), daemon=True)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(_shut, listener)

    def _accept(self, listener: socket.socket, connect: Any) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = connect()
            for sock in (client, server):
                self._stack.callback(_shut, sock)
            kept = _Connection()
            self._connections.append(kept)
            for pump in ((client, server, kept.sent), (server, client, kept.received)):
                threading.Thread(target=_pump, args=pump, daemon=True).start()


def _connect_unix(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    return sock


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _pump(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            kept += data
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _stateless(sent: list[Json]) -> str | None:
    for message in sent:
        version = message.get("params", {}).get("_meta", {}).get(PROTOCOL_VERSION)
        if version is not None:
            return str(version)
    return None


def _pairs(connection: _Connection) -> Iterator[tuple[list[Json], list[Json]]]:
    requests, responses = _Bodies(), _Bodies()
    httptools.HttpRequestParser(requests).feed_data(bytes(connection.sent))
    httptools.HttpResponseParser(responses).feed_data(bytes(connection.received))
    for request, response in zip(requests.messages, responses.messages, strict=False):
        yield request(), response()


class _Bodies:
    """Callbacks for httptools: collects the JSON in each body, also in one that was cut off."""

    def __init__(self) -> None:
        self._bodies: list[tuple[list[bytes], list[bytes]]] = []

    def on_message_begin(self) -> None:
        self._bodies.append(([], []))

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self._bodies[-1][0].append(value)

    def on_body(self, data: bytes) -> None:
        self._bodies[-1][1].append(data)

    @property
    def messages(self) -> list[Any]:
        return [partial(_messages, b"".join(types), b"".join(parts)) for types, parts in self._bodies]


def _messages(content_type: bytes, body: bytes) -> list[Json]:
    if content_type.startswith(b"text/event-stream"):
        # The first event of /sse is a path, and no message.
        texts = [event.data for event in EventReader().receive_data(body) if event.data.startswith((b"{", b"["))]
        return [orjson.loads(text) for text in texts]
    if not content_type.startswith(b"application/json") or not body:
        return []
    decoded = orjson.loads(body)
    return decoded if isinstance(decoded, list) else [decoded]

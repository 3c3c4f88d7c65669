"""Cold start: a connection waits on a socket that somebody else holds, and the daemon is started to answer it."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from tests.bench.messages import FIND_OWNER, MODERN
from tests.bench.servers import daemon_in

_TIMEOUT_S = 30.0


def cold_starts(directory: Path, count: int) -> list[float]:
    """Return the seconds from connect to the whole answer of *count* starts, as systemd starts a daemon.

    One start more goes first, unmeasured: it compiles the modules, which a package brings compiled.
    """
    daemon = daemon_in(directory)
    try:
        daemon.migrate()
        taken_s = []
        for _ in range(count + 1):
            started_s = time.perf_counter()
            with socket.create_connection(("127.0.0.1", daemon.port), timeout=_TIMEOUT_S) as connection:
                connection.sendall(_call(daemon.port))
                daemon.start()
                answer = connection.recv(65536)
                taken_s.append(time.perf_counter() - started_s)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"a cold start was answered with {answer!r}")
            daemon.stop()
        return taken_s[1:]
    finally:
        daemon.close()


def _call(port: int) -> bytes:
    request = FIND_OWNER.request(MODERN)
    headers = {"Host": f"127.0.0.1:{port}", **request.headers, "Content-Length": str(len(request.body))}
    lines = ["POST /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", request.body]).encode()

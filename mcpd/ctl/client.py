"""mcpd's HTTP as mcpctl speaks it: to the Unix socket by default, so that the kernel vouches for the caller.

Every way in which a request can go wrong becomes an ``Error`` that says what was tried and what to do about it.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mcpd.errors import AccessDenied, Error, StoreUnavailable, Unreachable, UsageError

DEFAULT_URL = "unix:/run/mcpd/mcp.sock"
TIMEOUT_S = 15.0  # longer than the watchdog takes to replace a daemon that hangs
START = "systemctl start mcp.target"
FORWARD = "mcpctl rollback --forward, since the old system serves"
_HANGS = "systemd replaces a daemon that hangs; try again, or see mcpctl logs rpc"


class Refused(Error):
    """mcpd answered and says no."""

    exit_status = 1


class NoAnswer(Unreachable):
    """No answer came: *what* happened, and what *hint* there is of what to do."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"{what}; {hint}" if hint else what)
        self.what = what
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where mcpd-rpc listens: the Unix socket *path*, or *host* and *port*; *url* is what the user called it."""

    url: str
    path: str | None = None
    host: str = "localhost"
    port: int = 80


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and the JSON object that came with it."""

    status: int
    body: dict[str, Any]

    @property
    def reason(self) -> str:
        """What an answer other than 200 says of itself."""
        error = self.body.get("error", self.body.get("reason"))
        if isinstance(error, dict):
            error = error.get("message")
        return str(error) if error else f"the request was answered with HTTP {self.status} and no reason"


def endpoint(url: str) -> Endpoint:
    """Return what *url* names; raises ``UsageError``."""
    if url.startswith("unix:"):
        path = url.removeprefix("unix:")
        if not path.startswith("/"):
            raise UsageError(f"--url {url}: expected an absolute path, as in unix:/run/mcpd/mcp.sock")
        return Endpoint(url, path)
    wrong = UsageError(f"--url {url}: expected http://HOST:PORT or unix:PATH")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise wrong from exc
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.username:
        raise wrong
    return Endpoint(url, None, parts.hostname, port or 80)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """A connection to the mcpd-rpc at *where*; one request at a time."""

    def __init__(self, where: Endpoint, timeout_s: float = TIMEOUT_S) -> None:
        self._where = where
        self._timeout_s = timeout_s
        self._connection = (
            http.client.HTTPConnection(where.host, where.port, timeout=timeout_s)
            if where.path is None
            else _UnixConnection(where.path, timeout_s)
        )

    def get(self, path: str) -> dict[str, Any]:
        """Return what *path* answers; raises ``AccessDenied``, ``StoreUnavailable``, ``Refused``, ``Unreachable``."""
        answer = self.request("GET", path)
        if answer.status != 200:
            raise refusal(answer)
        return answer.body

    def change(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Return what *method* on *path*, with *body* as JSON if there is one, answers; raises what ``get`` raises."""
        sent = b"" if body is None else json.dumps(body).encode()
        answer = self.request(method, path, sent, {"Content-Type": "application/json"})
        if answer.status not in (200, 201):
            raise refusal(answer)
        return answer.body

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Return the answer whatever its status; raises ``Unreachable`` or, for the socket file, ``AccessDenied``."""
        with self._connection_errors():
            self._connection.request(method, path, body or None, dict(headers or {}))
            response = self._connection.getresponse()
        return self._read(response)

    def _read(self, response: http.client.HTTPResponse) -> Answer:
        with self._connection_errors():
            raw = response.read()
        try:
            value = json.loads(raw)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise NoAnswer(f"what answers at {self._where.url} is not mcpd: HTTP {response.status} without JSON")
        return Answer(response.status, value)

    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[bytes]:
        """Yield what comes of the stream *path* until the server ends it; raises as ``get`` does."""
        with self._connection_errors():
            self._connection.request("GET", path, None, dict(headers))
            response = self._connection.getresponse()
        if response.status != 200:
            raise refusal(self._read(response))
        while True:
            with self._connection_errors():
                data = response.read1(65536)
            if not data:
                return
            yield data

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def _connection_errors(self) -> Iterator[None]:
        url = self._where.url
        try:
            yield
        except TimeoutError as exc:
            raise NoAnswer(f"mcpd does not answer at {url} within {self._timeout_s:g} s", _HANGS) from exc
        except FileNotFoundError as exc:
            raise NoAnswer(f"mcpd does not listen at {url}: there is no such socket", start()) from exc
        except ConnectionRefusedError as exc:
            raise NoAnswer(f"nobody listens at {url}", start()) from exc
        except PermissionError as exc:
            raise AccessDenied(f"you may not connect to {url}: {exc.strerror}; run as root, by sudo") from exc
        except (ConnectionError, http.client.HTTPException) as exc:
            what = str(exc) or type(exc).__name__
            raise NoAnswer(f"the connection to {url} broke before an answer came: {what}", _HANGS) from exc
        except OSError as exc:
            raise NoAnswer(f"cannot reach {url}: {exc.strerror or exc}") from exc


def start() -> str:
    """Return what makes mcpd listen: while the old system serves, ``START`` would stop that and bring nothing over."""
    from mcpd.ctl.cutover import switching

    return FORWARD if switching.old_serves() else START


def refusal(answer: Answer) -> Error:
    """Return the error that *answer*, of another status than 200, amounts to."""
    return _REFUSALS.get(answer.status, Refused)(answer.reason)


_REFUSALS: dict[int, type[Error]] = {403: AccessDenied, 503: StoreUnavailable}

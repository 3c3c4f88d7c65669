"""mcpd-hook: pass an event of an agent's hooks on to mcpd-rpc, and print what it answers.

An agent waits for every hook that it runs, so this imports next to nothing, waits for a bounded time, and whatever
happens lets the agent go on: ``{"continue": true}`` and exit status 0. What went wrong is in the journal.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time

TYPE_CHECKING = False  # typing's own would be a fifth of the time until we can speak
if TYPE_CHECKING:
    import argparse

NAME = "mcpd-hook"
DEFAULT_SOCKET = "/run/mcpd/mcp.sock"
TIMEOUT_S = 2.0
MAX_PAYLOAD_BYTES = 4 << 20
_MAX_ANSWER_BYTES = 1 << 20
_CHUNK_BYTES = 65536
_CONTINUE = b'{"continue":true'
_EX_USAGE = 64
_STDIN, _STDOUT, _STDERR = 0, 1, 2


class _Failed(Exception):
    """The event could not be told; the words for the journal."""


def parser() -> argparse.ArgumentParser:
    """Return the command line of mcpd-hook."""
    import argparse

    from mcpd import __version__

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> None:  # type: ignore[override]
            self.exit(_EX_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")  # 2 would block the agent

    result = Parser(
        prog=NAME, description="Tell mcpd of an event of an agent.", epilog=f"See {NAME}(1).", allow_abbrev=False
    )
    result.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    result.add_argument("--socket", metavar="PATH", default=DEFAULT_SOCKET, help="the Unix socket of mcpd-rpc")
    result.add_argument("--timeout", metavar="SECONDS", type=float, default=TIMEOUT_S, help="how long to wait for it")
    result.add_argument("event", metavar="EVENT", help="the event's name, such as PreToolUse")
    return result


def main() -> None:
    """Run the hook."""
    event, path, timeout_s = _command_line(sys.argv[1:])
    try:
        answer = _ask(path, event, _payload(timeout_s), timeout_s)
    except (_Failed, OSError) as exc:
        answer = _CONTINUE + b"}"
        _complain(event, str(exc) or type(exc).__name__)
    _write(_STDOUT, answer + b"\n")
    os._exit(0)  # the interpreter's own end would take as long as the rest


def _command_line(words: list[str]) -> tuple[str, str, float]:
    if len(words) == 1 and not words[0].startswith("-"):
        return words[0], DEFAULT_SOCKET, TIMEOUT_S
    given = parser().parse_args(words)
    return given.event, given.socket, min(max(given.timeout, 0.01), 60.0)


def _payload(timeout_s: float) -> bytes:
    """Return what stands on stdin; what is too much is read all the same, so that the agent can finish writing it."""
    if os.isatty(_STDIN):
        raise _Failed("stdin is a terminal; expected the event's payload, a JSON object")
    deadline_s = time.monotonic() + timeout_s
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not select.select([_STDIN], [], [], left_s)[0]:
            raise _Failed(f"stdin did not end within {timeout_s:g} s")
        part = os.read(_STDIN, _CHUNK_BYTES)
        if not part:
            break
        size_bytes += len(part)
        if size_bytes <= MAX_PAYLOAD_BYTES:
            parts.append(part)
    if size_bytes > MAX_PAYLOAD_BYTES:
        raise _Failed(f"the payload has {size_bytes} bytes; at most {MAX_PAYLOAD_BYTES} are passed on")
    return b"".join(parts)


def _ask(path: str, event: str, payload: bytes, timeout_s: float) -> bytes:
    """Return what mcpd-rpc has the hook print."""
    if not event.replace("-", "").replace("_", "").isalnum() or not event.isascii():
        raise _Failed(f"unknown event {event[:80]!r}")
    head = (
        f"POST /api/mcp/hooks/{event} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\nConnection: close\r\n{_named(event)}\r\n"
    )
    with socket.socket(socket.AF_UNIX) as connection:
        answer = _exchange(connection, path, head.encode() + payload, timeout_s)
    status, _, rest = answer.partition(b"\r\n")
    _, found, body = rest.partition(b"\r\n\r\n")
    if not found or b" 200" not in status[:13] or not body.startswith(_CONTINUE):
        raise _Failed(f"mcpd-rpc refused: {(body or answer)[:500].decode('utf-8', 'replace')}")
    return body


def _named(event: str) -> str:
    """Return the header that names the agent, percent-encoded (RFC 3986) as urllib would, which takes long to import.

    A name that nobody could read on a screen is left out: what the agent does is worth more than whose it is.
    """
    agent = os.environ.get("CLAUDE_AGENT_NAME") or os.environ.get("AGENT_NAME") or ""
    if not agent.isprintable():
        _complain(event, f"the agent's name, which is not printable: {ascii(agent)[:80]}")
        return ""
    encoded = "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x25 else f"%{byte:02X}" for byte in agent.encode())
    return f"X-Agent-Name: {encoded}\r\n" if encoded else ""


def _exchange(connection: socket.socket, path: str, request: bytes, timeout_s: float) -> bytes:
    deadline_s = time.monotonic() + timeout_s
    parts: list[bytes] = []
    size_bytes = 0
    try:
        connection.settimeout(timeout_s)
        connection.connect(path)
        connection.sendall(request)
        while size_bytes < _MAX_ANSWER_BYTES:
            connection.settimeout(max(deadline_s - time.monotonic(), 0.001))
            part = connection.recv(_CHUNK_BYTES)
            if not part:
                return b"".join(parts)
            parts.append(part)
            size_bytes += len(part)
    except TimeoutError:
        raise _Failed(f"mcpd-rpc did not answer at {path} within {timeout_s:g} s") from None
    except OSError as exc:
        raise _Failed(f"mcpd-rpc cannot be reached at {path}: {exc.strerror or exc}") from None
    raise _Failed("the answer has no end")


def _complain(event: str, what: str) -> None:
    """Say on stderr, which agents show to nobody, and in the journal what went wrong."""
    shown = event[:80] if event.isprintable() else ascii(event[:80])
    text = f"{shown}: not told: {what}"
    _write(_STDERR, f"{NAME}: {text}\n".encode("utf-8", "backslashreplace"))
    try:
        from systemd import journal

        journal.send(text, PRIORITY=4, SYSLOG_IDENTIFIER=NAME)
    except (ImportError, OSError, ValueError):  # no journal here; the agent goes on
        return


def _write(descriptor: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:  # nobody reads it
        return


if __name__ == "__main__":
    main()

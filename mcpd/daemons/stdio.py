"""mcpd-stdio: for clients that start their server themselves, pass stdin and stdout on to mcpd-rpc."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from typing import NoReturn

from mcpd import __version__
from mcpd.bridge.bridge import Bridge
from mcpd.bridge.pipes import Input, Output
from mcpd.bridge.upstream import Upstream
from mcpd.errors import EX_USAGE, Error

NAME = "mcpd-stdio"
DEFAULT_SOCKET = "/run/mcpd/mcp.sock"
TIMEOUT_S = 30.0
_STDIN, _STDOUT, _STDERR = 0, 1, 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EX_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Return the command line of mcpd-stdio."""
    result = _Parser(
        prog=NAME, description="Serve MCP on stdin and stdout.", epilog=f"See {NAME}(1).", allow_abbrev=False
    )
    result.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    result.add_argument("--socket", metavar="PATH", default=DEFAULT_SOCKET, help="the Unix socket of mcpd-rpc")
    result.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, default=TIMEOUT_S, help="how long mcpd-rpc may be away"
    )
    return result


def main() -> None:
    """Run the bridge."""
    arguments = parser().parse_args()
    status = asyncio.run(_run(arguments.socket, arguments.timeout))
    os._exit(status)  # a thread may still wait for the client, and nothing is left to clean up


async def _run(path: str, timeout_s: float) -> int:
    bridge = Bridge(Upstream(path, timeout_s), Output(_STDOUT), _complain)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, bridge.stop)
    try:
        await bridge.run(Input(_STDIN))
    except Error as error:
        return error.exit_status
    return 0


def _complain(text: str) -> None:
    try:
        os.write(_STDERR, f"{NAME}: {text}\n".encode())
    except OSError:  # nobody is there to read it
        return


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds, got {text}")
    return value


if __name__ == "__main__":
    main()

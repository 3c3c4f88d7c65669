"""Clients that nobody here wrote: where packaging/test has put them, how each is driven, what it must end up speaking.

An SDK runs in its own process and runtime, in a script of ``clients/`` for its family; a program with a command line of
its own is run once for each request. Either way a test sees what the client's user would see.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.functional import stdio

CLIENTS = Path(__file__).parent / "clients"
ANSWER_S = 20.0
MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"
Json = dict[str, Any]


def installed(package: str) -> Path:
    """Return the environment of *package*; packaging/test installs them all, a bare pytest need not have them."""
    place = os.environ.get("MCPD_FOREIGN")
    if place is None and "CI" in os.environ:
        pytest.fail("MCPD_FOREIGN is not set")
    if place is None:
        pytest.skip("MCPD_FOREIGN is not set; packaging/test sets it", allow_module_level=True)
    return Path(place) / package


def node() -> str:
    """Return the Node that is new enough for every package."""
    return str(installed("node-22.23.3") / "node_modules/.bin/node")


@dataclass(frozen=True)
class Server:
    """Where clients find mcpd: at *url*, or by starting *command*."""

    url: str
    command: list[str]


def at(url: str, socket_path: Path) -> dict[str, Server]:
    """Return, by transport, the server that listens at *url* and on *socket_path*."""
    # A client hands its own environment on to few variables; PYTHONPATH is none of them.
    command = ["/usr/bin/env", f"PYTHONPATH={stdio.environment()['PYTHONPATH']}", *stdio.command(socket_path)]
    return {
        "http": Server(f"{url}/mcp", []),
        "sse": Server(f"{url}/sse", []),
        "stdio": Server("", command),
    }


class Client(Protocol):
    """A client that is connected, or connects for each request."""

    def ask(self, method: str, /, **params: Any) -> Json:
        """Return the result of *method*, or ``{"error": {"message": …}}``, with the code if the client tells it."""


Family = Callable[..., AbstractContextManager[Client]]


class Piped:
    """A client whose script (``driver``) answers on its standard output."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answer()

    def ask(self, method: str, /, **params: Any) -> Json:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"method": method, "params": params}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Json:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_S)
        assert ready, f"the client said nothing for {ANSWER_S:g} s"
        line = self._process.stdout.readline()
        assert line, f"the client ended with status {self._process.wait(ANSWER_S)}; its stderr is above"
        answer: Json = json.loads(line)
        return answer


def _environment() -> dict[str, str]:
    """The caller's, without what is for its own interpreter; programs find the Node that they need."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"PATH": f"{Path(node()).parent}:{kept['PATH']}"}


@contextmanager
def piped(command: list[str]) -> Iterator[Client]:
    """Run a script of ``clients/``; it must end well."""
    with ExitStack() as stack:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=_environment()
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        yield Piped(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(ANSWER_S) == 0


def python(script: str) -> Family:
    """Return the family of Python clients that *script* drives."""

    def start(program: Program, server: Server, *options: str) -> AbstractContextManager[Client]:
        interpreter = installed(program.package) / "bin/python"
        return piped([str(interpreter), str(CLIENTS / script), *_wanted(program, server), *options])

    return start


def typescript(script: str) -> Family:
    """Return the family of TypeScript clients that *script* drives."""

    def start(program: Program, server: Server, *options: str) -> AbstractContextManager[Client]:
        package = installed(program.package)
        return piped([node(), str(CLIENTS / script), str(package), *_wanted(program, server), *options])

    return start


def _wanted(program: Program, server: Server) -> list[str]:
    return [json.dumps(server.command) if server.command else server.url, *filter(None, [program.mode])]


@dataclass(frozen=True)
class Inspector:
    """The Inspector's command line; its ``mode`` is the era to negotiate."""

    program: Program
    server: Server
    home: Path

    def ask(self, method: str, /, **params: Any) -> Json:
        command = [str(installed(self.program.package) / "node_modules/.bin/mcp-inspector"), "--cli"]
        command += self.server.command or [self.server.url]
        command += ["--transport", "stdio" if self.server.command else "http", "--protocol-era", self.program.mode]
        command += ["--method", method]
        if method == "tools/call":
            command += ["--tool-name", params["name"], "--tool-args-json", json.dumps(params["arguments"])]
        elif method == "resources/read":
            command += ["--uri", params["uri"]]
        elif method == "prompts/get":
            pairs = [f"{name}={value}" for name, value in params["arguments"].items()]
            command += ["--prompt-name", params["name"], "--prompt-args", *pairs]
        done = _run([*command, "--format", "json", "--quiet"], self.home)
        answer: Any = json.loads(done.stdout or done.stderr)
        shown: Json = answer.get("result", answer)
        return shown


@dataclass(frozen=True)
class FastmcpCommand:
    """FastMCP's command line."""

    program: Program
    server: Server
    home: Path

    def ask(self, method: str, /, **params: Any) -> Json:
        verb = "list" if method.endswith("/list") else "call"
        command = [str(installed(self.program.package) / "bin/fastmcp"), verb]
        command += ["--command", shlex.join(self.server.command)] if self.server.command else [self.server.url]
        if verb == "list":
            command += ["--resources", "--prompts"]
        else:
            command += ["--target", str(params.get("name", params.get("uri")))]
            command += ["--input-json", json.dumps(params.get("arguments", {}))]
        if method == "prompts/get":
            command.append("--prompt")
        done = _run([*command, "--json"], self.home)
        if done.returncode != 0:
            return {"error": {"message": done.stdout + done.stderr}}
        answer: Any = json.loads(done.stdout)
        return {"contents": answer} if isinstance(answer, list) else answer


def command_line(kind: type[Inspector | FastmcpCommand]) -> Family:
    """Return the family of programs that connect for each request."""

    @contextmanager
    def start(program: Program, server: Server, *_: str) -> Iterator[Client]:
        with tempfile.TemporaryDirectory(prefix="mcpd") as home:
            yield kind(program, server, Path(home))

    return start


def _run(command: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    environment = _environment() | {"HOME": str(home)}  # where it may write what it likes
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=ANSWER_S, check=False)


@dataclass(frozen=True)
class Program:
    """A client as users have it, and the ``revision`` that it negotiates with mcpd.

    ``package`` is its environment (packaging/test), ``mode`` what it is told besides its defaults, or which of the
    package's programs it is; ``transports`` are those it is tried on, and ``elicits`` says that it can ask its user.
    """

    package: str
    family: Family
    revision: str
    mode: str = ""
    transports: tuple[str, ...] = ("http", "stdio")
    elicits: bool = False

    def __str__(self) -> str:
        return "-".join(filter(None, (self.package, self.mode)))

    def start(self, server: Server, *, elicit: bool = False) -> AbstractContextManager[Client]:
        """Connect to *server*; with *elicit* questions to the user are answered."""
        return self.family(self, server, *(["--elicit"] if elicit else []))


MCP_V1, MCP_V2, FASTMCP = python("mcp_v1.py"), python("mcp_v2.py"), python("fastmcp_library.py")
SDK_V1, CLIENT_V2 = typescript("sdk_v1.mjs"), typescript("client_v2.mjs")
INSPECTOR, FASTMCP_COMMAND = command_line(Inspector), command_line(FastmcpCommand)

PROGRAMS = [
    Program("mcp-1.7.1", MCP_V1, "2024-11-05", transports=("sse", "stdio")),
    Program("mcp-1.8.1", MCP_V1, "2024-11-05"),
    Program("mcp-1.9.4", MCP_V1, "2025-03-26"),
    Program("mcp-1.22.0", MCP_V1, "2025-06-18", elicits=True),
    Program("mcp-1.30.0", MCP_V1, HANDSHAKE, elicits=True),
    Program("mcp-2.3.0", MCP_V2, MODERN, "auto", elicits=True),
    Program("mcp-2.3.0", MCP_V2, HANDSHAKE, "legacy", elicits=True),
    Program("fastmcp-4.1.2", FASTMCP, MODERN, elicits=True),
    # A process, or two, for each request: on one transport that is enough.
    Program("fastmcp-4.1.2", FASTMCP_COMMAND, MODERN, "command", transports=("http",)),
    Program("sdk-1.12.3", SDK_V1, "2025-03-26"),
    Program("sdk-1.32.2", SDK_V1, HANDSHAKE, elicits=True),
    Program("client-2.4.0", CLIENT_V2, HANDSHAKE, elicits=True),
    Program("client-2.4.0", CLIENT_V2, MODERN, "auto", elicits=True),
    Program("inspector-2.12.0", INSPECTOR, HANDSHAKE, "legacy"),
    Program("inspector-2.12.0", INSPECTOR, MODERN, "auto", transports=("http",)),
    Program("inspector-2.12.0", INSPECTOR, MODERN, "modern"),
]

"""The three servers: mcpd, the official Python SDK's, and nginx with constants of the size of mcpd's answers."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.messages import ECHO, HANDSHAKE, MODERN, REGISTER, TOOLS_LIST, Operation, Request, initialize, post
from tests.bench.processes import child
from tests.functional.conftest import UNLIMITED
from tests.functional.daemon import Daemon

MCPD, SDK, NGINX = "mcpd", "Python SDK", "nginx"
_BACKLOG = 4096
_START_S = 10.0
_LINE = 1000  # nginx takes no parameter of 4 KiB or more


@dataclass(frozen=True)
class Case:
    """One operation in one era."""

    operation: Operation
    era: str


@dataclass(frozen=True)
class Server:
    """A running server: its process, and where each case goes."""

    name: str
    pid: int
    targets: dict[Case, tuple[str, Request]]


@contextmanager
def mcpd(directory: Path, cases: Sequence[Case]) -> Iterator[Server]:
    """Run mcpd-rpc with its defaults but for the limit on requests, on a database of its own in *directory*."""
    daemon = daemon_in(directory)
    try:
        daemon.migrate()
        daemon.start()
        assert daemon.process is not None
        url = f"{daemon.url}/mcp"
        post(url, REGISTER.request(MODERN))
        session = initialize(url)
        targets = {case: (url, case.operation.request(case.era, _session_of(case.era, session))) for case in cases}
        yield Server(MCPD, daemon.process.pid, targets)
    finally:
        daemon.close()


def daemon_in(directory: Path) -> Daemon:
    """Return a daemon, not yet started, whose modules are compiled once, as those of the package are."""
    environment = {"PYTHONPYCACHEPREFIX": str(directory / "pycache"), "PYTHONDONTWRITEBYTECODE": ""}
    return Daemon(directory, UNLIMITED, environment)


def _session_of(era: str, session: str | None) -> str | None:
    return session if era == HANDSHAKE else None


@contextmanager
def sdk(directory: Path, cases: Sequence[Case]) -> Iterator[Server]:
    """Run the SDK's server with the interpreter of its environment below ``MCPD_FOREIGN``."""
    script = Path(__file__).with_name("sdk_server.py")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    with _listening() as (sock, port):
        command = [sdk_python(), str(script), str(sock.fileno())]
        with child(command, directory / "sdk.log", pass_fds=[sock.fileno()], environment=environment) as pid:
            url = f"http://127.0.0.1:{port}/mcp"
            targets = {case: (url, _peer(case.operation).request(case.era)) for case in cases}
            yield Server(SDK, pid, targets)


def sdk_python() -> str:
    """Return the interpreter that has the official SDK; raises ``LookupError`` if nobody said which."""
    try:
        return f"{os.environ['MCPD_FOREIGN']}/mcp-2.3.0/bin/python"
    except KeyError:
        raise LookupError("MCPD_FOREIGN is not set; packaging/test puts the official mcp SDK there") from None


def _peer(operation: Operation) -> Operation:
    return TOOLS_LIST if operation.tool is None else ECHO


@contextmanager
def nginx(directory: Path, model: Server) -> Iterator[Server]:
    """Run nginx with one worker; its answers are as long as those of *model*, its requests the same."""
    sizes = {case: len(post(url, request)[0]) for case, (url, request) in model.targets.items()}
    paths = {case: f"/{number}" for number, case in enumerate(sizes)}
    with _listening() as (_, port):
        pass  # nginx has to open its socket itself
    locations = "\n".join(f"location = {paths[case]} {{ {constant(size)} }}" for case, size in sizes.items())
    config = directory / "nginx.conf"
    config.write_text(_NGINX.format(directory=directory, port=port, locations=locations))
    with child(["nginx", "-c", str(config), "-e", "stderr"], directory / "nginx.log") as pid:
        _wait_for(port)
        address = f"http://127.0.0.1:{port}"
        targets = {case: (address + paths[case], request) for case, (_, request) in model.targets.items()}
        yield Server(NGINX, pid, targets)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


_NGINX = """
daemon off; master_process off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type application/json; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen 127.0.0.1:{port};
    {locations}
  }}
}}
"""


def constant(size: int) -> str:
    """Return nginx's directives to answer with a JSON-RPC result of *size* bytes."""
    start, end = '{"result":{"x":"', '"}}'
    whole, rest = divmod(size - len(start + end), _LINE)
    return f"set $x {'x' * _LINE}; return 200 '{start}{'${x}' * whole}{'x' * rest}{end}';"


@contextmanager
def _listening() -> Iterator[tuple[socket.socket, int]]:
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as sock:
        yield sock, sock.getsockname()[1]


def probe(server: Server) -> None:
    """Send every case once; raises ``RuntimeError`` unless each is answered with a result."""
    for url, request in server.targets.values():
        post(url, request)

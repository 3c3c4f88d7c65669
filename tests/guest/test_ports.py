"""Other ports, by the variables of the migration guide: everything goes there, and comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .machine import Guest
from .terminals import eventually

AGENT = "backend-api"
RELISTEN = "systemctl daemon-reload && systemctl restart mcpd-rpc.socket mcpd-ws.socket"
DEFAULTS = "/run/default-mcpd"
OWN = "/etc/mcpd/agents.d/mine.toml"


def configure(guest: Guest, *lines: str) -> None:
    text = "\n".join(lines)
    guest.exec("sh", "-c", f"cat {DEFAULTS} - >/etc/default/mcpd <<'EOF'\n{text}\nEOF")


@pytest.fixture
def machine(guest: Guest) -> Iterator[Guest]:
    guest.exec("cp", "/etc/default/mcpd", DEFAULTS)
    guest.exec("systemctl", "start", f"mcp-agent@{AGENT}.service")
    yield guest
    configure(guest)
    guest.exec("sh", "-c", f"rm -f {OWN}; {RELISTEN}")


def curl(guest: Guest, port: int, path: str, host: str = "127.0.0.1") -> dict[str, object]:
    answer: dict[str, object] = json.loads(guest.exec("curl", "-sSm", "20", f"http://{host}:{port}{path}"))
    return answer


def refuses(guest: Guest, *ports: int) -> bool:
    hosts = ("127.0.0.1", "[::1]")
    return all(guest.status("curl", "-sm", "5", f"http://{host}:{port}/") == 7 for host in hosts for port in ports)


def health(guest: Guest) -> dict[str, dict[str, str]]:
    shown = json.loads(guest.exec("sh", "-c", "mcpctl health --json || true"))
    return {check["name"]: check for check in shown["checks"]}


def failed(checks: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: check["advice"] for name, check in checks.items() if check["outcome"] == "failed"}


def environment(guest: Guest) -> set[str]:
    """The variables of a new window of the agent, which are those of its unit."""
    text = guest.exec("sh", "-c", f"tr '\\0' '\\n' </proc/{guest.show(f'mcp-agent@{AGENT}', 'MainPID')}/environ")
    return {line for line in text.splitlines() if line.startswith(("MCP_SERVER", "MCP_W"))}


def leads_to(rpc: int, ws: int) -> set[str]:
    http, web = f"http://localhost:{rpc}", f"ws://localhost:{ws}"
    return {f"MCP_SERVER={http}", f"MCP_SERVER_URL={http}", f"MCP_WEBSOCKET={web}", f"MCP_WS_URL={web}"}


def listens(guest: Guest, rpc: int, ws: int) -> None:
    """Both daemons answer where they should, on both addresses and the Unix sockets, and say so."""
    for host in ("127.0.0.1", "[::1]"):
        assert curl(guest, rpc, "/api/mcp/health", host)["status"] == "healthy"
        assert curl(guest, rpc, "/api/mcp/ws-config", host)["ws_url"] == f"ws://{host}:{ws}"
        assert curl(guest, ws, "/ws-config", host)["ws_url"] == f"ws://{host}:{ws}"
    for name in ("mcp", "ws"):
        path = "/api/mcp/health" if name == "mcp" else "/ws-config"
        guest.exec("curl", "-sSfm", "20", "--unix-socket", f"/run/mcpd/{name}.sock", f"http://localhost{path}")
    checks = health(guest)
    assert failed(checks) == {}
    assert checks[f"port {rpc}"]["detail"].startswith("answers in ")
    assert checks[f"port {ws}"]["outcome"] == "ok"


def test_the_ports_move_with_everything_that_names_them_and_come_back(machine: Guest) -> None:
    listens(machine, 8099, 8100)
    assert environment(machine) == leads_to(8099, 8100)
    configure(machine, "MCP_SERVER_PORT=9099", "MCP_WEBSOCKET_PORT=9100")
    for step in ("true", "systemctl daemon-reload"):
        machine.exec("sh", "-c", step)
        wrong = failed(health(machine))
        assert wrong.items() >= {"port 9099": RELISTEN, "port 9100": RELISTEN}.items(), step
    machine.exec("sh", "-c", RELISTEN)
    listens(machine, 9099, 9100)
    assert refuses(machine, 8099, 8100)
    assert environment(machine) == leads_to(8099, 8100), "an agent was restarted"
    machine.exec("systemctl", "restart", f"mcp-agent@{AGENT}.service")
    assert environment(machine) == leads_to(9099, 9100)
    changed = json.loads(machine.exec("mcpctl", "config", "--changed", "--json"))
    assert changed["server.port"]["source"] == "/etc/default/mcpd: MCP_SERVER_PORT"
    assert changed["access.public_url"]["value"] == "http://localhost:9099"
    machine.exec("sh", "-c", f"printf 'port = 9099\\n' >{OWN}")
    machine.exec("systemctl", "daemon-reload")
    assert "port 9099 is mcpd-rpc's" in machine.exec("sh", "-c", "mcpctl agent list 2>&1 || true")
    machine.exec("rm", OWN)
    machine.exec("systemctl", "restart", "mcp.target")
    listens(machine, 9099, 9100)

    configure(machine)
    machine.exec("sh", "-c", RELISTEN)
    listens(machine, 8099, 8100)
    assert refuses(machine, 9099, 9100)
    machine.exec("systemctl", "restart", f"mcp-agent@{AGENT}.service")
    assert environment(machine) == leads_to(8099, 8100)


def test_a_bad_port_is_reported_and_the_default_stays(machine: Guest) -> None:
    configure(machine, "MCP_SERVER_PORT=70000")
    machine.exec("systemctl", "daemon-reload")
    complaint = "MCP_SERVER_PORT: key 'server.port': expected a whole number from 1 to 65535, got '70000'"
    eventually(lambda: complaint in machine.journal("-t", "mcpd-agents"))
    assert "8099" in machine.show("mcpd-rpc.socket", "Listen")
    assert complaint in health(machine)["configuration"]["detail"]
    assert machine.show(f"mcp-agent@{AGENT}.service", "ActiveState") == "active"

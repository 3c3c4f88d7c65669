"""The agents of this machine as a daemon without privileges has them: their files, and the manager to ask."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from mcpd.agents import files
from mcpd.agents.files import Agents
from mcpd.agents.machine import Machine
from mcpd.errors import AgentFailed, InvalidParams
from mcpd.ports import Ports
from mcpd.terminals import orders
from mcpd.terminals.orders import Answer, AnyOrder, Refused

CONTROL = Path("/run/mcpd/control.sock")
STATES = Path("/run/mcpd/states.sock")
"""Where the manager tells of agents and does nothing to them."""

TIMEOUT_S = 120.0
_REREAD_S = 2.0


class Fleet:
    """The agents that files in *directories* (the system's) describe; *control* is the manager's socket.

    *ports* are mcpd's own, which none of them has; the configured ones if they are not given.
    """

    def __init__(
        self, directories: Sequence[Path] | None = None, control: Path = CONTROL, ports: Ports | None = None
    ) -> None:
        self._directories = directories
        self._control = control
        self._ports = ports
        self._agents: Agents | None = None
        self._read_s = 0.0

    @property
    def described(self) -> Agents:
        """What the files say; they are read at most every other second."""
        if self._agents is None or time.monotonic() - self._read_s > _REREAD_S:
            self._agents = files.load(self._directories, Machine.here(self._ports))
            self._read_s = time.monotonic()
        return self._agents

    def names(self) -> list[str]:
        """Return the names of the agents, in order."""
        return list(self.described.agents)

    def users(self) -> set[str]:
        """Return the users that agents run as."""
        return {agent.user for agent in self.described.agents.values()}

    async def ask(self, order: AnyOrder) -> Answer:
        """Have the manager, which systemd starts for it, do *order*; return its answer, which is not ``Refused``.

        Raises ``InvalidParams`` for what cannot be done at all, ``AgentFailed`` if it was not, with HTTP status 503
        where the manager is the reason.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S):
                line = await self._exchange(orders.encode(order))
        except TimeoutError as exc:
            raise AgentFailed(f"{order.agent}: not done within {TIMEOUT_S:.0f} s", http_status=503) from exc
        except OSError as exc:
            why = f"mcpd-ttyd-manager cannot be reached at {self._control}: {exc.strerror or exc}; see mcpctl health"
            raise AgentFailed(why, http_status=503) from exc
        answer = orders.decode_answer(line)
        if isinstance(answer, Refused):
            raise InvalidParams(answer.message) if answer.wrong else AgentFailed(answer.message)
        return answer

    async def _exchange(self, line: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._control, limit=orders.MAX_LINE_BYTES)
        try:
            writer.write(line)
            return await reader.readline()
        except ValueError as exc:
            raise AgentFailed("the manager's answer is too long") from exc
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

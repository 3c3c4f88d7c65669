"""The one error type of mcpd: an error *is* the answer.

An ``Error`` is raised where the fault is known and translated once, at the edge: a daemon answers it as a JSON-RPC
error object or an HTTP status, a command prints its message and exits with its exit status. Codes follow JSON-RPC 2.0
section 5.1 and the allocation of MCP 2026-07-28 (-32020 to -32022); ``DIALECT_CODES`` belong to the older
dialect of ``POST /jsonrpc`` and never leave through ``/mcp``.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

EX_REFUSED = 1  # mcpd, or what was looked at, answered, and the answer is no
EX_USAGE = 64
EX_DATAERR = 65
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_TEMPFAIL = 75
EX_NOPERM = 77
EX_CONFIG = 78

DIALECT_CODES = frozenset({-32001, -32003, -32004})
"""What only the older dialect knows (unauthorized, consent required, access denied); ``RateLimited`` has a code there,
too, which means something else to MCP."""


class Error(Exception):
    """A fault with its answer: JSON-RPC ``code`` and ``data``, HTTP ``http_status``, process ``exit_status``."""

    code = -32603
    http_status = 500
    exit_status = EX_SOFTWARE

    def __init__(self, message: str, data: object = None, http_status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        if http_status is not None:
            self.http_status = HTTPStatus(http_status).value  # one there is not would break whoever answers with it


class InternalError(Error):
    """A fault of ours or of a plug-in's, of which the peer learns nothing more."""

    def __init__(self) -> None:
        super().__init__("internal error; the journal has the details")


class ParseError(Error):
    """The body is not JSON."""

    code, http_status, exit_status = -32700, 400, EX_DATAERR


class InvalidRequest(Error):
    """The body is JSON but not a JSON-RPC request that this endpoint takes; also every fault of the HTTP framing."""

    code, http_status, exit_status = -32600, 400, EX_DATAERR


class MethodNotFound(Error):
    """No such method. MCP 2026-07-28 asks for HTTP 404."""

    code, http_status, exit_status = -32601, 404, EX_USAGE


class InvalidParams(Error):
    """The parameters do not fit the method. A handler's answer, so HTTP 200 unless the raiser says otherwise."""

    code, http_status, exit_status = -32602, 200, EX_USAGE


class ResourceNotFound(InvalidParams):
    """There is no such resource; ``data`` has the URI. The code is the revision's (``Revision.resource_not_found``)."""


class ResourceDenied(InvalidParams):
    """The resource may be there, but is not served; ``data`` has the URI and the reason."""


class PromptNotFound(InvalidParams):
    """There is no such prompt."""


class AgentNotFound(InvalidParams):
    """There is no agent of that name."""


class IdempotencyConflict(InvalidParams):
    """The key of this request came with another one before; nothing was done. ``data`` names the key and the other."""


class HeaderMismatch(Error):
    """A required MCP header is missing, malformed or says something else than the body (MCP 2026-07-28)."""

    code, http_status, exit_status = -32020, 400, EX_DATAERR


class UnsupportedProtocolVersion(Error):
    """The peer named a protocol version that we do not speak; ``data`` lists those that we do (MCP 2026-07-28)."""

    code, http_status, exit_status = -32022, 400, EX_DATAERR


class MissingClientCapability(Error):
    """The request needs something of the client that it did not declare; ``data`` names it (MCP 2026-07-28)."""

    code, http_status, exit_status = -32021, 400, EX_UNAVAILABLE


class AccessDenied(Error):
    """The caller is known, or is not, and may not do this."""

    code, http_status, exit_status = -32004, 403, EX_NOPERM


def denied(exc: PermissionError | Error) -> AccessDenied:
    """Return the answer where this user may not use a file, as *exc* has it: which, and what to do."""
    if isinstance(exc, Error):
        return AccessDenied(f"{exc.message}; {_AS_ROOT}")
    return AccessDenied(f"{described(exc)}; {_AS_ROOT}")


def described(exc: OSError) -> str:
    """Return which file *exc* is about, if it says so, and what is the matter; of a copy, what was to be written."""
    where = f"{exc.filename2 or exc.filename}: " if exc.filename else ""
    return f"{where}{exc.strerror or exc}"


_AS_ROOT = "run as root, by sudo"


class InsufficientScope(AccessDenied):
    """The caller may call, but this is not among what it may do; ``data`` names the scope that it would need."""


class Unauthorized(Error):
    """Nobody vouches for the caller, or its token does not hold; ``reason`` is one word for what is wrong with it."""

    code, http_status, exit_status = -32001, 401, EX_NOPERM

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message, {"reason": reason} if reason else None)
        self.reason = reason


class ConsentRequired(Error):
    """This destroys something, so a person must allow it first; ``data`` says where (of the dialect: HTTP 200)."""

    code, http_status, exit_status = -32003, 200, EX_REFUSED


class RateLimited(Error):
    """The caller asks too often; ``data`` says for how long to wait, in seconds."""

    code, http_status, exit_status = -32002, 429, EX_TEMPFAIL

    def __init__(self, message: str, retry_after: int, data: Mapping[str, object]) -> None:
        super().__init__(message, {"retry_after": retry_after, **data})
        self.retry_after = retry_after


class SessionNotFound(Error):
    """The session id was not issued by us, or not to this caller; the client starts a new session on HTTP 404."""

    code, http_status, exit_status = -32001, 404, EX_NOPERM


class StoreUnavailable(Error):
    """The database could not take the change (locked, full, damaged); nothing of the request was kept."""

    code, http_status, exit_status = -32603, 503, EX_TEMPFAIL


class ToolFailed(Error):
    """A tool ran and says no; MCP carries this inside a result with ``isError`` so that the model can read it."""

    code, http_status, exit_status = -32602, 200, EX_DATAERR


class ConsentDenied(ToolFailed):
    """Somebody who was asked whether this may be done said no."""

    code = -32004


class AgentFailed(ToolFailed):
    """An agent, its unit or its terminal is not in the state to do what was asked, or did not do it."""

    exit_status = EX_REFUSED


class AgentNotRunning(AgentFailed):
    """The agent's tmux is not there; starting the agent helps."""


class AgentEnded(AgentFailed):
    """The agent's command has ended, its terminal is still there; restarting the agent helps."""


class ConfigError(Error):
    """A configuration file or option is wrong; the daemon exits 78 and systemd does not start it again."""

    exit_status = EX_CONFIG


class Unreachable(Error):
    """A command could not reach the daemon or service that it needs."""

    exit_status = EX_UNAVAILABLE


class UsageError(Error):
    """The command line is wrong."""

    exit_status = EX_USAGE


class SourceUnusable(Error):
    """A database that was to be read is missing, damaged or none at all."""

    exit_status = EX_DATAERR


class SourceDamaged(SourceUnusable):
    """What is in the file is no whole database; trying again will not help."""


class SourceBusy(SourceUnusable):
    """Somebody writes the database that was to be read; trying again will help."""

    exit_status = EX_TEMPFAIL

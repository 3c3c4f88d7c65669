"""A route: who answers at a path, and what a caller must be allowed to be answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mcpd.access.scopes import Scope
from mcpd.errors import Error
from mcpd.protocol.http import HttpLater, HttpRequest, HttpResponse, HttpStream
from mcpd.server.work import Work

Reply = HttpResponse | HttpStream | HttpLater
Handler = Callable[[HttpRequest, Work], Reply]
Refusal = Callable[[Work, Error], HttpResponse]

BY_METHOD: Mapping[str, Scope] = {"GET": "read", "POST": "write", "PUT": "write", "DELETE": "delete"}
ADMIN: Mapping[str, Scope] = dict.fromkeys(BY_METHOD, "admin")
DECIDE: Mapping[str, Scope] = {"GET": "read", "POST": "admin"}
EXECUTE: Mapping[str, Scope] = {"POST": "execute"}
BY_MESSAGE: Mapping[str, Scope] = {}
"""HTTP method → the scope that a caller needs; for none, the messages that come are looked at."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path: its handlers by HTTP method, how it tells an error, and whether anybody may ask it.

    ``needs`` is the scope that each HTTP method takes; where it says nothing, the messages that come are looked at.
    """

    handlers: Mapping[str, Handler]
    refuse: Refusal
    open: bool = False
    needs: Mapping[str, Scope] = field(default_factory=lambda: BY_METHOD)

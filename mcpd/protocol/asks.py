"""What a server may ask of a client in the middle of a request: a person's word, a model's, or the client's roots.

In 2026-07-28 the questions are the result of the request and the answers come with its retry (basic/patterns/mrtr); in
the older revisions each is a request to the client (client/elicitation, client/sampling, client/roots). Both carry the
same objects, so both are made and read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from mcpd.errors import Error, MissingClientCapability
from mcpd.protocol.revisions import Revision

ANSWERED_CAPABILITIES = ("elicitation", "sampling", "roots")
"""The client's capabilities that matter to what it can be asked."""


class Ask(msgspec.Struct, frozen=True):
    """One question: the ``method`` and ``params`` of its request, and the capability that it ``needs``."""

    method: str
    params: dict[str, Any]
    needs: dict[str, Any]

    def shown(self, revision: Revision, request_id: str) -> dict[str, Any]:
        """Return the request as *revision* has it; *request_id* is the id under which it is sent, where it is sent."""
        params = self.params
        if params.get("mode") == "url" and revision.elicitation_ids:
            params = params | {"elicitationId": request_id}
        return {"method": self.method, "params": params}


class Elicited(msgspec.Struct, frozen=True):
    """What a person said: ``content`` is there when they accepted a form."""

    action: Literal["accept", "decline", "cancel"]
    content: dict[str, Any] | None = None


class Sampled(msgspec.Struct, frozen=True):
    """What the client's model said; ``content`` is a block or several."""

    role: Literal["user", "assistant"]
    content: dict[str, Any] | list[dict[str, Any]]
    model: str

    @property
    def text(self) -> str:
        """The words of it."""
        blocks = self.content if isinstance(self.content, list) else [self.content]
        return "".join(str(block.get("text", "")) for block in blocks)


class Root(msgspec.Struct, frozen=True):
    """A directory or file that the client works on."""

    uri: str
    name: str | None = None


Answer = Elicited | Sampled | tuple[Root, ...]


class InvalidAnswer(Error):
    """What came back is no answer to the question; the message says why."""

    code, http_status = -32602, 200


def form(message: str, schema: Mapping[str, Any]) -> Ask:
    """Ask a person to fill in a form; *schema* is flat: properties that are strings, numbers, booleans or choices."""
    params = {"message": message, "requestedSchema": dict(schema)}
    return Ask("elicitation/create", params, {"elicitation": {"form": {}}})


def url(message: str, address: str) -> Ask:
    """Ask a person to open *address*, for what must not pass through the client, such as a secret."""
    return Ask("elicitation/create", {"mode": "url", "message": message, "url": address}, {"elicitation": {"url": {}}})


def sampling(messages: Sequence[Mapping[str, Any]], max_tokens: int, **more: Any) -> Ask:
    """Ask the client's model to go on from *messages*; *more* are further members of ``sampling/createMessage``."""
    params = {"messages": [dict(message) for message in messages], "maxTokens": max_tokens, **more}
    needs: dict[str, Any] = {"sampling": {"tools": {}} if "tools" in more else {}}
    return Ask("sampling/createMessage", params, needs)


def roots() -> Ask:
    """Ask which directories the client works on."""
    return Ask("roots/list", {}, {"roots": {}})


def declares(capabilities: Mapping[str, Any], needs: Mapping[str, Any]) -> bool:
    """Say whether a client with *capabilities* can do what is named in *needs*.

    ``"elicitation": {}`` is the form alone, as it was before there was another mode (2025-11-25 client/elicitation).
    """
    for name, wanted in needs.items():
        have = capabilities.get(name)
        if not isinstance(have, dict):
            return False
        if name == "elicitation" and "url" not in have:
            have = {"form": {}, **have}
        if not all(isinstance(have.get(part), dict) for part in wanted):
            return False
    return True


def require(capabilities: Mapping[str, Any], needs: Mapping[str, Any]) -> None:
    """Raise ``MissingClientCapability`` unless a client with *capabilities* can do what is named in *needs*."""
    if not declares(capabilities, needs):
        names = ", ".join(".".join((name, *parts)) for name, parts in needs.items())
        missing = f"this needs a client that declares the capability {names}"
        raise MissingClientCapability(missing, {"requiredCapabilities": dict(needs)})


_SHAPES: dict[str, Any] = {
    "elicitation/create": Elicited,
    "sampling/createMessage": Sampled,
    "roots/list": msgspec.defstruct("Roots", [("roots", tuple[Root, ...])]),
}


def read(ask: Ask, result: object) -> Answer:
    """Return the *result* of *ask*, found to be an answer to it; raises ``InvalidAnswer``."""
    try:
        answer = msgspec.convert(result, _SHAPES[ask.method])
    except msgspec.ValidationError as exc:
        raise InvalidAnswer(f"the answer to {ask.method} is not one: {exc}") from exc
    if isinstance(answer, Elicited):
        return _elicited(ask, answer)
    found: Answer = answer if isinstance(answer, Sampled) else answer.roots
    return found


def _elicited(ask: Ask, answer: Elicited) -> Elicited:
    schema = ask.params.get("requestedSchema")
    if answer.action != "accept" or schema is None:
        return Elicited(answer.action)
    content = answer.content or {}
    fault = _fault(schema, content)
    if fault is not None:
        raise InvalidAnswer(f"the form was filled in wrongly: {fault}")
    return Elicited("accept", content)


def _fault(schema: Mapping[str, Any], content: Mapping[str, Any]) -> str | None:
    # Imported here: it takes longer than all the rest of us, and few requests need it.
    import jsonschema

    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(content))
    if error is None:
        return None
    where = ".".join(map(str, error.absolute_path))
    return f"{where}: {error.message}" if where else str(error.message)

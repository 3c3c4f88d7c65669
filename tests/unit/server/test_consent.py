"""What is destructive runs when a person allowed it: with these arguments, for this caller, once, for half an hour."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest

from mcpd.access.callers import Caller
from mcpd.access.scopes import WORKING, Scopes
from mcpd.config import Access, Config
from mcpd.plugins.base import Plugin
from mcpd.protocol.http import HttpRequest
from mcpd.server.core import Exchange
from mcpd.store import approvals, components
from mcpd.store.approvals import TTL_US
from mcpd.store.database import Database
from mcpd.tools.asynchronous import AsyncTool
from mcpd.tools.context import Context
from tests.unit.server.client import FORM, Connection, Session, Site

YES = {"action": "accept", "content": {"confirm": True}}
NO = {"action": "accept", "content": {"confirm": False}}
ADMIN = Caller("root", True)
AGENT = Caller("agent:a", True, is_agent=True, scopes=WORKING)
JSON = {b"content-type": b"application/json"}


class Guarded(Site):
    """A server with a component, and a destructive tool of a plug-in that takes its time."""

    def __init__(self, db: Database, config: Config | None = None) -> None:
        self.db = db
        self.destroyed: list[Any] = []
        tool = AsyncTool(
            name="destroy", title="Destroy", description="A test.", function=self._destroy, destructive=True,
            arguments={"type": "object", "properties": {"what": {"type": "string"}}},
        )  # fmt: skip
        super().__init__(db, Plugin(tools=[tool]), config)
        components.register(db, 1, "auth", "backend-api", "active", None)

    async def _destroy(self, _context: Context, arguments: Any) -> str:
        self.destroyed.append(arguments)
        return "gone"

    def ask(
        self, method: str, path: str, body: Any = None, caller: Caller = ADMIN, headers: dict[bytes, bytes] = JSON
    ) -> Connection:
        lines = {b"host": b"localhost", **headers}
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        connection = Connection()
        exchange = Exchange(HttpRequest(method, path, "", lines, data, True), caller)
        connection.take(self.turn([exchange])[0].response)
        return connection

    async def tool(self, name: str, caller: Caller = AGENT, /, **arguments: Any) -> Any:
        """Call a tool in the old dialect, whose clients cannot be asked."""
        params = {"name": name, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
        connection = self.ask("POST", "/jsonrpc", message, caller)
        answer = await connection.answer()
        assert (connection.status, answer["id"]) == (200, 7)
        return answer

    async def consent_id(self, name: str, caller: Caller = AGENT, /, **arguments: Any) -> str:
        error = (await self.tool(name, caller, **arguments))["error"]
        assert error["code"] == -32003
        found: str = error["data"]["consent_id"]
        return found

    def decide(self, consent_id: str, body: Any, caller: Caller = ADMIN, headers: dict[bytes, bytes] = JSON) -> Any:
        connection = self.ask("POST", f"/api/mcp/consent/{consent_id}", body, caller, headers)
        return connection.status, orjson.loads(connection.body)


def run_async(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine, as pytest runs it."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


def token_client(name: str, scopes: Scopes) -> Caller:
    return Caller(f"client:{name}", True, scopes=scopes, is_client=True)


@pytest.fixture
def site(db: Database) -> Guarded:
    return Guarded(db)


def names(db: Database) -> list[str]:
    return [component.name for component in components.listing(db, 10)]


@pytest.mark.parametrize(("name", "arguments"), [("delete_component", {"name": "auth"}), ("destroy", {"what": "auth"})])
@run_async
async def test_an_administrator_allows_a_call_once(site: Guarded, name: str, arguments: dict[str, str]) -> None:
    error = (await site.tool(name, **arguments))["error"]
    consent_id = error["data"]["consent_id"]
    assert (error["code"], error["data"].keys()) == (-32003, {"consent_id", "consent_url", "operation", "expires_at"})
    assert error["message"].startswith(f"Consent required for {name}")
    assert f"mcpctl consent approve {consent_id}" in error["message"]
    assert error["data"]["consent_url"] == f"/api/mcp/consent/{consent_id}"
    assert await site.consent_id(name, **arguments) == consent_id, "asked twice, it is one request"
    assert (names(site.db), site.destroyed) == (["auth"], [])
    status, answer = site.decide(consent_id, {"decision": "approved", "reason": "it is old"})
    assert (status, answer) == (200, {"consent_id": consent_id, "decision": "approved", "success": True})
    assert "result" in await site.tool(name, **arguments)
    assert (names(site.db), site.destroyed) in ((["auth"], [{"what": "auth"}]), ([], []))
    components.register(site.db, 2, "auth", "backend-api", "active", None)
    assert await site.consent_id(name, **arguments) != consent_id, "the approval is spent"
    outcomes = site.db.rows("SELECT outcome FROM audit WHERE resource = ? ORDER BY id", (name,))
    assert [outcome for (outcome,) in outcomes] == ["input_required", "input_required", "ok", "input_required"]
    topics = site.db.rows("SELECT topic, json_extract(data, '$.decision') FROM events WHERE topic LIKE 'consent.%'")
    assert topics == [("consent.requested", None), ("consent.decided", "approved"), ("consent.requested", None)]


@run_async
async def test_an_approval_is_good_for_these_arguments_and_this_caller_alone(site: Guarded) -> None:
    components.register(site.db, 1, "other", "o", "active", None)
    consent_id = await site.consent_id("delete_component", name="auth")
    site.decide(consent_id, {"approved": True})
    assert await site.consent_id("delete_component", name="other") != consent_id
    other = Caller("agent:b", True, is_agent=True, scopes=WORKING)
    assert await site.consent_id("delete_component", other, name="auth") != consent_id
    assert await site.consent_id("destroy", what="auth") != consent_id
    assert names(site.db) == ["auth", "other"]
    assert "result" in await site.tool("delete_component", name="auth")


@run_async
async def test_a_failed_call_gives_its_approval_back(site: Guarded) -> None:
    consent_id = await site.consent_id("delete_component", name="auth")
    site.decide(consent_id, {"approved": True})
    site.db.execute("CREATE TRIGGER full BEFORE DELETE ON components BEGIN SELECT RAISE(FAIL, 'no'); END")
    assert "nothing of this request was kept" in (await site.tool("delete_component", name="auth"))["error"]["message"]
    site.db.execute("DROP TRIGGER full")
    assert "result" in await site.tool("delete_component", name="auth")


@run_async
async def test_a_denial_stands_and_says_who_and_why(site: Guarded) -> None:
    consent_id = await site.consent_id("delete_component", name="auth")
    site.decide(consent_id, {"decision": "denied", "reason": "we need it"})
    error = (await site.tool("delete_component", name="auth"))["error"]
    assert (error["code"], error["message"]) == (-32004, "root denied this use of delete_component: we need it")
    assert site.decide(consent_id, {"approved": True})[0] == 409
    site.now_us += TTL_US
    assert await site.consent_id("delete_component", name="auth") != consent_id


@run_async
async def test_it_expires_before_and_after_the_decision(site: Guarded) -> None:
    first = await site.consent_id("delete_component", name="auth")
    site.now_us += TTL_US
    status, answer = site.decide(first, {"approved": True})
    assert (status, answer["error"]) == (409, "it is expired and cannot be decided")
    second = await site.consent_id("delete_component", name="auth")
    site.decide(second, {"approved": True})
    site.now_us += TTL_US
    assert await site.consent_id("delete_component", name="auth") not in (first, second)
    assert names(site.db) == ["auth"]


@run_async
async def test_a_dry_run_needs_none_and_what_is_not_there_is_not_asked_about(site: Guarded) -> None:
    result = (await site.tool("delete_component", name="auth", dry_run=True))["result"]
    assert (result["dry_run"], names(site.db)) == (True, ["auth"])
    for dry_run in (True, False):
        error = (await site.tool("delete_component", name="nothing", dry_run=dry_run))["error"]
        assert error["message"] == "no component 'nothing' is registered"
    assert (await site.tool("delete_component"))["error"]["code"] == -32602
    assert site.db.value("SELECT count(*) FROM approvals") == 0


@run_async
async def test_an_agent_never_decides_and_a_client_not_about_itself(site: Guarded) -> None:
    consent_id = await site.consent_id("delete_component", name="auth")
    almighty = Caller("agent:a", True, is_agent=True)
    for caller in (AGENT, almighty, Caller("agent:b", True, is_agent=True), token_client("x", WORKING)):
        assert site.decide(consent_id, {"approved": True}, caller)[0] == 403
    boss = token_client("boss", frozenset({"admin", "delete", "read"}))
    own = await site.consent_id("delete_component", boss, name="auth")
    assert site.decide(own, {"approved": True}, boss)[0] == 403
    assert site.decide(consent_id, {"approved": True}, boss)[0] == 200
    assert site.decide(own, {"approved": True})[0] == 200
    asked_by_person = await site.consent_id("delete_component", ADMIN, name="auth")
    assert site.decide(asked_by_person, {"approved": True})[0] == 200, "a person may confirm what they asked for"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b"content-type": b"application/x-www-form-urlencoded"}, 415),
        ({b"content-type": b"text/plain"}, 415),
        ({b"content-type": b"text/plain; x=application/json"}, 415),
        ({}, 415),
        (JSON | {b"origin": b"https://evil.example"}, 403),
        (JSON | {b"origin": b"null"}, 403),
        (JSON | {b"host": b"evil.example"}, 403),
        (JSON | {b"origin": b"http://localhost:5173"}, 200),
    ],
)
@run_async
async def test_a_page_of_somebody_elses_cannot_decide(site: Guarded, headers: dict[bytes, bytes], status: int) -> None:
    consent_id = await site.consent_id("delete_component", name="auth")
    assert site.decide(consent_id, {"approved": True}, headers=headers)[0] == status


@pytest.mark.parametrize(
    "body",
    [
        {}, [], None, b"nonsense", {"decision": "yes"}, {"approved": "true"}, {"approved": 1}, {"approved": None},
        {"decision": "approved", "approved": False}, {"approved": True, "reason": 7},
        {"approved": True, "reason": "x" * 1001},
    ],
)  # fmt: skip
@run_async
async def test_what_is_no_decision_decides_nothing(site: Guarded, body: Any) -> None:
    consent_id = await site.consent_id("delete_component", name="auth")
    assert site.decide(consent_id, body)[0] == 400
    assert approvals.find(site.db, consent_id).state == "pending"  # type: ignore[union-attr]


@run_async
async def test_who_asked_sees_their_own_and_administrators_all(site: Guarded) -> None:
    mine = await site.consent_id("delete_component", name="auth")
    other = Caller("agent:b", True, is_agent=True, scopes=WORKING)
    theirs = await site.consent_id("delete_component", other, name="auth")

    def seen(caller: Caller) -> list[str]:
        found = orjson.loads(site.ask("GET", "/api/mcp/consent", caller=caller).body)["consents"]
        return sorted(item["consent_id"] for item in found)

    assert (seen(AGENT), seen(other), seen(ADMIN)) == ([mine], [theirs], sorted([mine, theirs]))
    assert site.ask("GET", f"/api/mcp/consent/{theirs}", caller=AGENT).status == 404
    shown = orjson.loads(site.ask("GET", f"/api/mcp/consent/{mine}", caller=AGENT).body)
    assert (shown["status"], shown["operation"], shown["arguments"]) == (
        "pending",
        "delete_component",
        {"name": "auth"},
    )
    assert shown["message"].startswith("agent:a wants to delete the component 'auth', which 'backend-api' owns")
    for missing in ("nothing", "x" * 5000, "%00", "'"):
        assert site.ask("GET", f"/api/mcp/consent/{missing}").status == 404
        assert site.decide(missing, {"approved": True})[0] == 404


@run_async
async def test_nobody_floods_the_administrators(site: Guarded) -> None:
    for number in range(100):
        await site.consent_id("destroy", what=str(number))
    assert "wait for consent already" in (await site.tool("destroy", what="one more"))["error"]["message"]
    other = Caller("agent:b", True, is_agent=True, scopes=WORKING)
    assert await site.consent_id("destroy", other, what="x")


@run_async
async def test_an_idempotency_key_does_not_keep_the_refusal(site: Guarded) -> None:
    params = {"name": "delete_component", "arguments": {"name": "auth"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = JSON | {b"idempotency-key": b"k"}
    first = await site.ask("POST", "/jsonrpc", message, AGENT, headers).answer()
    site.decide(first["error"]["data"]["consent_id"], {"approved": True})
    for _ in range(2):  # the second is the first one's result again, and needs no second approval
        done = await site.ask("POST", "/jsonrpc", message, AGENT, headers).answer()
        assert done["result"] == {"success": True, "component": "auth"}
    assert names(site.db) == []


# Over MCP: the person at the client is asked


async def ask_modern(site: Guarded, name: str, **more: Any) -> Any:
    return (await site.call(name, FORM, caller="root", **more).answer())["result"]


@pytest.mark.parametrize(("name", "arguments"), [("delete_component", {"name": "auth"}), ("destroy", {"what": "auth"})])
@run_async
async def test_a_client_that_can_ask_is_asked(site: Guarded, name: str, arguments: dict[str, str]) -> None:
    asked = await ask_modern(site, name, arguments=arguments)
    assert asked["resultType"] == "input_required"
    [(key, question)] = asked["inputRequests"].items()
    assert question["method"] == "elicitation/create"
    state = {"requestState": asked["requestState"]}
    refused = await ask_modern(site, name, arguments=arguments, inputResponses={key: NO}, **state)
    assert (refused["isError"], refused["content"][0]["text"]) == (True, "nobody confirmed; nothing was done")
    assert (names(site.db), site.destroyed) == (["auth"], [])
    asked = await ask_modern(site, name, arguments=arguments)
    [again] = asked["inputRequests"]
    assert again != key
    said = {"inputResponses": {again: YES}, "requestState": asked["requestState"]}
    done = await ask_modern(site, name, arguments=arguments, **said)
    assert not done["isError"]
    assert site.db.rows("SELECT state, via, decided_by FROM approvals ORDER BY created_us") == [
        ("denied", "elicitation", "the person at root"), ("used", "elicitation", "the person at root"),
    ]  # fmt: skip


@run_async
async def test_an_answer_counts_once_and_not_before_its_question(site: Guarded) -> None:
    arguments = {"what": "auth"}
    early = await ask_modern(site, "destroy", arguments=arguments, inputResponses={"consent": YES, "confirm": YES})
    assert (early["resultType"], site.destroyed) == ("input_required", [])
    [key] = early["inputRequests"]
    said = {"inputResponses": {key: YES}, "requestState": early["requestState"]}
    await ask_modern(site, "destroy", arguments=arguments, **said)
    assert len(site.destroyed) == 1
    replayed = await ask_modern(site, "destroy", arguments=arguments, **said)
    assert (replayed["resultType"], len(site.destroyed)) == ("input_required", 1)


@run_async
async def test_an_answer_is_good_for_its_call_alone(site: Guarded) -> None:
    asked = await ask_modern(site, "destroy", arguments={"what": "small"})
    [key] = asked["inputRequests"]
    other = await ask_modern(site, "destroy", arguments={"what": "all"}, inputResponses={key: YES})
    assert (other["resultType"], site.destroyed) == ("input_required", [])
    moved = site.call("destroy", FORM, caller="alice", arguments={"what": "small"}, inputResponses={key: YES})
    assert ((await moved.answer())["result"]["resultType"], site.destroyed) == ("input_required", [])


@run_async
async def test_both_of_two_calls_at_once_are_not_allowed_by_one_answer(site: Guarded) -> None:
    asked = await ask_modern(site, "destroy", arguments={"what": "x"})
    [key] = asked["inputRequests"]
    said = {"inputResponses": {key: YES}, "requestState": asked["requestState"]}
    calls = [site.call("destroy", FORM, arguments={"what": "x"}, **said) for _ in range(5)]
    await asyncio.gather(*(call.answer() for call in calls))
    assert len(site.destroyed) == 1


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18"])
@pytest.mark.parametrize("name", ["delete_component", "destroy"])
@run_async
async def test_a_session_is_asked_on_its_stream(site: Guarded, version: str, name: str) -> None:
    session = Session(site, version, FORM)
    arguments = {"name": "auth"} if name == "delete_component" else {"what": "auth"}
    stream = session.call(name, arguments=arguments)
    question = await stream.message(0)
    assert question["method"] == "elicitation/create"
    session.answer(question["id"], YES)
    assert not (await stream.answer())["result"]["isError"]
    assert names(site.db) == ([] if name == "delete_component" else ["auth"])


@pytest.mark.parametrize("name", ["delete_component", "destroy"])
@run_async
async def test_a_client_that_cannot_ask_is_told_whom_to(site: Guarded, name: str) -> None:
    arguments = {"name": "auth"} if name == "delete_component" else {"what": "auth"}
    for connection in (site.call(name, {}, arguments=arguments), Session(site).call(name, arguments=arguments)):
        result = (await connection.answer())["result"]
        assert result["isError"]
        assert "cannot ask a person by elicitation" in result["content"][0]["text"]
        consent = result["_meta"]["mcpd/consent"]
        assert consent["consent_url"] == f"/api/mcp/consent/{consent['consent_id']}"
    site.decide(consent["consent_id"], {"approved": True})
    assert not (await site.call(name, {}, arguments=arguments).answer())["result"]["isError"]


@pytest.mark.parametrize("name", ["delete_component", "destroy"])
@run_async
async def test_the_administrator_can_take_the_question_over(db: Database, name: str) -> None:
    site = Guarded(db, Config(access=Access(consent="administrator")))
    arguments = {"name": "auth"} if name == "delete_component" else {"what": "auth"}
    result = await ask_modern(site, name, arguments=arguments)
    assert (result["isError"], "inputRequests" in result) == (True, False)
    site.decide(result["_meta"]["mcpd/consent"]["consent_id"], {"approved": True})
    assert not (await ask_modern(site, name, arguments=arguments))["isError"]


@run_async
async def test_what_the_person_at_a_client_is_asked_no_administrator_answers(site: Guarded) -> None:
    asked = await ask_modern(site, "destroy", arguments={"what": "x"})
    [key] = asked["inputRequests"]
    assert site.decide(key, {"approved": True})[0] == 409

"""Calls that ask their client, in each era, and over a restart between question and answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mcpd.store.database import Database
from tests.unit.server.client import FORM, Session, Site
from tests.unit.server.test_calls import play, text
from tests.unit.server.tools import World

BOB = {"action": "accept", "content": {"name": "Bob"}}
OLD = {"action": "accept", "content": {"age": 99}}
ALL: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}


def test_a_stateless_client_answers_with_its_retries(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        first = (await site.call("asks_two", FORM).answer())["result"]
        assert first["resultType"] == "input_required"
        assert first["inputRequests"]["name"]["method"] == "elicitation/create"
        given = {"requestState": first["requestState"], "inputResponses": {"name": BOB, "unasked": 1}}
        second = (await site.call("asks_two", FORM, **given).answer())["result"]
        assert second["inputRequests"].keys() == {"age"}
        assert second["requestState"] != first["requestState"]
        given = {"requestState": second["requestState"], "inputResponses": {"age": OLD}}
        assert text(await site.call("asks_two", FORM, **given).answer()) == "{'name': 'Bob'} {'age': 99}"
        assert world.runs == 3
        outcomes = [row[0] for row in db.rows("SELECT outcome FROM audit ORDER BY id")]
        assert outcomes == ["input_required", "input_required", "ok"]

    play(db, scene)


@pytest.mark.parametrize(
    "given", [None, {}, {"name": 5}, {"name": {"action": "perhaps"}}, {"name": OLD}, {"other": BOB}]
)
def test_what_is_no_answer_is_asked_for_again(db: Database, given: Any) -> None:
    async def scene(site: Site, _: World) -> None:
        result = (await site.call("asks_two", FORM, inputResponses=given).answer())["result"]
        assert result["inputRequests"].keys() == {"name"}

    play(db, scene)


def test_a_state_is_good_for_its_caller_its_request_and_its_time(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        state = (await site.call("asks_two", FORM).answer())["result"]["requestState"]

        async def refusal(tool: str = "asks_two", **more: Any) -> str:
            error = (await site.call(tool, FORM, **{"requestState": state, **more}).answer())["error"]
            assert error["code"] == -32602
            return str(error["message"])

        assert "unchanged" in await refusal(requestState=state + "-TAMPERED")
        assert "unchanged" in await refusal(requestState=7)
        assert "another request" in await refusal(caller="mallory")
        assert "another request" in await refusal("asks_all")
        assert "another request" in await refusal(arguments={"x": 1})
        assert "expected an object" in await refusal(inputResponses=[])
        site.now_us += 3_700_000_000
        assert "expired" in await refusal()

    play(db, scene)


def test_everything_can_be_asked_at_once(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        asked = (await site.call("asks_all", ALL).answer())["result"]["inputRequests"]
        assert {key: request["method"] for key, request in asked.items()} == {
            "name": "elicitation/create", "model": "sampling/createMessage", "roots": "roots/list",
            "page": "elicitation/create",
        }  # fmt: skip
        assert "elicitationId" not in asked["page"]["params"]
        answers = {
            "name": BOB,
            "model": {"role": "assistant", "content": {"type": "text", "text": "42"}, "model": "m"},
            "roots": {"roots": [{"uri": "file:///home"}]},
            "page": {"action": "accept"},
        }
        assert text(await site.call("asks_all", ALL, inputResponses=answers).answer()) == "42 file:///home"

    play(db, scene)


@pytest.mark.parametrize("capabilities", [{}, {"elicitation": {"url": {}}}, {"elicitation": None}, {"sampling": {}}])
def test_a_client_that_cannot_be_asked_is_told_what_it_lacks(db: Database, capabilities: Any) -> None:
    async def scene(site: Site, _: World) -> None:
        connection = site.call("asks_two", capabilities)
        error = (await connection.answer())["error"]
        assert (error["code"], connection.status) == (-32021, 400)
        assert error["data"] == {"requiredCapabilities": {"elicitation": {"form": {}}}}
        old = await Session(site, capabilities=capabilities).call("asks_two").answer()
        assert text(old) == "this needs a client that declares the capability elicitation.form"

    play(db, scene)


def test_a_session_is_asked_on_the_stream_of_its_call(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        session = Session(site, capabilities=ALL)
        connection = session.call("asks_two")
        question = await connection.message(0)
        assert question["method"] == "elicitation/create"
        priming, asked = connection.events
        assert (priming.data, priming.id) == (b"", f"{(asked.id or '')[:24]}-0")
        assert session.answer(question["id"], BOB).status == 202
        second = await connection.message(1)
        assert session.answer(second["id"], OLD).status == 202
        assert text(await connection.answer()) == "{'name': 'Bob'} {'age': 99}"
        assert db.value("SELECT count(*) FROM calls") == 0

    play(db, scene)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"result": {"action": "decline"}}, "declined"),
        ({"result": 5}, "the answer to elicitation/create is not one: Expected `object`, got `int`"),
        ({"result": OLD}, "the form was filled in wrongly: 'name' is a required property"),
        ({"error": {"code": -1, "message": "no"}}, "the client did not answer elicitation/create: no"),
    ],
)
def test_what_a_session_may_answer(db: Database, answer: Any, told: str) -> None:
    async def scene(site: Site, _: World) -> None:
        session = Session(site, capabilities=FORM)
        connection = session.call("asks_two")
        question = await connection.message(0)
        assert session.post({"jsonrpc": "2.0", "id": question["id"], **answer}).status == 202
        assert text(await connection.answer()) == told

    play(db, scene)


def test_an_answer_to_nothing_or_to_somebody_elses_question_is_refused(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        session, other = Session(site, capabilities=FORM), Session(site, capabilities=FORM)
        question = await session.call("asks_two").message(0)
        assert other.answer(question["id"], BOB).status == 400
        assert session.answer("nonsense", BOB).status == 400
        assert session.answer(question["id"], BOB).status == 202
        assert session.answer(question["id"], BOB).status == 400  # once
        assert site.modern("ping").status == 404
        alone = site.send({"jsonrpc": "2.0", "id": question["id"], "result": BOB})
        assert (alone.status, (await alone.answer())["error"]["code"]) == (400, -32600)

    play(db, scene)


@pytest.mark.parametrize("order", ["resume first", "answer first"])
@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26"])
def test_a_question_outlives_a_restart(db: Database, order: str, version: str) -> None:
    async def scene(site: Site, world: World) -> None:
        session = Session(site, version, ALL)
        connection = session.call("asks_two")
        question = await connection.message(0)
        last = connection.events[-1].id
        await site.core.close()
        if version == "2025-11-25":
            assert connection.ended.is_set()
            assert connection.events[-1].retry_ms == 500
        session.site = site = Site(db, world.plugin())
        await site.core.start()
        if order == "resume first":
            connection = session.get(last)
        assert session.answer(question["id"], BOB).status == 202
        await asyncio.sleep(0.02)
        if order == "answer first":
            connection = session.get(last)
        second = await connection.message(0)
        assert second["params"]["message"] == "How old?"
        session.answer(second["id"], OLD)
        assert text(await connection.answer()) == "{'name': 'Bob'} {'age': 99}"

    play(db, scene)


def test_a_question_that_did_not_arrive_is_asked_again_to_who_comes_back(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        session = Session(site, capabilities=FORM)
        connection = session.call("asks_two")
        question = await connection.message(0)
        priming = connection.events[0].id
        for _ in range(2):
            connection.leave()
            connection = session.get(priming)
            assert await connection.message(0) == question
            await site.core.close()
            session.site = site = Site(db, world.plugin())
            await site.core.start()

    play(db, scene)


def test_a_result_waits_for_the_client_that_left_even_over_a_restart(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        session = Session(site)
        connection = session.call("detaches")
        await connection.ended.wait()
        assert [event.retry_ms for event in connection.events] == [None, 20]
        world.go.set()
        await asyncio.sleep(0.02)
        last = connection.events[0].id
        assert text(await session.get(last).answer()) == "came back"
        session.site = Site(db, world.plugin())
        await session.site.core.start()
        assert text(await session.get(last).answer()) == "came back"
        stranger = Session(session.site)
        assert stranger.get(last).status == 400
        assert session.get("0" * 24 + "-0").status == 400

    play(db, scene)


def test_a_call_that_a_restart_interrupts_says_so(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        session = Session(site)
        connections = [session.call("waits"), site.call("waits")]
        await world.began.wait()
        await site.core.close()
        for connection in connections:
            assert text(await connection.answer()) == "the server restarted while this ran, and stopped it; call again"
        late = site.call("plain")
        assert "restarting" in (await late.answer())["error"]["message"]

    play(db, scene)


def test_a_waiting_question_can_be_cancelled(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        session = Session(site, capabilities=FORM)
        connection = session.call("asks_two", 9)
        question = await connection.message(0)
        session.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}})
        await connection.ended.wait()
        assert len(connection.messages) == 1
        assert session.answer(question["id"], BOB).status == 400
        assert world.runs == 1

    play(db, scene)


def test_a_prompt_may_ask_too(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        given: dict[str, Any] = {"name": "made", "arguments": {"topic": "Tea"}}
        first = (await site.modern("prompts/get", FORM, **given).answer())["result"]
        assert first["resultType"] == "input_required"
        answers: dict[str, Any] = {"inputResponses": {"name": BOB}, "requestState": first["requestState"]}
        result = (await site.modern("prompts/get", FORM, **given, **answers).answer())["result"]
        assert result["messages"][0]["content"]["text"] == "Tea for {'name': 'Bob'}"
        wrong = await site.modern("prompts/get", FORM, name="made").answer()
        assert wrong["error"]["message"] == "prompt made: argument 'topic': is missing; it is required"
        listed = (await site.modern("prompts/list").answer())["result"]["prompts"]
        assert "made" in [prompt["name"] for prompt in listed]

    play(db, scene)


def test_confirm_is_a_yes_or_no(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        for said, told in (
            ({"action": "accept", "content": {"confirm": True}}, "True"),
            ({"action": "cancel"}, "False"),
        ):
            assert text(await site.call("confirms", FORM, inputResponses={"sure": said}).answer()) == told

    play(db, scene)

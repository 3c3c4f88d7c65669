"""Tasks (extension ``io.modelcontextprotocol/tasks``): rows that outlive their connection and the daemon."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mcpd.store.database import Database
from tests.unit.server.client import FORM, TASKS, Session, Site
from tests.unit.server.test_asking import BOB, OLD
from tests.unit.server.test_calls import play, text
from tests.unit.server.tools import World

BOTH = {**FORM, **TASKS}


async def get(site: Site, task_id: str, **more: Any) -> Any:
    return (await site.modern("tasks/get", BOTH, taskId=task_id, **more).answer())["result"]


async def settled(site: Site, task_id: str, *statuses: str) -> Any:
    async with asyncio.timeout(5):
        while (task := await get(site, task_id))["status"] not in (statuses or ("completed", "failed", "cancelled")):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return task


async def started(site: Site, tool: str, **more: Any) -> Any:
    result = (await site.call(tool, BOTH, **more).answer())["result"]
    assert result["resultType"] == "task"
    return result


def test_a_task_lives_on_its_own(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        task = await started(site, "task")
        assert task.keys() == {
            "taskId", "status", "createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs", "resultType", "_meta",
        }  # fmt: skip
        assert len(task["taskId"]) >= 22
        await world.began.wait()
        working = await settled(site, task["taskId"], "working")
        assert working["resultType"] == "complete"
        world.go.set()
        done = await settled(site, task["taskId"])
        assert text(done) == "task done"
        assert [row[0] for row in db.rows("SELECT outcome FROM audit WHERE operation = 'tools/call'")] == ["task", "ok"]

    play(db, scene)


def test_who_does_not_know_tasks_gets_the_result_or_is_told(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        world.go.set()
        assert text(await site.call("task").answer()) == "task done"
        assert text(await Session(site).call("task").answer()) == "task done"
        connection = site.call("task_only")
        error = (await connection.answer())["error"]
        assert (error["code"], connection.status, error["data"]) == (-32021, 400, {"requiredCapabilities": TASKS})
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            asked = await site.modern(method, taskId="x").answer()
            assert asked["error"]["code"] == -32021
        for method in ("tasks/list", "tasks/result"):
            assert (await site.modern(method, BOTH, taskId="x").answer())["error"]["code"] == -32601

    play(db, scene)


def test_a_task_is_its_callers_alone(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        task_id = (await started(site, "task"))["taskId"]
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            for asked in ({"taskId": task_id, "caller": "mallory"}, {"taskId": "guessed"}):
                error = (await site.modern(method, BOTH, inputResponses={}, **asked).answer())["error"]
                assert (error["code"], error["message"]) == (-32602, "there is no such task; it may have expired")

    play(db, scene)


def test_a_task_may_fail_by_error_and_is_cancelled_for_good(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        failed = await settled(site, (await started(site, "task_only"))["taskId"])
        assert (failed["status"], failed["error"]) == ("failed", {"code": -32602, "message": "no"})
        task_id = (await started(site, "task"))["taskId"]
        await world.began.wait()
        for _ in range(2):
            assert (await site.modern("tasks/cancel", BOTH, taskId=task_id).answer())["result"].keys() == {
                "resultType", "_meta",
            }  # fmt: skip
        await asyncio.wait_for(world.stopped.wait(), 5)
        assert (await settled(site, task_id))["status"] == "cancelled"

    play(db, scene)


def test_a_task_asks_and_takes_its_answers_in_parts(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        first = (await site.call("task_asks", BOTH).answer())["result"]
        assert first["resultType"] == "input_required"
        state = {"requestState": first["requestState"], "inputResponses": {"before": BOB}}
        task = await started(site, "task_asks", **state)
        assert not {"requestState", "inputRequests"} & task.keys()
        task_id = task["taskId"]
        waiting = await settled(site, task_id, "input_required")
        assert waiting["inputRequests"].keys() == {"name", "age"}

        async def update(responses: Any, code: int | None = None) -> None:
            answer = await site.modern("tasks/update", BOTH, taskId=task_id, inputResponses=responses).answer()
            assert answer.get("error", {}).get("code") == code

        await update({"name": 5}, -32602)
        await update(None, -32602)
        await update({"unasked": BOB})
        await update({"name": BOB})
        waiting = await get(site, task_id)
        assert (waiting["status"], waiting["inputRequests"].keys()) == ("input_required", {"age"})
        site = Site(db, world.plugin())  # and the daemon restarts
        await site.core.start()
        answer = await site.modern("tasks/update", BOTH, taskId=task_id, inputResponses={"age": OLD}).answer()
        assert "error" not in answer
        assert text(await settled(site, task_id)) == "{'name': 'Bob'} [{'name': 'Bob'}, {'age': 99}]"
        done, heard = await get(site, task_id), db.value("SELECT max(seq) FROM events")
        late = await site.modern("tasks/update", BOTH, taskId=task_id, inputResponses={"age": OLD}).answer()
        assert "error" not in late
        assert (await get(site, task_id), db.value("SELECT max(seq) FROM events")) == (done, heard)

    play(db, scene)


@pytest.mark.parametrize(("tool", "status"), [("task", "completed"), ("task_once", "failed")])
def test_after_a_restart_only_what_may_run_twice_does(db: Database, tool: str, status: str) -> None:
    async def scene(site: Site, world: World) -> None:
        task_id = (await started(site, tool))["taskId"]
        await world.began.wait()
        await site.core.close()
        site = Site(db, world.plugin())
        await site.core.start()
        world.go.set()
        task = await settled(site, task_id)
        assert (task["status"], world.runs) == (status, 2 if status == "completed" else 1)
        if status == "failed":
            assert task["error"]["message"] == "the server restarted while this ran; it may have done part of its work"

    play(db, scene)


def test_a_listener_hears_of_its_own_tasks(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        task_id = (await started(site, "task"))["taskId"]
        ids = {"taskIds": [task_id, "guessed"]}
        stream = site.modern("subscriptions/listen", BOTH, notifications=ids)
        acknowledged = await stream.message(0)
        assert acknowledged["params"]["notifications"] == {"taskIds": [task_id]}
        await world.began.wait()
        world.go.set()
        await settled(site, task_id)
        told = stream.messages[-1]
        assert (told["method"], told["params"]["status"]) == ("notifications/tasks", "completed")
        assert text(told["params"] | {"result": told["params"]["result"]}) == "task done"
        other = site.modern("subscriptions/listen", BOTH, notifications=ids, caller="mallory")
        assert (await other.message(0))["params"]["notifications"] == {}
        unaware = await site.modern("subscriptions/listen", notifications=ids).answer()
        assert unaware["error"]["code"] == -32021

    play(db, scene)

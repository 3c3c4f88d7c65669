"""Tools that wait, ask and report, for the tests of the engine that runs them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from mcpd.errors import InvalidParams, ToolFailed
from mcpd.plugins.base import Plugin
from mcpd.prompts.base import Argument
from mcpd.prompts.functions import FunctionPrompt, Message
from mcpd.protocol import asks
from mcpd.protocol.content import Audio, ResourceLink, Text
from mcpd.tools.asynchronous import AsyncTool, Outcome
from mcpd.tools.context import Context, Stopped, confirm

NAME = asks.form("Who?", {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})
AGE = asks.form("How old?", {"type": "object", "properties": {"age": {"type": "integer"}}})


class World:
    """What the tools wait for and leave behind."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.began = asyncio.Event()
        self.stopped = asyncio.Event()
        self.thread_stopped = asyncio.Event()
        self.runs = 0

    async def plain(self, _context: Context, _arguments: object) -> str:
        return "plain"

    async def stored(self, context: Context, _arguments: object) -> str:
        return str(await context.store(lambda call: call.heard_of("somebody")))

    async def reports(self, context: Context, _arguments: object) -> str:
        for done in (0, 50, 50, 100):
            context.progress(done, 100, f"{done} %")
        context.log("debug", "quietly")
        context.log("warning", {"loudly": True}, "tools")
        return "reported"

    async def asks_two(self, context: Context, _arguments: object) -> str:
        self.runs += 1
        name = (await context.ask({"name": NAME}))["name"]
        if isinstance(name, asks.Elicited) and name.action != "accept":
            return f"{name.action}d"
        age = (await context.ask({"age": AGE}))["age"]
        assert isinstance(name, asks.Elicited)
        assert isinstance(age, asks.Elicited)
        return f"{name.content} {age.content}"

    async def asks_all(self, context: Context, _arguments: object) -> str:
        said = await context.ask(
            {
                "name": NAME,
                "model": asks.sampling([{"role": "user", "content": {"type": "text", "text": "?"}}], 10),
                "roots": asks.roots(),
                "page": asks.url("Sign in", "https://example.org/"),
            }
        )
        model, roots = said["model"], said["roots"]
        assert isinstance(model, asks.Sampled)
        assert isinstance(roots, tuple)
        return f"{model.text} {roots[0].uri}"

    async def confirms(self, context: Context, _arguments: object) -> str:
        return str(await confirm(context, "sure", "Sure?"))

    async def waits(self, context: Context, _arguments: object) -> str:
        self.runs += 1
        self.began.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        context.progress(1, 1)
        return "waited"

    async def detaches(self, context: Context, _arguments: object) -> str:
        context.detach(20)
        await self.go.wait()
        return "came back"

    async def threads(self, context: Context, _arguments: object) -> str:
        loop = asyncio.get_running_loop()

        def work(stopped: Stopped) -> str:
            loop.call_soon_threadsafe(self.began.set)
            while not stopped.is_set():
                time.sleep(0.001)
            loop.call_soon_threadsafe(self.thread_stopped.set)
            return "stopped"

        return await context.in_thread(work)

    async def fails(self, _context: Context, _arguments: object) -> str:
        raise ToolFailed("it does not want to")

    async def breaks(self, _context: Context, _arguments: object) -> str:
        raise RuntimeError("the secret detail")

    async def lies(self, _context: Context, _arguments: object) -> Outcome:
        return Outcome(structured={"number": "one"})

    async def counts(self, _context: Context, arguments: Mapping[str, Any]) -> Outcome:
        return Outcome(structured=[arguments["number"], 2])

    async def shows(self, _context: Context, _arguments: object) -> list[Text | Audio | ResourceLink]:
        return [Text("text"), Audio(b"RIFF", "audio/wav"), ResourceLink("agent://a", "a")]

    async def task(self, context: Context, _arguments: object) -> str:
        self.runs += 1
        await context.as_task()
        self.began.set()
        context.progress(1, 2, "half")
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        return "task done"

    async def task_only(self, context: Context, _arguments: object) -> str:
        await context.as_task(required=True)
        raise InvalidParams("no")

    async def task_asks(self, context: Context, _arguments: object) -> str:
        name = (await context.ask({"before": NAME}))["before"]
        await context.as_task()
        said = await context.ask({"name": NAME, "age": AGE})
        assert isinstance(name, asks.Elicited)
        return f"{name.content} {[answer.content for answer in said.values() if isinstance(answer, asks.Elicited)]}"

    async def prompt(self, context: Context, values: Mapping[str, str]) -> list[Message]:
        name = (await context.ask({"name": NAME}))["name"]
        assert isinstance(name, asks.Elicited)
        return [Message(Text(f"{values['topic']} for {name.content}"))]

    def plugin(self) -> Plugin:
        functions = (
            self.plain, self.stored, self.reports, self.asks_two, self.asks_all, self.confirms, self.waits,
            self.detaches, self.threads, self.fails, self.breaks, self.shows, self.task_only, self.task_asks,
        )  # fmt: skip
        number = {"type": "object", "properties": {"number": {"type": "integer", "x-mcp-header": "Number"}}}
        tools = [AsyncTool(name=f.__name__, title=f.__name__, description="A test.", function=f) for f in functions]
        tools += [
            AsyncTool(name="task", title="T", description="A test.", function=self.task, idempotent=True),
            AsyncTool(name="task_once", title="T", description="A test.", function=self.task),
            AsyncTool(name="lies", title="T", description="A test.", function=self.lies, result=number),
            AsyncTool(
                name="counts", title="T", description="A test.", function=self.counts,
                arguments={**number, "required": ["number"]}, result={"type": "array"},
            ),
            AsyncTool(name="typed", title="T", description="A test.", function=self.plain, result=Typed),
        ]  # fmt: skip
        prompts = [
            FunctionPrompt(
                name="made", description="A test.", arguments=(Argument("topic", required=True),), function=self.prompt
            )
        ]
        return Plugin(tools=tools, prompts=prompts)


class Typed(msgspec.Struct):
    """A result."""

    number: int

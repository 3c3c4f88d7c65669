"""``POST /api/mcp/hooks/{name}``: what ``mcpd-hook`` passes on. The answer is what the hook prints for its agent.

An agent's state follows from its events, a phrase in what it wrote calls the tool that it asks for, and prompts are
suggested for what it was told. Whatever is wrong, the agent is never stopped: every answer that is not an error
continues, and the hook continues on errors by itself.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from mcpd.errors import Error, InvalidRequest, ParseError, StoreUnavailable
from mcpd.hooks import events, requests
from mcpd.hooks.events import Hook
from mcpd.legacy import arguments, phrases
from mcpd.protocol import jsonrpc
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.server import catalogue, rest
from mcpd.server.work import Work, call_tool
from mcpd.store import agents, hooks
from mcpd.store import events as outbox
from mcpd.store.database import store_errors
from mcpd.store.hooks import HookState

AGENT = b"x-agent-name"
_STATUS = {
    "idle": "idle",
    "working": "busy",
    "waiting_for_permission": "busy",
    "waiting_for_input": "idle",
    "ended": "offline",
}


def post(http: HttpRequest, work: Work) -> HttpResponse:
    """Take note of the event; return what to tell the agent, in Claude Code's form of a hook's output."""
    try:
        event = events.event_name(work.target)
        work.method = f"hooks/{event}"
        hook = events.read(event, _decoded(http.body))
        agent = requests.who(hook, _named(http))
        work.session_id = hook.session_id or None
        _note_state(work, hook, agent)
        logged = requests.activity(hook, agent)
        if logged is not None:
            _call(work, "log_activity", logged)
        words = [said for said in (_phrase(work, hook, agent), *_words(work, hook)) if said]
    except Error as error:
        return rest.refuse(work, error)
    if not words:
        return rest.answer({"continue": True})
    return rest.answer({"continue": True, "systemMessage": "\n".join(words), "suppressOutput": False})


def _decoded(body: bytes) -> object:
    try:
        return jsonrpc.decode(body)
    except ParseError:
        return jsonrpc.decode(events.mended(body))


def _named(http: HttpRequest) -> str:
    """Return the agent that the header names, percent-encoded since a header is ASCII; empty if none does."""
    wrong = InvalidRequest("X-Agent-Name: expected printable text in percent-encoded UTF-8")
    try:
        name = unquote_to_bytes(http.headers.get(AGENT, b"")).decode()
    except UnicodeDecodeError as exc:
        raise wrong from exc
    if not name.isprintable():
        raise wrong
    return name.strip()


def _note_state(work: Work, hook: Hook, agent: str) -> None:
    """Keep what the agent does now; a change is told to all who listen, and is in the audit as ``update_status``."""
    with store_errors():
        before = hooks.find(work.db, agent)
    state = hook.state
    if state is None:
        return
    changed = before is None or before.state != state or bool(hook.task)
    if changed:
        with store_errors():
            known = agents.find(work.db, agent)
        task = hook.task or (known.current_task if known is not None and _STATUS[state] == "busy" else None)
        said = {"agent": agent, "status": _STATUS[state]} | ({"current_task": task} if task else {})
        call_tool(work, {"name": "update_status", "arguments": said})
    work.stored = True
    work.turn.run(lambda: _keep(work, hook, agent, before))


def _keep(work: Work, hook: Hook, agent: str, before: HookState | None) -> None:
    state = hook.state
    assert state is not None
    hooks.put(work.db, work.now_us, agent, state, hook.session_id or None, hook.directory or None)
    if before is not None and before.state == state:
        agents.touch(work.db, agent, work.now_us)
        return
    data = {"state": state, "before": None if before is None else before.state, "session": hook.session_id or None}
    outbox.add(work.db, work.now_us, "agent.hook", agent, data)


def _phrase(work: Work, hook: Hook, agent: str) -> str | None:
    """Do what a phrase in the agent's words asks for, if there is one; return what came of it."""
    found = next((phrase for text in hook.spoken if (phrase := phrases.find(text)) is not None), None)
    if found is None:
        found = phrases.find(hook.prompt, spoken=False)
    if found is None:
        return None
    asked = requests.of_phrase(found, agent)
    try:
        result = _call(work, found.tool, asked)
    except StoreUnavailable:
        raise
    except Error as error:
        return f"❌ MCP Error: {error.message}"
    return f"✅ MCP: {requests.told(found.tool, asked, result)}"


def _call(work: Work, tool: str, asked: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = orjson.loads(call_tool(work, {"name": tool, "arguments": arguments.modern(tool, asked)}))
    return result


def _words(work: Work, hook: Hook) -> list[str | None]:
    """Return what else the agent is to be told at this event."""
    if hook.event == "SessionStart":
        available = catalogue.counts(work)
        tools = f"{len(work.site.tools)} tools, {available['resources_count']} resources"
        return [f"MCP v2 Connected - {tools}, {available['prompts_count']} prompts available"]
    if hook.event == "UserPromptSubmit" and hook.prompt:
        offered = [(prompt["name"], prompt["description"]) for prompt in catalogue.prompts(work)]
        lines = [f"- {name}: {text}" for name, text in requests.suggested(hook.prompt, offered)]
        return ["💡 Suggested MCP prompts:\n" + "\n".join(lines)] if lines else []
    if hook.event == "PreCompact":
        return ["📝 MCP state saved before compaction"]
    return [requests.warning(hook)]

"""Plug-ins in a real daemon: the manual's example works, broken ones are left out and told of, the rest is served."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mcpd
from tests.functional import plugins
from tests.functional.conftest import MakeDaemon
from tests.functional.daemon import Daemon, Reply
from tests.functional.mcp import META, in_session, initialize, modern
from tests.functional.streams import listen, session_stream

ROOT = Path(mcpd.__file__).parents[1]
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
SOUND = """
from mcpd.plugins.api import AsyncTool, Context, FunctionPrompt, NoArguments, Plugin, Resource, Content
async def say(context, arguments):
    return "NAME"
def read(reading):
    return Content("text/plain", "NAME")
async def prompt(context, values):
    return "the plug-in's"
PLUGIN = Plugin(
    tools=[AsyncTool(name="NAME_tool", title="Say", description="Say it.", function=say)],
    prompts=[FunctionPrompt(name="run_tests", description="Ours", function=prompt)] if "NAME" == "first" else [],
    resources=[Resource("NAME://x", "NAME", "Name", "It.", "text/plain", read)],
)
"""


def example() -> str:
    """The first example of mcpd-plugins(5), as it would be typed."""
    page = (ROOT / "man" / "mcpd-plugins.5").read_text().partition(".Sh EXAMPLES\n")[2]
    found = re.search(r"^\.Bd -literal -offset indent\n(.*?)^\.Ed\n", page, flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    assert "\\" not in found[1], "nothing is escaped, so what stands there is what is shown"
    return found[1]


def sound(name: str) -> str:
    return SOUND.replace("NAME", name)


def call(rpc: Daemon, name: str, arguments: dict[str, Any] | None = None, **params: Any) -> Reply:
    asking = META | {CAPABILITIES: {"elicitation": {}}}
    headers = {"Mcp-Param-Region": arguments["region"]} if arguments and "region" in arguments else {}
    asked = {"_meta": asking, "name": name, "arguments": arguments or {}} | params
    return modern(rpc, "tools/call", asked, headers=headers)


def mcpctl(rpc: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mcpd.ctl.main", *words, "--url", f"unix:{rpc.socket_path}"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30, check=False)


def states(rpc: Daemon) -> dict[str, tuple[str, str | None]]:
    listed = rpc.request("GET", "/api/mcp/plugins").json["plugins"]
    return {plugin["name"]: (plugin["state"], plugin["error"]) for plugin in listed}


@pytest.fixture
def releases(make_daemon: MakeDaemon, tmp_path: Path) -> Daemon:
    """A daemon with the manual's example."""
    return make_daemon(plugins.put(tmp_path, releases=example()))


def test_the_manuals_example_asks_before_it_releases(releases: Daemon) -> None:
    wanted = {"version": "2.1", "region": "eu"}
    asked = call(releases, "release", wanted).json["result"]
    assert asked["inputRequests"]["sure"]["params"]["message"] == "Release 2.1 to eu?"
    stream = listen(releases, 1, resourceSubscriptions=["releases://all"])
    stream.take(1)
    answers = {"sure": {"action": "accept", "content": {"confirm": True}}}
    done = call(releases, "release", wanted, inputResponses=answers, requestState=asked["requestState"])
    assert done.json["result"]["structuredContent"] == {"version": "2.1", "steps": 3}
    [updated] = stream.take(1)
    assert (updated.data["method"], updated.data["params"]["uri"]) == (
        "notifications/resources/updated",
        "releases://all",
    )
    stream.close()
    [held] = modern(releases, "resources/read", {"uri": "releases://all"}).json["result"]["contents"]
    assert json.loads(held["text"]) == [wanted]


def test_the_manuals_example_takes_no_for_an_answer(releases: Daemon) -> None:
    wanted = {"version": "2.1", "region": "eu"}
    asked = call(releases, "release", wanted).json["result"]
    said = {"sure": {"action": "decline"}}
    refused = call(releases, "release", wanted, inputResponses=said, requestState=asked["requestState"])
    result = refused.json["result"]
    assert (result["isError"], result["content"][0]["text"]) == (True, "the user does not want this release")


def test_the_manuals_example_repeats_an_argument_as_a_header(releases: Daemon) -> None:
    wanted = {"name": "release", "arguments": {"version": "2.1", "region": "eu"}}
    for headers in ({}, {"Mcp-Param-Region": "us"}):
        refused = modern(releases, "tools/call", wanted, headers=headers)
        assert (refused.status, refused.json["error"]["code"]) == (400, -32020)


def test_the_manuals_example_has_a_prompt(releases: Daemon) -> None:
    asked = {"name": "release_notes", "arguments": {"version": "2.1"}}
    [message] = modern(releases, "prompts/get", asked).json["result"]["messages"]
    assert message["content"]["text"] == "Write the release notes of version 2.1."


def test_what_a_plugin_brings_is_listed_and_counted(releases: Daemon) -> None:
    [plugin] = releases.request("GET", "/api/mcp/plugins").json["plugins"]
    assert plugin == {
        "name": "releases",
        "source": str(releases.directory.parent / "tools.d" / "releases.py"),
        "version": "1.0",
        "state": "loaded",
        "tools": ["release"],
        "prompts": ["release_notes"],
        "resources": ["releases://all"],
        "templates": [],
        "error": None,
    }
    names = [tool["name"] for tool in modern(releases, "tools/list").json["result"]["tools"]]
    assert "release" in names
    stats = releases.request("GET", "/api/mcp/status").json["stats"]
    assert (stats["tools_available"], stats["plugins_loaded"], stats["plugins_broken"]) == (len(names), 1, 0)
    assert "plug-in releases of" in releases.log()


def test_a_broken_plugin_is_left_out_and_the_others_are_served(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    settings = plugins.put(
        tmp_path,
        first=sound("first"),
        second=sound("second"),
        broken="import nowhere_to_be_found",
        ending="raise SystemExit(3)",
        unlisted=sound("unlisted").replace('"Say it."', '""'),
        taken=sound("heartbeat").replace("heartbeat_tool", "heartbeat"),
        open="raise RuntimeError('it ran')",
    )
    (tmp_path / "tools.d" / "open.py").chmod(0o666)
    rpc = make_daemon(settings)
    assert states(rpc) == {
        "broken": ("broken", "ModuleNotFoundError: No module named 'nowhere_to_be_found' (broken.py:1)"),
        "ending": ("broken", "SystemExit: 3 (ending.py:1)"),
        "first": ("loaded", None),
        "open": ("broken", "others may write it, mode 0666; chmod go-w"),
        "second": ("loaded", None),
        "taken": ("broken", "tool 'heartbeat': mcpd has one of that name"),
        "unlisted": ("broken", "tool 'unlisted_tool': description: expected words, got ''"),
    }
    assert call(rpc, "second_tool").json["result"]["content"][0]["text"] == "second"
    assert call(rpc, "heartbeat", {"agent": "alice"}).json["result"]["isError"] is False
    log = rpc.log()
    assert "<4>plug-in ending of" in log
    assert log.count("is left out: ") == 5
    shown = mcpctl(rpc, "plugins")
    assert (shown.returncode, shown.stderr) == (1, "")
    assert "others may write it, mode 0666; chmod go-w" in shown.stdout
    listed = mcpctl(rpc, "plugins", "--json")
    assert listed.returncode == 1
    assert {plugin["name"]: plugin["state"] for plugin in json.loads(listed.stdout)} == {
        name: state for name, (state, _) in states(rpc).items()
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_not_run(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    settings = plugins.put(tmp_path, foreign="raise RuntimeError('it ran')", first=sound("first"))
    os.chown(tmp_path / "tools.d" / "foreign.py", 65534, -1)
    rpc = make_daemon(settings)
    assert states(rpc) == {
        "first": ("loaded", None),
        "foreign": ("broken", "user 65534 owns it; expected root, or the user that runs the daemon"),
    }


def test_what_is_disabled_is_not_loaded(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    settings = plugins.put(tmp_path, first=sound("first"), second=sound("second"))
    rpc = make_daemon(settings + 'disabled = ["first", "gone"]\n')
    assert states(rpc) == {"first": ("disabled", None), "second": ("loaded", None)}
    assert call(rpc, "first_tool").json["error"]["code"] == -32602
    assert "tools.disabled names gone, but there is no plug-in of that name" in rpc.log()
    assert mcpctl(rpc, "plugins").returncode == 0


def test_the_traceback_is_for_those_who_ask(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    settings = plugins.put(tmp_path, broken="def fail():\n    raise KeyError('x')\nfail()\n")
    rpc = make_daemon(settings + '[log]\nlevel = "debug"\n')
    assert "Traceback" in rpc.log()
    assert 'broken.py", line 2, in fail' in rpc.log()
    rpc.stderr.write_text("")
    assert states(rpc) == {"broken": ("broken", "KeyError: 'x' (broken.py:2)")}


def test_an_installed_package_brings_tools(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    site = tmp_path / "site"
    information = site / "shop-2.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 2.0\n")
    (information / "entry_points.txt").write_text("[mcpd.tools]\nmarket = shop\nbroken = shop:missing\n")
    (site / "shop.py").write_text(sound("buy"))
    rpc = make_daemon(environment={"PYTHONPATH": f"{ROOT}:{site}"})
    found = states(rpc)
    assert found["market"] == ("loaded", None)
    assert found["broken"][0] == "broken"
    assert str(found["broken"][1]).startswith("AttributeError: module 'shop' has no attribute 'missing'")
    assert call(rpc, "buy_tool").json["result"]["content"][0]["text"] == "buy"
    [market] = [p for p in rpc.request("GET", "/api/mcp/plugins").json["plugins"] if p["name"] == "market"]
    assert (market["source"], market["version"]) == ("shop", "2.0")


def test_without_plugins_there_are_none(rpc: Daemon) -> None:
    assert rpc.request("GET", "/api/mcp/plugins").json == {"plugins": []}
    shown = mcpctl(rpc, "plugins")
    assert (shown.returncode, shown.stdout) == (0, "no plug-ins\n")


def test_a_plugins_prompt_goes_before_the_one_of_its_name_and_is_not_for_mcpctl(
    make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    rpc = make_daemon(plugins.put(tmp_path, first=sound("first")))
    [message] = modern(rpc, "prompts/get", {"name": "run_tests"}).json["result"]["messages"]
    assert message["content"]["text"] == "the plug-in's"
    prompt = tmp_path / "prompt.json"
    prompt.write_text('{"description": "x", "template": "x"}')
    for words in (("show", "run_tests"), ("set", "run_tests", str(prompt)), ("remove", "run_tests")):
        refused = mcpctl(rpc, "prompt", *words)
        assert refused.returncode == 1
        assert "prompt run_tests: a plug-in makes it, so it cannot be shown, set or removed" in refused.stderr


def test_clients_are_told_when_a_plugin_came(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    rpc = make_daemon(plugins.put(tmp_path, second=sound("second")))
    session_id = initialize(rpc).headers["Mcp-Session-Id"]
    stream = session_stream(rpc, session_id)
    in_session(rpc, session_id, "tools/call", {"name": "heartbeat", "arguments": {"agent": "alice"}})
    _, heard = stream.take(2)
    plugins.write(tmp_path / "tools.d" / "first.py", sound("first"))
    rpc.restart()
    again = session_stream(rpc, session_id, heard.id)
    lists = [event.data["method"].removeprefix("notifications/") for event in again.take(4)[1:]]
    assert lists == ["tools/list_changed", "prompts/list_changed", "resources/list_changed"]
    rpc.restart()
    call(rpc, "heartbeat", {"agent": "bob"})
    last = session_stream(rpc, session_id, heard.id).take(5)[-1]
    assert last.data["method"] == "notifications/resources/list_changed", "bob is new, and no other list changed"


ENDING = """
import asyncio, sys
from mcpd.plugins.api import AsyncTool, Arguments, Plugin, Result, Tool
def end(*_):
    sys.exit(3)
async def ends(*_):
    end()
async def task(context, arguments):
    await asyncio.gather(ends(), asyncio.sleep(0.01))
async def callback(context, arguments):
    asyncio.get_running_loop().call_soon(end)
    await asyncio.sleep(0.05)
    return "went on"
async def thread(context, arguments):
    return await context.in_thread(end)
def base(call, arguments):
    raise BaseException("base")
async def stays(context, arguments):
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
LATER = [("ends", ends), ("task", task), ("callback", callback), ("thread", thread), ("stays", stays)]
AT_ONCE = [("end", end), ("base", base)]
PLUGIN = Plugin(
    tools=[AsyncTool(name=name, title="T", description="It ends.", function=function) for name, function in LATER]
    + [
        Tool(name=name, title="T", description="It ends.", arguments=Arguments, result=Result, function=function)
        for name, function in AT_ONCE
    ]
)
"""


def test_a_plugin_cannot_end_the_daemon_and_a_signal_does(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    rpc = make_daemon(plugins.put(tmp_path, ending=ENDING))
    for name in ("ends", "task", "thread", "end", "base"):
        assert call(rpc, name).json["error"] == {
            "code": -32603,
            "message": "internal error; the journal has the details",
        }
    assert call(rpc, "callback").json["result"]["content"][0]["text"] == "went on"
    assert call(rpc, "heartbeat", {"agent": "alice"}).json["result"]["isError"] is False
    assert rpc.log().count("SystemExit: 3") >= 5
    rpc.stderr.write_text("")
    assert rpc.stop() == 0
    rpc.start()
    with socket.create_connection(("127.0.0.1", rpc.port)) as client:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "stays"}}).encode()
        head = "POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert call(rpc, "heartbeat", {"agent": "alice"}).json["result"]["isError"] is False
    assert rpc.stop(signal.SIGINT) == 0

"""Plug-ins under the sandbox of the installed service: files in /etc/mcpd/tools.d, packages of the system's Python."""

from __future__ import annotations

import json
from typing import Any

from .machine import Guest

FOLDER = "/etc/mcpd/tools.d"
SAY = """
from mcpd.plugins.api import AsyncTool, Context, NoArguments, Plugin
async def say(context: Context, nothing: NoArguments) -> str:
    return await context.in_thread(lambda stopped: "NAME")
PLUGIN = Plugin(tools=[AsyncTool(name="NAME", title="Say", description="Say a word.", function=say)])
"""


def put(guest: Guest, path: str, text: str) -> None:
    guest.exec("sh", "-c", f"mkdir -p $(dirname {path}) && cat >{path} <<'EOF'\n{text}EOF")


def states(guest: Guest) -> dict[str, str]:
    listed: list[dict[str, Any]] = json.loads(guest.exec("sh", "-c", "mcpctl --json plugins || :"))
    return {plugin["name"]: plugin["state"] for plugin in listed}


def test_the_package_brings_the_directory_and_nothing_in_it(guest: Guest) -> None:
    assert guest.exec("stat", "-c", "%U %a", FOLDER) == "root 755\n"
    assert states(guest) == {}


def test_files_and_packages_are_served_and_what_a_user_may_write_is_not(guest: Guest) -> None:
    put(guest, f"{FOLDER}/said.py", SAY.replace("NAME", "from_a_file"))
    put(guest, f"{FOLDER}/open.py", SAY.replace("NAME", "from_anybody"))
    guest.exec("chmod", "666", f"{FOLDER}/open.py")
    site = "/usr/lib/python3/dist-packages"
    put(guest, f"{site}/shop.py", SAY.replace("NAME", "from_a_package"))
    put(guest, f"{site}/shop-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    put(guest, f"{site}/shop-1.0.dist-info/entry_points.txt", "[mcpd.tools]\nmarket = shop\n")
    guest.exec("systemctl", "restart", "mcpd-rpc.service")
    assert states(guest) == {"market": "loaded", "open": "broken", "said": "loaded"}
    for name in ("from_a_file", "from_a_package"):
        assert name in guest.exec("mcpctl", "call", name)
    warned = guest.journal("-u", "mcpd-rpc", "-p", "warning")
    assert f"plug-in open of {FOLDER}/open.py is left out: others may write it, mode 0666; chmod go-w" in warned
    assert guest.exec("ls", FOLDER).split() == ["open.py", "said.py"], "nothing is written beside them"

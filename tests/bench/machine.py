"""Where the figures come from: the machine and the versions of everything that took part."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import apsw

import mcpd
from tests.bench.processes import output
from tests.bench.servers import sdk_python


def machine() -> str:
    """Return the machine in a line."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    model = found[1] if found else platform.machine()
    usable, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    return f"{model}, {usable} usable cores, Linux {platform.release()}, load average {load:.1f} at the start"


def versions() -> dict[str, str]:
    """Return the versions of the servers and of what mcpd stands on."""
    found = {"mcpd": mcpd.__version__, "Python": platform.python_version(), "SQLite": apsw.sqlite_lib_version()}
    found |= {package: version(package) for package in ("apsw", "httptools", "orjson", "msgspec", "uvloop")}
    found["mcp SDK"] = output([sdk_python(), "-c", "from importlib.metadata import version; print(version('mcp'))"])
    # Both of these print their version as part of a help text, wrk with the exit status of an error.
    for program in ("nginx", "wrk"):
        said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
        number = re.search(r"\d+\.\d+(\.\d+)?", said.stderr + said.stdout)
        found[program] = number[0] if number else "?"
    return {name: number.strip() for name, number in found.items()}

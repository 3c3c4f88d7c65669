"""What an agent does, guessed from the text on its screen.

A guess, for agents that do not tell by themselves: the words are Claude Code's, and of the shell and its programs.
Only the end of the screen counts; further up stands what was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mcpd.terminals.states import State

TAIL_LINES = 30
MAX_LINE = 200

_BOX = "│┃|╭╰╮╯─━ \t\u00a0"
_WORKING = re.compile(r"\b(?:esc|ctrl\+c) to interrupt\b", re.IGNORECASE)
_PERMISSION = re.compile(
    r"^(?:Do you want to (?:proceed|make this edit|create|overwrite|run|allow|use|fetch)\b.*\?"
    r"|Would you like to (?:proceed|run the following command)\b.*\?"
    r"|Do you want to .* to .*\?"
    r"|Claude needs your permission\b.*"
    r"|Allow (?:this )?(?:command|tool|edit|once)\b.*\?)$",
    re.IGNORECASE,
)
_CHOSEN = re.compile(r"^[❯›▶]\s*\d+[.)]\s+\S")
_QUESTION = re.compile(
    r"\bEnter to (?:select|confirm|continue|submit)\b|\bPress (?:Enter|any key|RETURN)\b|\[[Yy]/[Nn]\]|\[[Nn]/[Yy]\]"
    r"|\(y(?:es)?/n(?:o)?(?:/\[fingerprint\])?\)\??:?$|\b(?:pass(?:word|phrase)|login)\b[^:]{0,60}:$"
    r"|--More--|^\(END\)$",
    re.IGNORECASE,
)
_PROMPT = re.compile(r"^(?:❯|>|›)(?:\s.*)?$")
_SHELL = re.compile(r"(?:^|[\w\]\)~/ :])[$#%❯➜]$")


def tail(lines: Sequence[str]) -> list[str]:
    """Return the last lines of a screen that hold text, without the frames that are drawn around it."""
    bare = [line.strip(_BOX) for line in lines]
    return [line[:MAX_LINE] for line in bare if line][-TAIL_LINES:]


def last_line(lines: Sequence[str]) -> str | None:
    """Return the last line with text, None for a blank screen."""
    found = tail(lines)
    return found[-1] if found else None


def read(lines: Sequence[str]) -> State | None:
    """Return what the screen *lines* says the agent does, None if it says nothing that we know.

    A dialog stands below what the agent does, so it is looked for first.
    """
    found = tail(lines)
    if not found:
        return None
    if any(_CHOSEN.match(line) for line in found):
        asked = any(_PERMISSION.match(line) for line in found)
        return State.WAITING_FOR_PERMISSION if asked else State.WAITING_FOR_INPUT
    if any(_WORKING.search(line) for line in found[-12:]):
        return State.WORKING
    if _QUESTION.search(found[-1]):
        return State.WAITING_FOR_INPUT
    if _SHELL.search(found[-1]) or any(_PROMPT.match(line) for line in found[-6:]):
        return State.IDLE
    return None

"""Screens of Claude Code and of shells, and what an agent that shows them does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.terminals import screen
from mcpd.terminals.states import State

BOX = """
╭──────────────────────────────────────────────────────────────────────────╮
│ >                                                                        │
╰──────────────────────────────────────────────────────────────────────────╯
  ? for shortcuts
"""
RULED = """
● Done. The parser now keeps the offset of each token.

──────────────────────────────────────────────────────────────────────────
❯
──────────────────────────────────────────────────────────────────────────
  ⏵⏵ accept edits on (shift+tab to cycle)
"""
WORKING = """
● Read(src/lexer.py)
  ⎿  Read 210 lines

✻ Pondering… (42s · ↑ 1.3k tokens · esc to interrupt)

╭──────────────────────────────────────────────────────────────────────────╮
│ >                                                                        │
╰──────────────────────────────────────────────────────────────────────────╯
  ? for shortcuts
"""
BASH = """
╭──────────────────────────────────────────────────────────────────────────╮
│ Bash command                                                             │
│                                                                          │
│   rm -rf build                                                           │
│   Remove the build directory                                             │
│                                                                          │
│ Do you want to proceed?                                                  │
│ ❯ 1. Yes                                                                 │
│   2. Yes, and don't ask again for rm commands in /srv/app                │
│   3. No, and tell Claude what to do differently (esc)                    │
╰──────────────────────────────────────────────────────────────────────────╯
"""
EDIT = """
 Edit file
 src/lexer.py
  12 -    return token
  12 +    return token, offset
 Do you want to make this edit to lexer.py?
   1. Yes
 ❯ 2. Yes, allow all edits during this session (shift+tab)
   3. No, and tell Claude what to do differently (esc)
"""
PLAN = """
 Ready to code?
 Here is Claude's plan: rename the module, then the tests.
 Would you like to proceed?
 ❯ 1. Yes, and auto-accept edits
   2. Yes, and manually approve edits
   3. No, keep planning
"""
TRUST = """
 Accessing workspace: /srv/app
 Quick safety check: Is this a project you created or one you trust?
 ❯ 1. Yes, I trust this folder
   2. No, exit
 Enter to confirm · Esc to cancel
"""
QUESTION = """
 ☐ Storage
 Which database should the tests use?
 ❯ 1. SQLite
   2. PostgreSQL
   3. Type something.
 Enter to select · Tab/Arrow keys to navigate · Esc to cancel
"""
QUOTED = """
● I read: "Do you want to proceed?" is what the script asks. Its choices:
  1. Yes
  2. No
──────────────────────────────────────────────────────────────────────────
❯ go on
──────────────────────────────────────────────────────────────────────────
"""


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (BOX, State.IDLE),
        (RULED, State.IDLE),
        (QUOTED, State.IDLE),
        (WORKING, State.WORKING),
        (BASH, State.WAITING_FOR_PERMISSION),
        (EDIT, State.WAITING_FOR_PERMISSION),
        (PLAN, State.WAITING_FOR_PERMISSION),
        (TRUST, State.WAITING_FOR_INPUT),
        (QUESTION, State.WAITING_FOR_INPUT),
        ("mcp-agent@box:/srv/app$ ", State.IDLE),
        ("# ", State.IDLE),
        ("Go on? [y/N] ", State.WAITING_FOR_INPUT),
        ("[sudo] password for bob: ", State.WAITING_FOR_INPUT),
        ("Overwrite (yes/no)? ", State.WAITING_FOR_INPUT),
        ("$ make\ncc -c main.c\n", None),
        ("\n \n", None),
    ],
)
def test_what_a_screen_says(text: str, state: State | None) -> None:
    assert screen.read(text.split("\n")) is state


def test_the_last_line_is_without_the_frame() -> None:
    assert screen.last_line(BOX.split("\n")) == "? for shortcuts"
    assert screen.last_line(["  ", "│  hello   │", "╰───╯", ""]) == "hello"
    assert screen.last_line([]) is None


@given(st.lists(st.text(max_size=300), max_size=60))
def test_no_screen_is_too_strange(lines: list[str]) -> None:
    assert screen.read(lines) in {None, *State}
    assert len(screen.last_line(lines) or "") <= screen.MAX_LINE

"""Typing into an agent's terminal as a careful person does: one at a time, text, a look at the screen, then Enter.

Programs that redraw their screen lose an Enter that comes with the text, so it comes ``PAUSE_S`` after the text was
seen; what shows no effect is done once more, and then reported, never left to hope.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mcpd.errors import AccessDenied, AgentEnded, AgentFailed, AgentNotRunning
from mcpd.terminals.keys import check_keys, check_text
from mcpd.terminals.tmux import Screen, Tmux

PAUSE_S = 0.1
CONFIRM_S = 3.0
"""How long the screen may take to show what was typed, and then that Enter was taken."""
LOCK_S = 30.0
ATTEMPTS = 2
_POLL_S = 0.05
_TAIL_CHARS = 24


@dataclass(frozen=True, slots=True)
class Typed:
    """What came of it: how often text and Enter were sent, and whether the text *was_seen*, not only a change."""

    text_attempts: int
    enter_attempts: int
    was_seen: bool


def type_text(tmux: Tmux, text: str, *, enter: bool = True, control: bool = False) -> Typed:
    """Type *text* and press Enter, confirmed by the screen; *control* characters are refused unless asked for.

    Lines may end as in files of Windows.

    Blocks for seconds if need be, behind others who type there: a daemon calls it in a thread. Raises ``InvalidParams``
    for a text that cannot be typed, ``AgentNotRunning``, ``AgentEnded``, ``AgentFailed`` if the screen shows no effect.
    """
    text = text.replace("\r\n", "\n")
    check_text(text, control=control)
    with exclusively(tmux):
        _make_ready(tmux)
        text_attempts, was_seen = _until_arrived(tmux, text)
        if not enter:
            return Typed(text_attempts, 0, was_seen)
        time.sleep(PAUSE_S)
        return Typed(text_attempts, _until_taken(tmux), was_seen)


def press_keys(tmux: Tmux, keys: Sequence[str]) -> None:
    """Press *keys*, each a tmux key name; raises ``InvalidParams`` for an unknown one, and as ``type_text``."""
    check_keys(keys)
    with exclusively(tmux):
        _make_ready(tmux)
        tmux.send_keys(*keys)


@contextlib.contextmanager
def exclusively(tmux: Tmux, timeout_s: float = LOCK_S) -> Iterator[None]:
    """Be the only one of all processes who types there; raises ``AgentFailed`` if others do not finish in time.

    The lock is on the directory of the socket, which all who may type can open and nobody has to create.
    """
    try:
        directory = os.open(tmux.socket.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError as exc:
        raise AccessDenied(f"{tmux.session}: this user may not reach the terminal at {tmux.socket}") from exc
    except OSError as exc:
        raise AgentNotRunning(f"{tmux.session} is not running") from exc
    try:
        if not _within(timeout_s, lambda: _locked(directory)):
            raise AgentFailed(f"{tmux.session}: somebody else has been typing there for {timeout_s:.0f} s")
        yield
    finally:
        os.close(directory)


def is_shown(screen: Screen, text: str) -> bool:
    """Say whether *screen* shows the end of *text*, however it is wrapped, indented or boxed."""
    counts = str.isalnum if any(map(str.isalnum, text)) else _is_ink

    def essence(shown: str) -> str:
        return "".join(filter(counts, shown))

    return essence(text)[-_TAIL_CHARS:] in essence("".join(screen.lines))


def _is_ink(character: str) -> bool:
    return not character.isspace()


def _make_ready(tmux: Tmux) -> None:
    screen = tmux.screen()
    if screen.ended:
        raise AgentEnded(f"{tmux.session}: its command has ended ({screen.ended})")
    if screen.in_mode:
        tmux.leave_mode()


def _until_arrived(tmux: Tmux, text: str) -> tuple[int, bool]:
    """Type *text* until the screen changes; return the attempts and whether it was seen there.

    Only what left no trace is typed again: pastes are often abbreviated, passwords starred. A tab that is typed would
    complete, and a line's end send, so these are pasted.
    """
    send = tmux.paste if any(character in text for character in "\n\t") else tmux.send_text
    before = tmux.screen()
    for attempt in range(1, ATTEMPTS + 1):
        send(text)
        if _within(CONFIRM_S, lambda: _has_arrived(tmux.screen(), before, text)):
            return attempt, True
        if tmux.screen() != before:
            return attempt, False
    raise AgentFailed(f"{tmux.session}: the text was typed {ATTEMPTS} times, but the screen does not change")


def _has_arrived(now: Screen, before: Screen, text: str) -> bool:
    return now != before and is_shown(now, text)


def _until_taken(tmux: Tmux) -> int:
    """Press Enter until it has an effect; return the attempts.

    Its effect is at the cursor. Programs that hide theirs are believed if anything changed.
    """
    before = tmux.screen()
    for attempt in range(1, ATTEMPTS + 1):
        tmux.send_keys("Enter")
        if _within(CONFIRM_S, lambda: _has_taken(tmux.screen(), before)) or tmux.screen() != before:
            return attempt
    raise AgentFailed(f"{tmux.session}: the text is on the screen, but Enter has no effect")


def _has_taken(now: Screen, before: Screen) -> bool:
    return bool(now.ended) or now.cursor != before.cursor or now.cursor_line != before.cursor_line


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _within(timeout_s: float, condition: Callable[[], bool]) -> bool:
    """Wait until *condition* holds, at most *timeout_s*."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True

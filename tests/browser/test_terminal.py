"""ttyd's page in a real Chromium: it shows the agent, takes keys, and comes back by itself."""

from __future__ import annotations

import time
from pathlib import Path

from playwright.sync_api import Page

from tests.guest.machine import Guest
from tests.guest.terminals import AGENTS, MANAGER, eventually, pane

BACKGROUND, FOREGROUND = "#1a1a1a", "#00ff00"
TERMINAL = "window.term"
SCREEN = f"""() => {{
    const buffer = {TERMINAL}.buffer.active, lines = [];
    for (let y = 0; y < {TERMINAL}.rows; y++) lines.push(buffer.getLine(buffer.viewportY + y).translateToString(true));
    return lines.join("\\n");
}}"""


def open_terminal(page: Page, agent: str) -> None:
    """Load the page of *agent* and wait for its prompt."""
    page.goto(f"http://localhost:{AGENTS[agent]}/")
    page.wait_for_function(f"() => {TERMINAL} !== undefined")
    wait_for(page, "$")


def screen(page: Page) -> str:
    """The text that the terminal in the page shows."""
    return str(page.evaluate(SCREEN))


def wait_for(page: Page, text: str, timeout_s: float = 20) -> None:
    eventually(lambda: text in screen(page), timeout_s)


def enter(page: Page, command: str) -> None:
    """Type a command, key by key."""
    page.keyboard.type(command)
    page.keyboard.press("Enter")


def test_a_page_shows_the_agent_in_the_guide_s_theme_and_runs_what_is_typed(page: Page, pictures: Path) -> None:
    started_s = time.monotonic()
    open_terminal(page, "backend-api")
    print(f"usable {time.monotonic() - started_s:.2f} s after the address was entered, agent and ttyd cold")
    assert page.title() == "backend-api"
    theme = page.evaluate(f"() => {TERMINAL}.options.theme")
    assert (theme["background"], theme["foreground"]) == (BACKGROUND, FOREGROUND)
    enter(page, "echo $((6*7)) täglich ✓ $AGENT_NAME")
    wait_for(page, "42 täglich ✓ backend-api")
    page.screenshot(path=pictures / "typed.png")


def test_a_page_that_was_cut_off_comes_back_to_the_live_screen(page: Page, guest: Guest, pictures: Path) -> None:
    open_terminal(page, "database")
    pid = pane(guest, "database")
    enter(page, "before=kept; for i in 1 2 3; do echo line-$i; done")
    wait_for(page, "line-3")
    guest.exec("systemctl", "kill", "-s", "KILL", MANAGER, "mcp-ttyd@database.service")
    guest.exec("mcpctl", "send", "database", "echo mean''while")
    wait_for(page, "meanwhile")
    enter(page, "echo still-$before")
    wait_for(page, "still-kept")
    assert "line-3" in screen(page)
    assert pane(guest, "database") == pid
    page.screenshot(path=pictures / "back.png")


def test_a_restart_of_the_manager_cuts_no_page(page: Page, guest: Guest) -> None:
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    open_terminal(page, "frontend-ui")
    guest.exec("systemctl", "restart", MANAGER)
    enter(page, "echo un''cut")
    wait_for(page, "uncut")
    assert sockets == [f"ws://localhost:{AGENTS['frontend-ui']}/ws"]


def test_an_agent_that_does_not_start_shows_why_and_what_to_do(page: Page, guest: Guest, pictures: Path) -> None:
    ttyd = guest.exec("sh", "-c", "command -v ttyd").strip()
    guest.exec("mv", ttyd, f"{ttyd}.away")
    try:
        answer = page.goto(f"http://localhost:{AGENTS['testing']}/")
        assert answer is not None
        assert answer.status == 503
        assert "apt install ttyd" in page.inner_text("body")
        page.screenshot(path=pictures / "missing.png")
    finally:
        guest.exec("mv", f"{ttyd}.away", ttyd)

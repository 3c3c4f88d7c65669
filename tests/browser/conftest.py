"""Fixtures: Debian's Chromium, driven by Playwright, in the network of a guest that has mcpd installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.guest.conftest import bare, guest, packages, pytest_runtest_makereport
from tests.guest.machine import GUEST, Guest

__all__ = ["bare", "guest", "packages", "pytest_runtest_makereport"]

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
# Without these Chromium calls home, which a machine without a network answers slowly. Its sandbox is not for root.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: MCPD_PICTURES, or a directory of pytest's."""
    named = os.environ.get("MCPD_PICTURES")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def browser(guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, started by a script that enters the guest's network first."""
    start = tmp_path_factory.mktemp("chromium") / "chromium"
    start.write_text(f'#!/bin/sh\nexec {GUEST} net {guest.name} {CHROMIUM} "$@"\n')
    start.chmod(0o755)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=start, args=ARGUMENTS, headless=True)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page."""
    context = browser.new_context(viewport={"width": 1000, "height": 600})
    yield context.new_page()
    context.close()

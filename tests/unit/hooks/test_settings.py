"""Claude Code's files with ours in them and without: what the user wrote comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.hooks import settings
from mcpd.hooks.events import EVENTS

HANDLER = st.fixed_dictionaries(
    {"type": st.just("command"), "command": st.sampled_from(["x", "a b", "'", "mcpd-hooks"])}
)
GROUP = st.fixed_dictionaries({"hooks": st.lists(HANDLER, max_size=2)}, optional={"matcher": st.just("Bash")})
HOOKS = st.dictionaries(
    st.sampled_from([*EVENTS, "Setup"]), st.lists(GROUP | st.none() | st.text(max_size=3), max_size=2)
)
DOCUMENT = st.fixed_dictionaries({}, optional={"hooks": HOOKS, "env": st.just({"A": "1"}), "model": st.just("m")})
URL = "http://localhost:8099"
SERVERS = st.dictionaries(st.sampled_from(["a", "b"]), st.just({"command": "x"}), max_size=2)


@given(DOCUMENT)
def test_what_was_there_comes_back(document: dict[str, Any]) -> None:
    installed = settings.with_hooks(document)
    assert settings.installed_events(installed) == set(EVENTS)
    assert _without_empty(settings.without_hooks(installed)) == _without_empty(document)


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    """Lists that were empty before may be gone afterwards."""
    hooks = {event: entries for event, entries in document.get("hooks", {}).items() if entries}
    return {key: value for key, value in document.items() if key != "hooks"} | ({"hooks": hooks} if hooks else {})


@given(DOCUMENT)
def test_installing_twice_is_installing_once(document: dict[str, Any]) -> None:
    once = settings.with_hooks(document)
    assert settings.with_hooks(once) == once


@given(st.fixed_dictionaries({"x": st.just(1)}, optional={"mcpServers": SERVERS}))
def test_the_server_joins_the_others_and_leaves_them(document: dict[str, Any]) -> None:
    installed = settings.with_server(document, URL)
    assert settings.has_server(installed)
    left = settings.without_server(installed)
    assert left.get("mcpServers", {}) == document.get("mcpServers", {})
    assert left["x"] == 1


def test_a_server_of_ours_follows_the_port() -> None:
    before = settings.with_server({"x": 1}, URL)
    moved = settings.with_server(before, "http://localhost:9099")
    assert moved == {"x": 1, "mcpServers": {"mcpd": {"type": "http", "url": "http://localhost:9099/mcp"}}}
    assert settings.without_server(moved) == settings.without_server(before) == {"x": 1}


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "mine"},
        {"type": "http", "url": "http://workshop:8099/mcp"},
        {"type": "http", "url": "http://localhost:8099/mcp", "headers": {}},
        {"type": "http", "url": 7},
        None,
    ],
)
def test_a_server_of_the_same_name_is_the_user_s(entry: object) -> None:
    document = {"mcpServers": {"mcpd": entry}}
    assert settings.with_server(document, URL) == settings.without_server(document) == document


def test_hooks_of_ours_are_known_by_their_program() -> None:
    ours = {"hooks": [{"type": "command", "command": "/opt/bin/mcpd-hook Stop"}, {"type": "command", "command": "y"}]}
    assert settings.without_hooks({"hooks": {"Stop": [ours]}}) == {"hooks": {"Stop": [{"hooks": [ours["hooks"][1]]}]}}
    command = settings.with_hooks({}, "/a b/mcpd-hook")["hooks"]["Stop"][0]["hooks"][0]["command"]
    assert command == "'/a b/mcpd-hook' Stop"
    assert settings.without_hooks(settings.with_hooks({}, "/a b/mcpd-hook")) == {}


@pytest.mark.parametrize("document", [{"hooks": []}, {"hooks": {"Stop": {}}}, {"hooks": None}])
def test_hooks_of_another_form_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="'hooks"):
        settings.with_hooks(document)


def test_servers_of_another_form_are_refused() -> None:
    with pytest.raises(ValueError, match="'mcpServers': expected an object"):
        settings.with_server({"mcpServers": []}, URL)

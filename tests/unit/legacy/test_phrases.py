"""The phrase bridge: what asks for a tool, and what only looks like it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.legacy import phrases
from mcpd.legacy.phrases import Phrase

ASKED = [
    ("I'll use the log_activity tool to record that tests pass", "log_activity", "record that tests pass"),
    ("Let me call log_activity MCP tool to Tests are green. All.", "log_activity", "Tests are green. All."),
    ("log_activity: Implemented the login", "log_activity", "Implemented the login"),
    ("log_activity Implemented the login", "log_activity", "Implemented the login"),
    ("Done. Logging activity: Made the login. Added tests.", "log_activity", "Made the login. Added tests."),
    ("- log the activity: 'quoted words'", "log_activity", "quoted words"),
    ("announce: release at noon", "log_activity", "release at noon"),
    ("Announcing: release at noon", "log_activity", "release at noon"),
    ("Check for conflicts for src/login", "check_conflicts", "src/login"),
    ("checking conflicts with api", "check_conflicts", "api"),
    ("Let me check conflicts for the users table", "check_conflicts", "the users table"),
    ("verify no conflicts with auth", "check_conflicts", "auth"),
    ("Register component: api:users", "register_component", "api:users"),
    ("Registering component users", "register_component", "users"),
    ("created component: frontend:Button", "register_component", "frontend:Button"),
    ("update my status to: busy", "update_status", "busy"),
    ("Updating my status to working on auth", "update_status", "working on auth"),
    ("Status update: blocked by review", "update_status", "blocked by review"),
    ("I'm now working on the parser", "update_status", "working on the parser"),
    ("I am now idle.", "update_status", "idle"),
    ("I need help with the migration", "request_collaboration", "the migration"),
    ("Requesting help from database: slow query", "request_collaboration", "slow query"),
    ("request collaboration from the testing agent for e2e tests", "request_collaboration", "e2e tests"),
    ("propose decision: use PostgreSQL", "propose_decision", "use PostgreSQL"),
    ("Should we use PostgreSQL or SQLite?", "propose_decision", "Should we use PostgreSQL or SQLite?"),
    ("vote on: naming", "propose_decision", "naming"),
    ("Who owns the auth component?", "find_component_owner", "auth"),
    ("who owns auth?", "find_component_owner", "auth"),
    ("find owner of auth", "find_component_owner", "auth"),
    ("Component owner: auth", "find_component_owner", "auth"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "tool", "said"), ASKED)
def test_a_request_is_found_with_what_it_says(text: str, tool: str, said: str) -> None:
    found = phrases.find(text)
    assert found is not None
    assert (found.tool, found.words["object"]) == (tool, said)


@pytest.mark.parametrize("text", ["heartbeat", "Send heartbeat.", "I am alive", "I'm still active.", "keep-alive"])
def test_a_heartbeat_needs_no_more_words(text: str) -> None:
    assert phrases.find(text) == Phrase("heartbeat")


@pytest.mark.parametrize(
    "text",
    [
        "echo heartbeat",
        "The heartbeat interval is 30 s",
        "heartbeat_interval = 30",
        "send heartbeats every minute",
        "I am now going to explain how this works.",
        "I'm now convinced that the tests are right",
        "we should refactor this",
        "I think we should vote",
        "Should we, after all",
        "log activity in the audit table for every user",
        "log_activity is one of the tools",
        "The tool log_activity: it logs",
        "`log_activity: x`",
        '"log_activity: x"',
        "> log_activity: quoted from another message",
        "$ mcpctl call heartbeat",
        "```\nlog_activity: in code\n```",
        "~~~\nheartbeat\n",
        "register component styles in the stylesheet of the app",
        "the merge had conflicts; check conflicts by hand before you push",
        "update the status code of the answer",
        "status updates are sent hourly",
        "who created this mess",
        "collaborate",
        "keep alive connections open",
        "",
        "\0\x1b[31m",
    ],
)
def test_what_only_looks_like_a_request_is_none(text: str) -> None:
    assert phrases.find(text) is None


def test_the_first_tool_wins_wherever_its_phrase_stands() -> None:
    assert phrases.find("heartbeat\nlog_activity: x") == Phrase("log_activity", {"object": "x"})


def test_a_request_can_name_whom_it_asks() -> None:
    found = phrases.find("I need help from the database agent with indexes")
    assert found == Phrase("request_collaboration", {"who": "database", "object": "indexes"})


def test_a_line_that_addresses_us_is_heard_from_everybody() -> None:
    assert phrases.find("Fix it.\nMCP: heartbeat", spoken=False) == Phrase("heartbeat")
    assert phrases.find("MCP: log_activity Tests pass", spoken=False) == Phrase(
        "log_activity", {"object": "Tests pass"}
    )
    assert phrases.find("MCP: status update: busy", spoken=False) == Phrase("update_status", {"object": "busy"})
    assert phrases.find("MCP: find owner of auth", spoken=False) == Phrase("find_component_owner", {"object": "auth"})
    assert phrases.find("log_activity: x", spoken=False) is None
    assert phrases.find("MCP: log_activity", spoken=False) is None


def test_an_agent_says_who_it_is() -> None:
    assert phrases.agent("Hello, I am the backend-api agent.") == "backend-api"
    assert phrases.agent("Role: testing") == "testing"
    assert phrases.agent("The role: testing of code matters") is None


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    found = phrases.find(text)
    assert found is None or found.tool in phrases.TOOLS
    phrases.agent(text)


PROSE = st.text(alphabet="abc .,!?:\n", max_size=200)


@given(PROSE, PROSE, st.sampled_from([text for text, _, _ in ASKED]))
def test_a_request_in_a_quotation_or_in_code_is_none_whatever_stands_around_it(
    before: str, after: str, asked: str
) -> None:
    assert phrases.find(f"{before}\n> {asked}\n{after}") is None
    assert phrases.find(f"{before}\n```\n{asked}\n```\n{after}") is None
    assert phrases.find(f"echo {asked.split('. ')[-1]}") is None


@pytest.mark.parametrize(
    "unit", ["should we. ", "I need help ", "```\n", "MCP: ", " ", "- " * 3, "a. ", "\n", "log_activity ", "."]
)
def test_hostile_text_takes_no_time(unit: str) -> None:
    began = time.process_time()
    phrases.find(unit * (4_000_000 // len(unit)))
    assert time.process_time() - began < 0.5

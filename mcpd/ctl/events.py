"""``mcpctl events``: what happened, and with ``--follow`` what happens."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from mcpd.ctl import client, output
from mcpd.ctl.client import Client, Endpoint, NoAnswer
from mcpd.errors import StoreUnavailable, UsageError
from mcpd.protocol.sse import EventReader

HELP = "show what happened, and follow what happens"

_PATH = "/api/mcp/events"
_LAST = 100
_LAST_FOLLOWED = 10
_PAGE = 1000
_SILENCE_S = 60.0  # a stream that lives shows it every 15 seconds
_RETRY_S = 0.5
_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NAMED = ("gap", "reset")
_GAP = "events up to number {after} are not kept any more"
_UNKNOWN = "no event has number {asked} yet, the newest is {after}; was an older database restored?"
_RESTORED = "an older database was restored: what was told up to number {after} may not hold any more"
Item = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``events`` takes."""
    parser.add_argument("--follow", action="store_true", help="go on with what comes, over restarts of the daemon too")
    parser.add_argument("--since", metavar="WHEN", help="behind this number, or from this time on, such as 2h")
    parser.add_argument("--topic", metavar="PATTERN", action="append", default=[], help="only these, such as agent.*")
    parser.add_argument("--agent", metavar="NAME", action="append", default=[], help="only those about this agent")
    parser.add_argument("--limit", metavar="N", type=_count, help="at most N; without --since the last N")


def run(arguments: argparse.Namespace) -> int:
    """Print events, one a line."""
    where = client.endpoint(arguments.url)
    asked = [("topic", pattern) for pattern in arguments.topic] + [("agent", name) for name in arguments.agent]
    since = None if arguments.since is None else place(arguments.since, datetime.now(UTC))
    last = _print_page(where, asked, since, arguments)
    if arguments.follow:
        for item in follow(where, asked, last):
            _print(item, as_json=arguments.json)
    return 0


def place(text: str, now: datetime) -> str:
    """Return where ``--since`` *text* begins, as the server takes it: a number, or a time with its zone."""
    ago = _AGO.fullmatch(text)
    if text.isascii() and text.isdigit():
        return text
    try:
        at = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError) as exc:
        expected = "an event's number, a time such as '2026-07-28 12:00', or how long ago, such as 2h or 30m"
        raise UsageError(f"--since {text}: expected {expected}") from exc
    return at.isoformat()


def _print_page(where: Endpoint, asked: list[tuple[str, str]], since: str | None, arguments: argparse.Namespace) -> int:
    """Print what is there, page by page; return the number behind which it goes on."""
    wanted = arguments.limit
    if wanted is None and since is None:
        wanted = _LAST_FOLLOWED if arguments.follow else _LAST
    connection = Client(where)
    while True:
        limit = _PAGE if wanted is None else min(wanted, _PAGE)
        query = [*asked, ("follow", "false"), ("limit", str(limit))] + ([("since", since)] if since else [])
        page = connection.get(f"{_PATH}?{urlencode(query)}")
        for name in _NAMED:
            if page[name] is not None:
                _warn(name, page[name])
        for item in page["events"]:
            _print(item, as_json=arguments.json)
        wanted = None if wanted is None else wanted - len(page["events"])
        if since is None or wanted == 0 or not page["more"]:
            return int(page["next"])
        since = str(page["next"])


def follow(where: Endpoint, asked: list[tuple[str, str]], last: int) -> Iterator[Item]:
    """Yield what happens behind number *last*, each once, for ever; a daemon that is away is waited for."""
    lost = False
    while True:
        query = urlencode([*asked, ("follow", "true"), ("since", str(last))])
        reader, connection = EventReader(), Client(where, _SILENCE_S)
        try:
            for data in connection.stream(f"{_PATH}?{query}", {"Accept": "text/event-stream"}):
                if lost:
                    output.warn("mcpd is there again")
                    lost = False
                for event in reader.receive_data(data):
                    if event.name in _NAMED:
                        _warn(event.name, json.loads(event.data))
                    elif event.data and int(event.id or 0) > last:
                        yield json.loads(event.data)
                    last = int(event.id or last)
        except (NoAnswer, StoreUnavailable) as error:
            if not lost:
                output.warn(f"{error.message}; waiting for it")
            lost = True
        finally:
            connection.close()
        time.sleep(_RETRY_S)


def _warn(name: str, told: dict[str, int]) -> None:
    words = _GAP if name == "gap" else _UNKNOWN if told["asked"] > told["after"] else _RESTORED
    output.warn(words.format(**told))


def _print(item: Item, *, as_json: bool) -> None:
    if as_json:
        output.write(json.dumps(item) + "\n")
        return
    at = datetime.fromisoformat(item["time"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    data = " ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in item["data"].items()
    )
    agent = item["agent"] or "–"
    output.write(output.visible(f"{item['seq']:>8}  {at}  {item['topic']:<22}  {agent:<14}  {data}").rstrip() + "\n")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000):
        raise UsageError(f"--limit {text}: expected a number of events from 1 to 1000000")
    return int(text)

"""A client that stays while the server comes and goes, and counts what it hears.

It holds a session of 2025-11-25 with a subscription to ``activity://recent`` on its stream, and a call of
``test_elicitation`` whose question it leaves unanswered until it is told ``answer`` on its standard input. Each line
of that is answered with a ``Result`` as JSON. Only what the specification gives a client is used: Last-Event-ID, retry,
the same session.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

VERSION = "2025-11-25"
GIVE_UP_S = 30.0
Message = dict[str, Any]


@dataclass
class Result:
    """What was heard; ``refused`` are HTTP statuses that were no success, ``ids`` those of the session's stream."""

    updates: int = 0
    reconnects: int = 0
    questions: int = 0
    answer: str = ""
    refused: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)


class Stream:
    """A stream that is opened again behind its last event until ``ended``."""

    def __init__(self, client: Lasting) -> None:
        self._client = client
        self._last: str | None = None
        self._retry_s = 0.1
        self.ended = False

    def events(self, response: http.client.HTTPResponse | None) -> Iterator[tuple[str | None, Message]]:
        while not self.ended:
            if response is not None:
                yield from self._read(response)
            if self.ended:
                return
            self._client.result.reconnects += 1
            time.sleep(self._retry_s)
            headers = {} if self._last is None else {"Last-Event-ID": self._last}
            response = self._client.request("GET", None, {"Accept": "text/event-stream", **headers})

    def _read(self, response: http.client.HTTPResponse) -> Iterator[tuple[str | None, Message]]:
        fields: dict[str, str] = {}
        try:
            for line in response:
                text = line.decode().rstrip("\n")
                if text and not text.startswith(":"):
                    name, _, value = text.partition(": ")
                    fields[name] = value
                elif fields and not text:
                    self._last = fields.get("id", self._last)
                    self._retry_s = int(fields.get("retry", 100)) / 1000
                    if fields.get("data"):
                        yield fields.get("id"), json.loads(fields["data"])
                    fields = {}
        except (OSError, http.client.HTTPException):
            return


class Lasting:
    """The client."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._session = ""
        self._may_answer = threading.Event()
        self.answered = threading.Event()
        self.asked = threading.Event()
        self.result = Result()

    def request(self, method: str, message: Message | None, headers: dict[str, str]) -> http.client.HTTPResponse | None:
        """Return the answer, None where there is none; a request that is not answered is sent again."""
        lines = {"Mcp-Session-Id": self._session, "MCP-Protocol-Version": VERSION} if self._session else {}
        body = None if message is None else json.dumps(message)
        until = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=GIVE_UP_S)
            try:
                connection.request(method, "/mcp", body, lines | headers | {"Content-Type": "application/json"})
                response = connection.getresponse()
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            if response.status not in (200, 202):
                self.result.refused.append(response.status)
                return None
            return response
        raise TimeoutError("the server does not come back")

    def post(self, message: Message) -> http.client.HTTPResponse:
        response = self.request("POST", message, {"Accept": "application/json, text/event-stream"})
        assert response is not None, self.result.refused
        return response

    def ask(self, request_id: int, method: str, **params: Any) -> http.client.HTTPResponse:
        return self.post({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})

    def begin(self) -> None:
        client = {"name": "lasting", "version": "1"}
        opened = self.ask(0, "initialize", protocolVersion=VERSION, capabilities={"elicitation": {}}, clientInfo=client)
        opened.read()
        self._session = opened.headers["Mcp-Session-Id"]
        self.ask(1, "resources/subscribe", uri="activity://recent").read()
        response = self.request("GET", None, {"Accept": "text/event-stream"})
        threading.Thread(target=self._hear, args=(response,), daemon=True).start()
        threading.Thread(target=self._call, daemon=True).start()

    def _hear(self, response: http.client.HTTPResponse | None) -> None:
        for event_id, message in Stream(self).events(response):
            if message.get("method") == "notifications/resources/updated":
                self.result.updates += 1
                self.result.ids.append(int(event_id or 0))

    def _call(self) -> None:
        stream = Stream(self)
        response = self.ask(2, "tools/call", name="test_elicitation", arguments={"message": "Who?"})
        for _, message in stream.events(response):
            if message.get("method") == "elicitation/create":
                self.result.questions += 1
                threading.Thread(target=self._answer, args=(message["id"],), daemon=True).start()
            elif message.get("id") == 2:
                self.result.answer = message["result"]["content"][0]["text"]
                stream.ended = True
        self.answered.set()

    def _answer(self, request_id: str) -> None:
        self.asked.set()
        self._may_answer.wait()
        content = {"username": "bob", "email": "bob@example.org"}
        self.post({"jsonrpc": "2.0", "id": request_id, "result": {"action": "accept", "content": content}}).read()

    def obey(self) -> None:
        """Do what standard input says."""
        assert self.asked.wait(GIVE_UP_S)
        print("ready", flush=True)
        for line in sys.stdin:
            if line == "answer\n":
                self._may_answer.set()
                assert self.answered.wait(GIVE_UP_S)
            elif line.startswith("until "):
                deadline = time.monotonic() + GIVE_UP_S
                while self.result.updates < int(line[6:]) and time.monotonic() < deadline:
                    time.sleep(0.05)
            print(json.dumps(asdict(self.result)), flush=True)


if __name__ == "__main__":
    lasting = Lasting(int(sys.argv[1]))
    lasting.begin()
    lasting.obey()

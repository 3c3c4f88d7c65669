"""The switch as port 8099 sees it, here another port; systemd's part is played by sockets."""

from __future__ import annotations

import socket
import time

import pytest

from mcpd.ctl.cutover import switching


def test_the_outage_begins_with_who_lets_go_of_the_port_first(monkeypatch: pytest.MonkeyPatch) -> None:
    listeners = [socket.create_server(("127.0.0.1", 0))]
    port = listeners[0].getsockname()[1]
    asked: list[tuple[str, ...]] = []

    def systemctl(*words: str) -> None:
        asked.append(words)
        if words[0] == "start":
            time.sleep(0.1)
            listeners.append(socket.create_server(("127.0.0.1", port)))

    def let_go() -> None:
        listeners.pop().close()
        time.sleep(0.3)

    monkeypatch.setattr(switching, "systemctl", systemctl)
    outage_us = switching.switch(switching.MCPD, port, lambda: None, let_go)
    listeners.pop().close()
    assert 390_000 < outage_us < 5_000_000
    assert [words[0] for words in asked] == ["reset-failed", "start"]

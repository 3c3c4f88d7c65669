"""Sockets in boxes: they stay open there, in order, and nobody else is needed for it."""

from __future__ import annotations

import gc
import socket

from mcpd.ws import handover


def test_what_is_in_boxes_is_open_and_comes_out_again() -> None:
    """TCP and Unix sockets; the kernel collects those on their way that nobody can reach, and finds these reached."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tcp = [(socket.create_connection(listener.getsockname()), listener.accept()[0]) for _ in range(20)]
    pairs = [*tcp, *(socket.socketpair() for _ in range(600))]
    cookies = [handover.cookie(ours) for _, ours in pairs]
    boxes = handover.pack([ours.fileno() for _, ours in pairs])
    assert len(boxes) == 3
    for _, ours in pairs:
        ours.close()
    gc.collect()
    for _ in range(100):  # the kernel's own collection runs when a Unix socket is closed
        for end in socket.socketpair():
            end.close()
    for number, (theirs, _) in enumerate(pairs):
        theirs.send(b"%d" % number)
    found = handover.unpack([box.detach() for box in boxes])
    assert [handover.cookie(ours) for ours in found] == cookies
    for number, ours in enumerate(found):
        assert ours.recv(10) == b"%d" % number
        assert not ours.get_inheritable()
        ours.close()
    assert all(theirs.recv(1) == b"" for theirs, _ in pairs)
    for theirs, _ in pairs:
        theirs.close()


def test_closed_boxes_close_what_is_in_them() -> None:
    theirs, ours = socket.socketpair()
    (box,) = handover.pack([ours.fileno()])
    ours.close()
    box.close()
    assert theirs.recv(1) == b""
    theirs.close()


def test_an_emptied_box_is_empty() -> None:
    """As it stays in the store if a process is killed before it says that it has all."""
    theirs, ours = socket.socketpair()
    (box,) = handover.pack([ours.fileno()])
    again = box.dup()
    for found in handover.unpack([box.detach()]):
        found.close()
    assert handover.unpack([again.detach()]) == []
    ours.close()
    theirs.close()

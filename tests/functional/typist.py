"""A program for a pane: keeps what is typed in a file, byte by byte, and shows it as an editor would.

    typist.py FILE [--deaf N] [--silent] [--lose-enter N]

--deaf N throws away the first N reads, as a program does that is still starting; --silent shows nothing; --lose-enter
throws away the first N Returns, as programs do when Return comes with the text.
"""

from __future__ import annotations

import argparse
import os
import termios
import tty


def main() -> None:
    """Read until the terminal goes away."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--deaf", type=int, default=0)
    parser.add_argument("--silent", action="store_true")
    parser.add_argument("--lose-enter", type=int, default=0)
    options = parser.parse_args()
    tty.setraw(0)
    attributes = termios.tcgetattr(0)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSANOW, attributes)
    os.write(1, b"ready\r\n")
    with open(options.file, "ab", buffering=0) as file:  # noqa: PTH123
        while data := os.read(0, 65536):
            if options.deaf:
                options.deaf -= 1
                continue
            if data == b"\r" and options.lose_enter:
                options.lose_enter -= 1
                continue
            file.write(data)
            if not options.silent:
                os.write(1, data.replace(b"\r", b"\r\n"))


if __name__ == "__main__":
    main()

"""What mcpctl prints: tables for people, JSON for programs, complaints on stderr.

Much of it was written by agents, so what a terminal would obey instead of show is made visible first.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mcpd.errors import Error

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_MAX_WORD = 32  # in a table of lines
_PIPE_WIDTH = 200  # of a table whose reader has no width of its own


def visible(text: str) -> str:
    """Return *text* with everything that is not printable (escape sequences, line ends, bidi marks) spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def print_json(value: object) -> None:
    """Print *value* as JSON, in ASCII, which every terminal and every encoding takes."""
    write(json.dumps(value, indent=2) + "\n")


def write(text: str) -> None:
    """Write to stdout; raises ``Error`` when it cannot take it, ``BrokenPipeError`` when nobody reads it any more."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise Error(f"cannot write the output: {exc.strerror}") from exc


def warn(message: str) -> None:
    """Say on stderr what the user should know of."""
    sys.stderr.write(f"mcpctl: {visible(message)}\n")


def width() -> int:
    """Return how many characters a line of a table has room for."""
    return _console().width


def _console() -> Console:
    from rich.console import Console

    terminal = sys.stdout.isatty()
    width = None if terminal or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(force_terminal=terminal, width=width, highlight=False)


def print_tables(*tables: RenderableType) -> None:
    """Print *tables* one below the other, in colour if stdout is a terminal."""
    console = _console()
    with console.capture() as captured:  # rich would end the process when the reader of a pipe goes away
        for position, table in enumerate(tables):
            if position:
                console.print()
            console.print(table)
    write(captured.get())


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "") -> RenderableType:
    """Return a table, or *empty* if it has no rows; cells are shown as ``cell`` shows them."""
    from rich import box
    from rich.table import Table

    result = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, **_titled(title))
    for column in columns:
        result.add_column(column, overflow="fold")
    for row in rows:
        result.add_row(*map(cell, row))
    return result if result.row_count else coloured(empty or f"{title}: none", "bold")


def lines(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> RenderableType:
    """Return a table with a line for each row, or *empty*; its last column has the room that the others leave."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    cells = [[shown if isinstance(shown := cell(value), Text) else Text() for value in row] for row in rows]
    for number, column in enumerate(columns[:-1]):
        longest = max(len(column), *(row[number].cell_len for row in cells), 0)
        result.add_column(column, no_wrap=True, min_width=min(longest, _MAX_WORD), max_width=_MAX_WORD)
    result.add_column(columns[-1], no_wrap=True, overflow="ellipsis", ratio=1)
    for row in cells:
        result.add_row(*row)
    return result if cells else coloured(empty, "bold")


def pairs(title: str, values: Mapping[str, object]) -> RenderableType:
    """Return a table of names and values, without a head."""
    from rich.table import Table

    result = Table(box=None, show_header=False, pad_edge=False, **_titled(title))
    result.add_column(style="cyan", no_wrap=True)
    result.add_column(overflow="fold")
    for name, value in values.items():
        result.add_row(cell(name), cell(value))
    return result


def cell(value: object) -> RenderableType:
    """Return any JSON value as something to look at; objects and lists of objects become tables of their own."""
    from rich.text import Text

    if isinstance(value, Text):
        return value
    if isinstance(value, dict):
        return pairs("", value)
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(item, dict) for item in value):
            return table("", *_columns(value))
        return Text(", ".join(visible(_word(item)) for item in value) or "–")
    return Text(visible(_word(value)))


def coloured(word: str, style: str) -> Any:
    """Return *word* to be printed in *style*."""
    from rich.text import Text

    return Text(visible(word), style=style)


def _titled(title: str) -> dict[str, Any]:
    return {"title": title or None, "title_justify": "left", "title_style": "bold"}


def _columns(items: Sequence[Mapping[str, object]]) -> tuple[list[str], list[list[object]]]:
    names = list(dict.fromkeys(name for item in items for name in item))
    return names, [[item.get(name) for name in names] for item in items]


def _word(value: object) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

"""A source's row as it is kept: one JSON object, and the digest by which it is known again. Pure.

NULLs are left out, so that a column added to the old table later makes no new row of an old one. What JSON cannot say
(bytes, text that is no UTF-8, infinity) becomes an object that says it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

DIGEST_BYTES = 16
_MODULUS = 1 << (8 * DIGEST_BYTES)
Value = int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class Torn:
    """Text whose bytes are not valid in the database's encoding."""

    raw: bytes
    encoding: str

    def __str__(self) -> str:
        return self.raw.decode(self.encoding, "backslashreplace")


Row = Mapping[str, Value | Torn]
"""A row by its columns' names, in lower case."""


@dataclass(slots=True)
class Sum:
    """Count and checksum of rows in any order; equal rows count each time."""

    rows: int = 0
    digests: int = 0

    def add(self, digest: bytes, copies: int = 1) -> None:
        """Take in *copies* rows of *digest*."""
        self.rows += copies
        self.digests = (self.digests + copies * int.from_bytes(digest)) % _MODULUS

    @property
    def checksum(self) -> str:
        """The checksum in hexadecimal."""
        return f"{self.digests:0{2 * DIGEST_BYTES}x}"


def encode(row: Row) -> bytes:
    """Return *row* as the canonical JSON of its columns that are not NULL."""
    return orjson.dumps(
        {name: _plain(value) for name, value in row.items() if value is not None}, option=orjson.OPT_SORT_KEYS
    )


def digest(table: str, encoded: bytes) -> bytes:
    """Return the digest of a row, *encoded*, of *table*."""
    return hashlib.blake2b(table.encode() + b"\0" + encoded, digest_size=DIGEST_BYTES).digest()


def _plain(value: Value | Torn) -> object:
    if isinstance(value, bytes):
        return {"blob": base64.b64encode(value).decode()}
    if isinstance(value, Torn):
        return {"text": base64.b64encode(value.raw).decode()}
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return {"real": str(value)}
    return value


def key(row: Row, columns: Sequence[str]) -> str | None:
    """Return the key of *row*, made of *columns*, as text: the value of one, a JSON array of several."""
    parts = [row.get(column) for column in columns]
    if not parts or all(part is None for part in parts):
        return None
    if len(parts) == 1:
        return parts[0].decode("utf-8", "backslashreplace") if isinstance(parts[0], bytes) else str(parts[0])
    return orjson.dumps([_plain(part) for part in parts]).decode()

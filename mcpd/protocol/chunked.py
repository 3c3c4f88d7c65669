"""The chunked transfer coding, decoded as it arrives (RFC 9112 section 7.1)."""

from __future__ import annotations

from mcpd.errors import InvalidRequest

_MAX_LINE_BYTES = 4096
_HEX = b"0123456789abcdefABCDEF"


class ChunkedDecoder:
    """Take bytes by ``receive_data`` until ``complete``; ``body`` then is the decoded body.

    Chunk extensions are ignored and trailers dropped, both bounded. Raises ``InvalidRequest``: 400 for a framing
    fault, 413 for a body over *max_body_bytes*.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._chunk_left: int | None = None  # bytes of the current chunk still to come, None between chunks
        self._trailer_bytes: int | None = None  # bytes of trailer seen, None before the last chunk
        self.complete = False

    @property
    def body(self) -> bytes:
        """The body decoded so far."""
        return b"".join(self._parts)

    def receive_data(self, data: bytes) -> bytes:
        """Decode *data*; return what could not be used yet, or what follows the body once ``complete``."""
        while not self.complete:
            rest = self._take_chunk(data) if self._chunk_left is not None else self._take_line(data)
            if rest is None:
                return data
            data = rest
        return data

    def _take_chunk(self, data: bytes) -> bytes | None:
        left = self._chunk_left
        assert left is not None
        if left and data:
            part = data[:left]
            self._parts.append(part)
            self._chunk_left = left - len(part)
            return data[len(part) :]
        if left or len(data) < 2:
            return None
        if data[:2] != b"\r\n":
            raise InvalidRequest("a chunk is longer than the size it announced")
        self._chunk_left = None
        return data[2:]

    def _take_line(self, data: bytes) -> bytes | None:
        line, found, rest = data.partition(b"\r\n")
        if not found:
            if len(line) > _MAX_LINE_BYTES:
                raise InvalidRequest("a chunk's size line or trailer is too long")
            return None
        if b"\n" in line or b"\0" in line:
            raise InvalidRequest("a chunk's size line or trailer does not end in CR LF")
        if self._trailer_bytes is None:
            self._start_chunk(line)
        elif line:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > _MAX_LINE_BYTES:
                raise InvalidRequest("the trailer is too long", http_status=431)
        else:
            self.complete = True
        return rest

    def _start_chunk(self, line: bytes) -> None:
        digits = line.partition(b";")[0].rstrip(b" \t")
        if not digits or digits.translate(None, _HEX) or len(digits) > 15:
            raise InvalidRequest("a chunk's size is not a hexadecimal number")
        size = int(digits, 16)
        self._size_bytes += size
        if self._size_bytes > self._max_body_bytes:
            raise InvalidRequest(f"the request's body is larger than {self._max_body_bytes} bytes", http_status=413)
        if size:
            self._chunk_left = size
        else:
            self._trailer_bytes = 0

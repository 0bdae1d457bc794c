"""`multipart/form-data` with one file in it, handed on while it arrives; nothing is kept whole.

The parser is driven by us, one piece of the body at a time, so that a consumer that is slow stops the
reading of the socket. Everything but the file's bytes is bounded: parts, their headers, the fields.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from antiphon.api.http import ClientGone, Receive, Scope, header
from antiphon.domain.errors import InvalidRequest, TooLarge

MAX_PARTS: Final = 16
MAX_HEADERS: Final = 8
MAX_HEADER_BYTES: Final = 4096
MAX_FIELDS_BYTES: Final = 16 * 1024
"""All that is not the file: names and values of fields, and what follows the end."""

OVERHEAD_BYTES: Final = 64 * 1024
"""What a body may be larger than its file."""

PIECE_BYTES: Final = 256 * 1024


class Form:
    """A form whose file is the part named `file_field`; `content` yields its bytes and fills `fields`.

    Raises TooLarge above `most_bytes`, before reading if the body is announced as larger, and
    InvalidRequest for what is no such form.
    """

    def __init__(self, scope: Scope, receive: Receive, *, file_field: str, most_bytes: int) -> None:
        self._receive = receive
        self._file_field = file_field
        self._most_bytes = most_bytes
        self.announced = _announced(scope)
        if self.announced > most_bytes + OVERHEAD_BYTES:
            raise too_large(most_bytes)
        encoding = header(scope, b"content-encoding")
        if encoding is not None and encoding.lower() != "identity":
            raise InvalidRequest("Compressed bodies are not accepted.", code="unsupported_encoding")
        self._parts = _Parts(file_field)
        try:
            self._parser = MultipartParser(
                _boundary(scope), self._parts.callbacks(), max_header_count=MAX_HEADERS,  # type: ignore[arg-type]
                max_header_size=MAX_HEADER_BYTES,
            )  # fmt: skip
        except FormParserError:
            raise _not_a_form() from None

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields, complete when `content` has ended."""
        return self._parts.fields

    @property
    def filename(self) -> str:
        """What the client calls the file."""
        return self._parts.filename

    async def content(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes; reads the whole body."""
        parts, size, more = self._parts, 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body, more = message.get("body", b""), message.get("more_body", False)
            size += len(body)
            if size > self._most_bytes + OVERHEAD_BYTES:
                raise too_large(self._most_bytes)
            self._parse(body)
            if parts.waiting >= PIECE_BYTES:
                yield parts.take()
        if not parts.ended:
            raise InvalidRequest("The multipart body ends before its last boundary.", code="invalid_body")
        if not parts.has_file:
            name = self._file_field
            raise InvalidRequest(
                f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name
            )
        if parts.waiting:
            yield parts.take()

    def _parse(self, body: bytes) -> None:
        if self._parts.ended:
            self._parts.count(len(body))
            return
        try:
            self._parser.write(body)
        except FormParserError:
            raise InvalidRequest("The multipart body cannot be read.", code="invalid_body") from None


class _Parts:
    """What the parser reports, put together."""

    def __init__(self, file_field: str) -> None:
        self._file_field = file_field
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.has_file = False
        self.ended = False
        self.waiting = 0
        self._pieces: list[bytes] = []
        self._count = 0
        self._fields_bytes = 0
        self._name = ""
        self._in_file = False
        self._value = b""
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""

    def callbacks(self) -> dict[str, object]:
        """Return them by the parser's names."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def take(self) -> bytes:
        """Return the file's bytes that have come since the last call."""
        whole = b"".join(self._pieces)
        self._pieces.clear()
        self.waiting = 0
        return whole

    def count(self, size: int) -> None:
        """Count bytes of fields; raises TooLarge."""
        self._fields_bytes += size
        if self._fields_bytes > MAX_FIELDS_BYTES:
            raise TooLarge(f"The fields of a form may have {MAX_FIELDS_BYTES} bytes in all.")

    def _begin(self) -> None:
        self._count += 1
        if self._count > MAX_PARTS:
            raise InvalidRequest(f"A form may have {MAX_PARTS} parts.", code="too_many_parts")
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise InvalidRequest("A part of the form has no name.", code="invalid_body")
        self._name = options[b"name"].decode("utf-8", "replace")
        self._in_file = self._name == self._file_field
        self._value = b""
        if self._in_file and self.has_file:
            raise InvalidRequest("One file at a time.", code="invalid_value", param=self._name)
        if self._in_file:
            self.has_file = True
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace")
        elif b"filename" in options:
            raise InvalidRequest("A file in a field that takes none.", code="invalid_type")
        self.count(len(self._name))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pieces.append(data[start:end])
            self.waiting += end - start
        else:
            self.count(end - start)
            self._value += data[start:end]

    def _on_part_end(self) -> None:
        if not self._in_file:
            if self._name in self.fields:
                raise InvalidRequest("A field is given twice.", code="duplicate_parameter")
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self.ended = True


def _announced(scope: Scope) -> int:
    length = header(scope, b"content-length")
    return int(length) if length is not None and length.isdigit() else 0


def _boundary(scope: Scope) -> bytes:
    kind, options = parse_options_header(header(scope, b"content-type") or "")
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise _not_a_form()
    return boundary


def _not_a_form() -> InvalidRequest:
    return InvalidRequest(
        "Send the body as 'Content-Type: multipart/form-data' with a boundary.", code="invalid_content_type"
    )


def too_large(most_bytes: int) -> TooLarge:
    """Return the error for a file that is larger than it may be."""
    return TooLarge(f"The file is larger than {most_bytes} bytes.", code="file_too_large")

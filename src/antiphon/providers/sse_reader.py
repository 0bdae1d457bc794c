"""Cut a stream of bytes into the data of server-sent events, whatever the cuts of the network.

Follows https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
with two liberties that real providers need: a line of data that is a whole JSON object counts
at once, so a missing blank line delays nothing, and so does one at the very end without a newline.
Event names, ids and retry times are passed over: no provider of chat completions uses them.
"""

from __future__ import annotations

from typing import Final

MAX_LINE_BYTES: Final = 1024 * 1024
DONE: Final = b"[DONE]"

_BOM: Final = b"\xef\xbb\xbf"


class LineTooLong(ValueError):
    """A line, or the lines of one event, are above MAX_LINE_BYTES."""


class SseReader:
    """Fed with reads of any size, returns the data of the events they complete.

    One event a read with LF endings, which is how a token arrives, takes the short way in
    `feed`; everything else takes `_feed_slowly`.
    """

    __slots__ = ("_data", "_data_bytes", "_skip_newline", "_tail", "_tail_bytes")

    def __init__(self) -> None:
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._skip_newline = False

    def feed(self, received: bytes) -> list[bytes]:
        """Return the data of all events that `received` completes; raises LineTooLong."""
        if self._tail or self._data or self._skip_newline or b"\r" in received or received[-1:] != b"\n":
            return self._feed_slowly(received)
        found: list[bytes] = []
        lines = received.split(b"\n")
        lines.pop()  # what follows the last newline is no line
        self._read_lines(lines, found)
        return found

    def end(self) -> list[bytes]:
        """Return the data of what is left if it is whole; half a line is none."""
        found: list[bytes] = []
        last = b"".join(self._tail)
        self._tail = []
        if last.endswith((b"}", DONE)):
            self._read_lines([last], found)
        self._read_lines([b""], found)
        return found

    def _feed_slowly(self, received: bytes) -> list[bytes]:
        if self._skip_newline and received[:1] == b"\n":
            received = received[1:]  # the second half of a CRLF that was cut in two
        self._skip_newline = received[-1:] == b"\r"
        if b"\r" in received:
            received = received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        cut = received.rfind(b"\n") + 1
        found: list[bytes] = []
        if cut:
            self._tail.append(received[:cut])
            lines = b"".join(self._tail).split(b"\n")
            self._tail, self._tail_bytes = [], 0
            self._read_lines(lines[:-1], found)
        if cut < len(received):
            self._tail.append(received[cut:])
            self._tail_bytes += len(received) - cut
            if self._tail_bytes > MAX_LINE_BYTES:
                raise LineTooLong(f"a line of more than {MAX_LINE_BYTES} bytes")
        return found

    def _read_lines(self, lines: list[bytes], found: list[bytes]) -> None:
        for line in lines:
            if line[:7] == b"data: {" and line[-1:] == b"}" and not self._data:
                found.append(line[6:])
            elif line:
                self._read_line(line, found)
            elif self._data:
                if any(self._data):  # an event without data is only there to keep the line open
                    found.append(b"\n".join(self._data))
                self._data, self._data_bytes = [], 0

    def _read_line(self, line: bytes, found: list[bytes]) -> None:
        if line.startswith(_BOM):
            line = line[len(_BOM) :]
        if not line.startswith(b"data:"):
            return  # a comment or a field that says nothing here
        data = line[5:].strip()
        whole = (data[:1] == b"{" and data[-1:] == b"}") or data == DONE
        if whole and not self._data:
            found.append(data)
            return
        self._data.append(data)
        self._data_bytes += len(data) + 1
        if self._data_bytes > MAX_LINE_BYTES:
            raise LineTooLong(f"an event of more than {MAX_LINE_BYTES} bytes")

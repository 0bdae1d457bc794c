"""What a stream of Responses says, read from its bytes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete"})
ERROR_CODES = frozenset(
    {
        "server_error", "rate_limit_exceeded", "invalid_prompt", "vector_store_timeout", "invalid_image",
        "invalid_image_format", "invalid_base64_image", "invalid_image_url", "image_too_large",
        "image_too_small", "image_parse_error", "image_content_policy_violation", "invalid_image_mode",
        "image_file_too_large", "unsupported_image_media_type", "empty_image_file",
        "failed_to_download_image", "image_file_not_found",
    }
)  # fmt: skip
"""OpenAI's closed list for `response.error.code`."""

_ID_LINE = re.compile(rb"^id: \d+\n", re.MULTILINE)
_PING = re.compile(rb"^: ping\n\n", re.MULTILINE)


@dataclass(frozen=True)
class Event:
    """One whole event."""

    number: int | None
    name: str
    data: dict[str, Any]


def bare(stream: bytes | bytearray) -> bytes:
    """The event and data lines alone: without `id:` lines and pings."""
    return _PING.sub(b"", _ID_LINE.sub(b"", bytes(stream)))


def events_of(stream: bytes | bytearray) -> list[Event]:
    """All whole events of a stream, which may be cut off anywhere."""
    found = []
    whole, _, _ = bytes(stream).rpartition(b"\n\n")
    for block in whole.decode().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if not lines:
            continue
        fields = dict(line.split(": ", 1) for line in lines)
        number = int(fields["id"]) if "id" in fields else None
        found.append(Event(number, fields["event"], json.loads(fields["data"])))
    return found


def text_of(events: list[Event]) -> str:
    """The text of the deltas."""
    return "".join(event.data["delta"] for event in events if event.name == "response.output_text.delta")


def run_id_of(stream: bytes | bytearray, headers: dict[str, str]) -> str | None:
    """The id of the response a stream is of, from its header or first event; None if it told neither."""
    shown = headers.get("x-request-id", "")
    if shown.startswith("req_") and not stream.startswith(b'{"error"'):
        return "resp_" + shown[4:]
    found = re.search(rb'"id":"(resp_[0-9a-f]{32})"', stream)
    return found.group(1).decode() if found else None


def stored_text(response: dict[str, Any]) -> str:
    """All output text of a response object."""
    return "".join(
        part.get("text", "")
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
    )


def require_gapless(events: list[Event], first: int = 0) -> None:
    """Sequence numbers count up by one, and so do the `id:` lines where there are any."""
    numbers = [event.data["sequence_number"] for event in events]
    assert numbers == list(range(first, first + len(numbers))), numbers[:20]
    assert all(event.number in (None, event.data["sequence_number"]) for event in events)


def require_terminal(stream: bytes | bytearray) -> Event:
    """The stream ends with its one terminal event, which is returned."""
    events = events_of(stream)
    ends = [event for event in events if event.name in TERMINAL]
    assert len(ends) == 1, [event.name for event in events][-3:]
    assert events[-1] is ends[0], "events after the terminal one"
    return ends[0]


COMMENT = re.compile(rb"^:[^\n]*\n\n", re.MULTILINE)
"""A server that is going away may say that the stream is to be resumed."""


def whole(body: bytes | bytearray) -> bytes:
    """A stream's events without one that was cut off in its middle, and without what is said beside them."""
    found = COMMENT.sub(b"", bare(bytes(body)))
    return found[: found.rfind(b"\n\n") + 2] if b"\n\n" in found else b""

"""How ids and moments are written in the older surfaces."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID


def uuid_text(identifier: str) -> str:
    """Return an id of the core, 32 hex digits, as the UUID it is."""
    return str(UUID(identifier))


def moment(microseconds: int) -> str:
    """Return a time as ISO 8601 in UTC with microseconds and `Z`."""
    seconds, rest = divmod(microseconds, 1_000_000)
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest, tzinfo=None)
    return at.isoformat(timespec="microseconds") + "Z"

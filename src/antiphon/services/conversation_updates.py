"""What changes of a conversation besides its tree: how it is written, and what its feed tells of it."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.ports import write_sets as ws


def quiet(change: ws.AddChange) -> ws.AddQuietChange:
    """Return a change as one that is no use of its conversation."""
    return ws.AddQuietChange(**msgspec.structs.asdict(change))


def since(is_so: bool | None, now_us: int) -> int | UnsetType | None:
    """Return since when something is so from now on; UNSET where nothing is said of it."""
    return UNSET if is_so is None else now_us if is_so else None


def told(update: ws.UpdateConversation) -> dict[str, object]:
    """Return what is told of an update: the fields that change, in the shape of the conversation."""
    fields: dict[str, object] = {}
    if update.title is not UNSET:
        fields["title"] = update.title
    if update.metadata is not None:
        fields["metadata"] = msgspec.json.decode(update.metadata)
    if update.expires_us is not UNSET:
        fields["expires_at"] = update.expires_us // 1_000_000 if update.expires_us else None
    for name, since in (("pinned", update.pinned_us), ("archived", update.archived_us)):
        if since is not UNSET:
            fields[name] = since is not None
    if update.folder is not UNSET:
        fields["folder"] = update.folder
    return fields

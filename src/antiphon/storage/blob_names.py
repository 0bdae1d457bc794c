"""What names a blob: an owner's id and a digest; anything else is refused before it reaches a store."""

from __future__ import annotations

import re
from typing import Final

OWNER: Final = re.compile(r"[0-9a-f]{32}")
DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def require_owner(owner_id: str) -> str:
    """Return an owner's id; raises ValueError."""
    if OWNER.fullmatch(owner_id) is None:
        raise ValueError(f"not an owner: {owner_id!r}")
    return owner_id


def require_digest(digest: str) -> str:
    """Return a digest; raises ValueError."""
    if DIGEST.fullmatch(digest) is None:
        raise ValueError(f"not a digest: {digest!r}")
    return digest

"""Collections: sets of files that are searched together; on the wire OpenAI's vector stores."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

COLLECTION: Final = "vs_"
BATCH: Final = "vsfb_"

MAX_ATTRIBUTES: Final = 16
MAX_ATTRIBUTE_KEY: Final = 64
MAX_ATTRIBUTE_TEXT: Final = 512
"""OpenAI's bounds on a file's attributes."""

MemberState = Literal["in_progress", "completed", "failed", "cancelled"]
Attributes = dict[str, str | float | bool]


class Chunking(msgspec.Struct, frozen=True):
    """How a text is cut into passages, in tokens of our estimator.

    The default is for retrieval (passages of about 200 tokens fit small embedding models whole);
    OpenAI's own default of 800/400 is used where a client asks for `static` with those figures.
    """

    max_tokens: int = 200
    overlap_tokens: int = 0
    automatic: bool = True


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """A set of files. `metadata` is JSON text; it expires `expires_after_days` after its last use."""

    id: str
    owner_id: str
    slot: int
    name: str
    description: str | None = None
    metadata: str = "{}"
    created_us: int
    active_us: int
    expires_after_days: int | None = None
    expires_us: int | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a collection. `id` orders members by when they were added; it is not on the wire.

    `version` is the file's version that is to be searched, `source_id` the indexed passages that
    are searched now (None until the first indexing ended). `done` and `total` say how far a running
    job is, in pages or passages; `error_code` is one of OpenAI's `last_error.code`. `attempts` counts
    the jobs that were begun and not ended well; the next does not begin before `not_before_us`.
    """

    id: str
    collection_id: str
    file_id: str
    owner_id: str
    slot: int
    attributes: Attributes = {}
    chunking: Chunking = Chunking()
    state: MemberState = "in_progress"
    error_code: str | None = None
    error: str | None = None
    usage_bytes: int = 0
    batch_id: str | None = None
    version: int = 1
    source_id: str | None = None
    duplicate_of: str | None = None
    """The file of the same collection that has the same content, whose passages stand for both."""
    created_us: int
    done: int = 0
    total: int = 0
    attempts: int = 0
    not_before_us: int = 0


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Several files that were added to a collection at once."""

    id: str
    collection_id: str
    owner_id: str
    slot: int
    created_us: int
    cancelled: bool = False


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many members are in which state, and the bytes their passages take."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    usage_bytes: int = 0

    @property
    def total(self) -> int:
        """All members."""
        return self.in_progress + self.completed + self.failed + self.cancelled

"""Port to the index of passages: words and vectors in one transaction with what they are of.

A file's passages are staged in slices and appear all at once when their source is published, in
the same transaction in which the source it replaces disappears. What is staged and never published
(the process died) and what was withdrawn is erased by `sweep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from antiphon.domain.passages import Candidates, Cut, IndexQuery, NewPassage, Passage, Source


class Unembedded(msgspec.Struct, frozen=True):
    """A text without a vector of some model; `text_hash` is the SHA-256 of heading and text."""

    text_hash: bytes
    text: str


class PassageIndex(Protocol):
    """Adds, withdraws, finds."""

    async def add(self, source: Source, passages: Sequence[NewPassage]) -> None:
        """Add a slice of passages; for a file they stay unseen until `publish`. Repeating it is harmless."""
        ...

    async def add_messages(self, cuts: Sequence[Cut]) -> None:
        """Add passages to conversations' sources, which grow and are seen at once. Repeating it is harmless.

        Passages of one source come in in the order given; after a crash a first part of all may be there.
        """
        ...

    async def publish(self, source_id: str, *, replaces: str | None = None) -> bool:
        """Make a staged source visible as its member's `source_id` and withdraw the one it replaces.

        Returns False, and withdraws the staged one, if the member was removed meanwhile. Repeating
        it is harmless.
        """
        ...

    async def withdraw(self, source_ids: Sequence[str]) -> None:
        """Make sources invisible at once; `sweep` erases them."""
        ...

    async def sweep(self, limit: int) -> int:
        """Erase up to `limit` passages, and vectors no passage needs; returns how many went."""
        ...

    async def search(self, query: IndexQuery) -> Candidates:
        """Return what both legs propose."""
        ...

    async def passages(self, scopes: Sequence[str], ids: Sequence[int]) -> list[Passage]:
        """Return passages of the scopes that still exist, in the order of `ids`."""
        ...

    async def neighbours(self, passage: Passage, before: int, after: int) -> list[Passage]:
        """Return the passages around one in its source (of a message: in it), itself included, by ordinal."""
        ...


class IndexScopes(Protocol):
    """What an index knows of its scopes and sources."""

    async def languages(self, scopes: Sequence[str]) -> tuple[str, ...]:
        """Return the languages whose analysis is used in the scopes, "" for texts of unknown language."""
        ...

    async def staged(self, limit: int, *, free_at_us: int | None = None) -> list[str]:
        """Return ids of sources that were staged and not published; after a crash they are swept.

        With `free_at_us` only those whose member nobody was holding then (see `Waiting`).
        """
        ...

    async def holding(self, messages: Sequence[tuple[str, str]]) -> set[str]:
        """Return the items among (source, item) that are indexed whole: their passages come last to first."""
        ...

    async def forget_items(self, source_id: str, item_ids: Sequence[str]) -> int:
        """Erase the passages of messages of a conversation's source; returns how many went."""
        ...

    async def forget_owner(self, owner_id: str) -> int:
        """Erase everything of an owner, for the deletion of accounts; returns how many passages went."""
        ...

    async def erase_traces(self) -> bool:
        """Do a part of what rids the index of the words of passages that are erased; False if none is left.

        Erased passages are never found, but an index may keep their single words until it is asked.
        """
        ...

    async def mark(self, name: str, value: bytes) -> None:
        """Keep how far something has been indexed, under a name."""
        ...

    async def marked(self, name: str) -> bytes | None:
        """Return what was kept under a name, or None."""
        ...

    async def marks(self, beginning: str) -> dict[str, bytes]:
        """Return what is kept under names with a beginning."""
        ...

    async def take_mark(self, name: str, value: bytes, into: str, mine: bytes) -> bool:
        """Erase a mark and keep `mine` under another name, at once; False if it has another value by now."""
        ...


class Vectors(Protocol):
    """Embeddings of texts, kept per owner and model under the text's hash, whatever passage has it."""

    async def missing(self, model: str, source_id: str, limit: int) -> list[Unembedded]:
        """Return texts of a source that have no vector of the model."""
        ...

    async def missing_anywhere(self, model: str, limit: int) -> list[tuple[str, Unembedded]]:
        """Return texts of any live source without a vector, with their owner; for a change of model."""
        ...

    async def put(self, owner_id: str, model: str, vectors: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep `(text hash, float32 little-endian)`; all of one model have the same length."""
        ...

    async def models(self) -> dict[str, int]:
        """Return the models there are vectors of, with the number of vectors."""
        ...

    async def drop(self, model: str, limit: int) -> int:
        """Erase vectors of a model that is no longer used; returns how many went."""
        ...

"""Port to files, their versions and texts, and uploads in parts.

Every method is one transaction. Reads take the account that asks; a foreign file is None. All of
knowledge (files, collections, passages) lies in one store, apart from conversations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.domain.files import File, Upload, UploadPart, Version


class Files(Protocol):
    """Files and their versions."""

    async def put(self, file: File, version: Version) -> None:
        """Keep a new file with its first version, or a known file's next version as the current one.

        Raises Conflict if that version exists.
        """
        ...

    async def get(self, account_id: str, file_id: str) -> File | None:
        """Return a file, or None; an expired one is None."""
        ...

    async def page(
        self, account_id: str, *, after: str | None, limit: int, descending: bool, purpose: str | None = None
    ) -> list[File]:
        """Return files by id order, beginning after `after`."""
        ...

    async def version(self, account_id: str, file_id: str, number: int) -> Version | None:
        """Return one version, or None; versions stay readable for citations while the file exists."""
        ...

    async def delete(self, account_id: str, file_id: str) -> list[str] | None:
        """Erase a file, its versions and texts, and take it out of all collections.

        Returns the digests of blobs that no other version of this owner's needs, None if there is no
        such file.
        """
        ...

    async def expired(self, now_us: int, limit: int) -> list[File]:
        """Return files whose end has come."""
        ...

    async def digests(self, account_id: str, digest: str) -> bool:
        """Whether any version or open upload of the owner still needs the blob `digest`."""
        ...


class Texts(Protocol):
    """The canonical texts of versions, in slices; a text never changes."""

    async def put_slice(self, owner_id: str, file_id: str, number: int, start: int, text: str) -> None:
        """Keep a slice of a version's text that begins at code point `start`; twice is harmless."""
        ...

    async def complete(self, version: Version) -> None:
        """Note a version's outcome (`ready` or `failed`) with what was learnt of it."""
        ...

    async def read(self, account_id: str, file_id: str, number: int, start: int, end: int) -> str | None:
        """Return code points `start` to `end` of a version's text (less at its end), None if unknown."""
        ...

    async def same_content(self, owner_id: str, digest: str, parser: str) -> Version | None:
        """Return a version of the owner's with this content that this parser has read, or None."""
        ...

    async def copy(self, owner_id: str, source: Version, version: Version) -> None:
        """Give `version` the text of `source`, which has the same content."""
        ...


class Uploads(Protocol):
    """Uploads in parts."""

    async def put(self, upload: Upload) -> None:
        """Keep a new upload."""
        ...

    async def get(self, account_id: str, upload_id: str) -> Upload | None:
        """Return an upload, or None."""
        ...

    async def add_part(self, account_id: str, part: UploadPart, now_us: int, limit_bytes: int) -> None:
        """Add a part; raises Conflict if the upload is not pending, has ended or would pass the limit."""
        ...

    async def parts(self, account_id: str, upload_id: str) -> Sequence[UploadPart]:
        """Return the parts of an upload by id."""
        ...

    async def finish(self, account_id: str, upload_id: str, state: str, file_id: str | None) -> None:
        """Complete or cancel a pending upload; raises Conflict if it is not pending."""
        ...

    async def stale(self, now_us: int, limit: int) -> list[Upload]:
        """Return pending uploads whose end has come."""
        ...

    async def forget(self, upload_id: str) -> list[str]:
        """Erase an upload that has ended with its parts; returns digests of blobs nobody needs."""
        ...

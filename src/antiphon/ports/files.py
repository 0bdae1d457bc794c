"""Port to files, their versions and texts, and uploads in parts.

Every method is one transaction. Reads take the account that asks; a foreign file is None. All of
knowledge (files, collections, passages) lies in one store, apart from conversations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.domain.files import File, Upload, UploadPart, Version
from antiphon.ports.kept_answers import KeptAnswer


class Files(Protocol):
    """Files and their versions."""

    async def put(
        self, file: File, version: Version, *, key: KeptAnswer | None = None, most_bytes: int = 0
    ) -> None:
        """Keep a new file with its first version, or a known file's next version as the current one.

        A next version is indexed again wherever the file is a member. Raises Conflict: `PutFile` if
        that version exists or the file is gone, `PutKey`, and `Storage` if the owner would have more
        than `most_bytes` stored (0: no limit).
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

    async def of_owner(self, owner_id: str, limit: int) -> list[File]:
        """Return files of an owner, expired ones too; for the deletion of accounts."""
        ...

    async def expired(self, now_us: int, limit: int) -> list[File]:
        """Return files whose end has come."""
        ...

    async def needs(self, account_id: str, digest: str) -> bool:
        """Whether any version or open upload of the owner still needs the blob `digest`."""
        ...

    async def stored_bytes(self, account_id: str) -> int:
        """Return how many bytes the contents of an owner take, equal ones counted once."""
        ...


class Texts(Protocol):
    """The canonical texts of versions, in slices; a text never changes."""

    async def put_slice(self, owner_id: str, file_id: str, number: int, start: int, text: str) -> None:
        """Keep a slice of a version's text that begins at code point `start`; twice is harmless.

        One that begins at 0 replaces what an earlier attempt left. A text that is `ready` stays as it
        is. Raises Conflict if the version is gone.
        """
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

    async def put(self, upload: Upload, *, key: KeptAnswer | None = None) -> None:
        """Keep a new upload; raises Conflict `PutKey`."""
        ...

    async def get(self, account_id: str, upload_id: str) -> Upload | None:
        """Return an upload, or None."""
        ...

    async def add_part(
        self, account_id: str, part: UploadPart, now_us: int, *, key: KeptAnswer | None = None,
        most_bytes: int = 0, most_parts: int = 4096,
    ) -> None:  # fmt: skip
        """Add a part.

        Raises Conflict: `Upload` if the upload is not pending or has ended, `Parts` if the parts
        would be larger than the upload or more than `most_parts`, `PutKey`, and `Storage` as
        `Files.put` does.
        """
        ...

    async def parts(self, account_id: str, upload_id: str) -> Sequence[UploadPart]:
        """Return the parts of an upload by id."""
        ...

    async def complete(
        self, account_id: str, upload_id: str, file: File, version: Version, *, key: KeptAnswer | None = None
    ) -> list[str]:
        """Make a pending upload the file it was for, in one transaction.

        Returns the digests of parts that nobody needs any more. Raises Conflict: `Upload` if it is
        not pending, `PutKey`.
        """
        ...

    async def cancel(self, account_id: str, upload_id: str) -> list[str]:
        """Cancel a pending upload and drop its parts, as `complete` does; raises Conflict `Upload`."""
        ...

    async def of_owner(self, owner_id: str, limit: int) -> list[Upload]:
        """Return uploads of an owner, whatever became of them; for the deletion of accounts."""
        ...

    async def stale(self, now_us: int, limit: int) -> list[Upload]:
        """Return uploads whose end has come, whatever became of them."""
        ...

    async def forget(self, upload_id: str) -> list[str]:
        """Erase an upload with its parts; returns digests of blobs nobody needs."""
        ...

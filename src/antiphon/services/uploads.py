"""Uploads: a large file in parts that arrive in any order and become one file at the end."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import Conflict, InvalidRequest, TooLarge
from antiphon.domain.files import PART, UPLOAD, UPLOAD_SECONDS, File, Upload, UploadPart, clean_filename
from antiphon.ports.blob_store import StoredBlob
from antiphon.ports.clock import Clock
from antiphon.ports.knowledge import Knowledge
from antiphon.services.access import not_found
from antiphon.services.contents import Contents, storage_exceeded
from antiphon.services.files import NewFile, first_version, new_file
from antiphon.services.idempotency import Key
from antiphon.services.kept_answers import KeptAnswers

MAX_PART_BYTES: Final = 64 * 1024 * 1024
"""OpenAI's bound of one part."""
MAX_PARTS: Final = 4096


class NewUpload(msgspec.Struct, frozen=True, kw_only=True):
    """What is announced: a file's name, purpose, size in bytes and type."""

    filename: str
    purpose: str
    bytes: int
    media_type: str
    file_expires_seconds: int | None = None


class Completed(msgspec.Struct, frozen=True):
    """An upload and the file it became."""

    upload: Upload
    file: File


class Uploads:
    """The uploads of the caller; `most_bytes` is how large the whole of one may be."""

    def __init__(
        self, knowledge: Knowledge, contents: Contents, kept: KeptAnswers, clock: Clock, *, most_bytes: int
    ) -> None:
        self._uploads = knowledge.uploads
        self._contents = contents
        self._kept = kept
        self._clock = clock
        self._most_bytes = most_bytes

    async def create(self, who: Principal, new: NewUpload, *, key: Key | None) -> Upload:
        """Open an upload for an hour; raises TooLarge."""
        if new.bytes > self._most_bytes:
            raise TooLarge(
                f"An upload may have {self._most_bytes} bytes.", code="file_too_large", param="bytes"
            )
        now = self._clock.now_us()
        upload = Upload(
            id=ids.new_id(who.actor_slot), owner_id=who.actor_id, slot=who.actor_slot,
            filename=clean_filename(new.filename), purpose=new.purpose, bytes=new.bytes,
            media_type=new.media_type, created_us=now, expires_us=now + UPLOAD_SECONDS * 1_000_000,
            file_expires_seconds=new.file_expires_seconds,
        )  # fmt: skip
        await self._uploads.put(upload, key=self._kept.keep(who, key, upload))
        return upload

    async def pending(self, who: Principal, upload_id: str) -> Upload:
        """Return an upload that still takes parts; raises NotFound, and InvalidRequest if it has ended."""
        identifier = ids.parse(upload_id, UPLOAD)
        found = await self._uploads.get(who.actor_id, identifier) if identifier else None
        if found is None:
            not_found("Upload", upload_id)
        state = "expired" if found.expires_us <= self._clock.now_us() else found.state
        if found.state != "pending" or state == "expired":
            raise InvalidRequest(f"Upload '{upload_id}' is {state}.", code="upload_ended")
        return found

    def receiving(
        self, who: Principal, chunks: AsyncIterator[bytes], *, announced: int = 0
    ) -> AbstractAsyncContextManager[StoredBlob]:
        """Receive the content of a part; `add_part` within the block keeps it."""
        return self._contents.keeping(who, chunks, most_bytes=MAX_PART_BYTES, announced=announced)

    async def add_part(
        self, who: Principal, upload_id: str, content: StoredBlob, *, key: Key | None
    ) -> UploadPart:
        """Make a received content a part; raises TooLarge if the parts exceed what was announced."""
        upload = await self.pending(who, upload_id)
        now = self._clock.now_us()
        part = UploadPart(
            id=ids.new_id(upload.slot), upload_id=upload.id, digest=content.digest, bytes=content.size,
            created_us=now,
        )  # fmt: skip
        most = self._contents.most_stored_bytes
        try:
            await self._uploads.add_part(
                who.actor_id, part, now, key=self._kept.keep(who, key, part), most_bytes=most,
                most_parts=MAX_PARTS,
            )  # fmt: skip
        except Conflict as lost:
            if lost.message == "Parts":
                raise TooLarge("The parts are larger than the upload.", code="upload_too_large") from None
            if lost.message == "Storage":
                raise storage_exceeded(most) from None
            if lost.message == "Upload":
                await self.pending(who, upload_id)
            raise
        return part

    async def complete(
        self, who: Principal, upload_id: str, part_ids: Sequence[str], md5: str | None, *, key: Key | None
    ) -> Completed:
        """Put the parts together in the order given; raises NotFound and InvalidRequest."""
        upload = await self.pending(who, upload_id)
        parts = await self._chosen(who, upload, part_ids)
        whole = _Whole(self._contents, who.actor_id, parts, checked=md5 is not None)
        async with self._contents.keeping(who, whole.chunks(), most_bytes=upload.bytes) as content:
            if md5 is not None and whole.md5.hexdigest() != md5.lower():
                raise InvalidRequest("The content has another MD5.", code="checksum_mismatch", param="md5")
            seconds = upload.file_expires_seconds
            new = NewFile(filename=upload.filename, purpose=upload.purpose, expires_after_seconds=seconds)
            file = new_file(who, content, new, self._clock.now_us())
            done = Completed(msgspec.structs.replace(upload, state="completed", file_id=file.id), file)
            try:
                unneeded = await self._uploads.complete(
                    who.actor_id, upload.id, file, first_version(file), key=self._kept.keep(who, key, done)
                )
            except Conflict as lost:
                if lost.message == "Upload":
                    await self.pending(who, upload_id)
                raise
        await self._contents.erase(who.actor_id, unneeded)
        return done

    async def _chosen(self, who: Principal, upload: Upload, part_ids: Sequence[str]) -> list[UploadPart]:
        known = {part.id: part for part in await self._uploads.parts(who.actor_id, upload.id)}
        chosen = []
        for shown in part_ids:
            part = known.pop(ids.parse(shown, PART) or "", None)
            if part is None:
                not_found("Part", shown, "part_ids")
            chosen.append(part)
        size = sum(part.bytes for part in chosen)
        if size != upload.bytes:
            raise InvalidRequest(
                f"The parts have {size} bytes, the upload was announced with {upload.bytes}.",
                code="upload_size_mismatch", param="part_ids",
            )  # fmt: skip
        return chosen

    async def cancel(self, who: Principal, upload_id: str) -> Upload:
        """End an upload and drop its parts; raises NotFound, and InvalidRequest if it has ended."""
        upload = await self.pending(who, upload_id)
        try:
            unneeded = await self._uploads.cancel(who.actor_id, upload.id)
        except Conflict:
            await self.pending(who, upload_id)
            raise
        await self._contents.erase(who.actor_id, unneeded)
        return msgspec.structs.replace(upload, state="cancelled")

    async def erase(self, upload: Upload) -> None:
        """Erase an upload with its parts."""
        await self._contents.erase(upload.owner_id, await self._uploads.forget(upload.id))

    async def stale(self, limit: int) -> list[Upload]:
        """Return uploads whose end has come."""
        return await self._uploads.stale(self._clock.now_us(), limit)


class _Whole:
    """Parts as one content, with its MD5 if that is to be checked: it takes as long as the disk does."""

    def __init__(
        self, contents: Contents, owner_id: str, parts: Sequence[UploadPart], *, checked: bool
    ) -> None:
        self._contents = contents
        self._owner_id = owner_id
        self._parts = parts
        self._checked = checked
        self.md5 = hashlib.md5(usedforsecurity=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield all bytes, in order."""
        for part in self._parts:
            async for chunk in self._contents.read(self._owner_id, part.digest):
                if self._checked:
                    await asyncio.to_thread(self.md5.update, chunk)
                yield chunk

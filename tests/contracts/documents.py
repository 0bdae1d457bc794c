"""Makes files, uploads, collections and members for the suites of knowledge."""

from __future__ import annotations

import hashlib
from typing import Any

from antiphon.domain import ids
from antiphon.domain.collections import Batch, Collection, Member
from antiphon.domain.files import File, Upload, UploadPart, Version
from antiphon.ports.kept_answers import KeptAnswer
from antiphon.ports.knowledge import Knowledge
from tests.contracts.builders import OWNER, SLOT

NOW = 1_800_000_000_000_000
DAY = 24 * 3600 * 1_000_000


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def new_file(content: str = "a", *, owner: str = OWNER, **fields: Any) -> tuple[File, Version]:
    file = File(
        **{
            "id": ids.new_id(SLOT), "owner_id": owner, "slot": SLOT, "filename": "a.txt",
            "purpose": "assistants", "bytes": len(content), "digest": digest(content), "created_us": NOW,
            **fields,
        }
    )  # fmt: skip
    version = Version(
        file_id=file.id, number=file.version, owner_id=owner, digest=file.digest, bytes=file.bytes,
        created_us=NOW,
    )  # fmt: skip
    return file, version


async def put_file(knowledge: Knowledge, content: str = "a", **fields: Any) -> File:
    file, version = new_file(content, **fields)
    await knowledge.files.put(file, version)
    return file


def new_upload(**fields: Any) -> Upload:
    return Upload(
        **{
            "id": ids.new_id(SLOT), "owner_id": OWNER, "slot": SLOT, "filename": "a", "purpose": "batch",
            "bytes": 6, "media_type": "text/plain", "created_us": NOW, "expires_us": NOW + 10, **fields,
        }
    )  # fmt: skip


def new_part(upload: Upload, content: str) -> UploadPart:
    return UploadPart(
        id=ids.new_id(SLOT), upload_id=upload.id, digest=digest(content), bytes=len(content), created_us=NOW
    )


def new_collection(**fields: Any) -> Collection:
    return Collection(
        **{
            "id": ids.new_id(SLOT), "owner_id": OWNER, "slot": SLOT, "name": "n", "created_us": NOW,
            "active_us": NOW, **fields,
        }
    )  # fmt: skip


async def put_collection(knowledge: Knowledge, **fields: Any) -> Collection:
    collection = new_collection(**fields)
    await knowledge.collections.put(collection)
    return collection


def new_member(collection: Collection, file: File, **fields: Any) -> Member:
    return Member(
        **{
            "id": ids.new_id(SLOT), "collection_id": collection.id, "file_id": file.id,
            "owner_id": file.owner_id, "slot": SLOT, "created_us": NOW, "version": file.version, **fields,
        }
    )  # fmt: skip


async def put_member(knowledge: Knowledge, collection: Collection, file: File, **fields: Any) -> Member:
    member = new_member(collection, file, **fields)
    await knowledge.members.put([member])
    return member


def new_batch(collection: Collection) -> Batch:
    return Batch(
        id=ids.new_id(SLOT), collection_id=collection.id, owner_id=collection.owner_id, slot=SLOT,
        created_us=NOW,
    )  # fmt: skip


def new_key(name: str = "k", *, created: int = NOW, body: bytes = b"{}") -> KeptAnswer:
    return KeptAnswer(
        owner_id=OWNER, slot=SLOT, name=name, fingerprint=b"f", body=body, created_us=created,
        expires_us=created + DAY,
    )  # fmt: skip

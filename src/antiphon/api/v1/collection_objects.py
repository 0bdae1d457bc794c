"""Vector stores, their files and batches on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.api.v1.file_objects import seconds
from antiphon.domain.collections import BATCH, COLLECTION, Batch, Chunking, Counts, Member
from antiphon.domain.files import FILE
from antiphon.services.collection_files import CountedBatch
from antiphon.services.collections import Counted


def counts_object(counts: Counts) -> dict[str, int]:
    """Return how many files are in which state."""
    return {
        "in_progress": counts.in_progress,
        "completed": counts.completed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "total": counts.total,
    }


def collection_object(counted: Counted) -> dict[str, Any]:
    """Return a vector store."""
    one, counts = counted.collection, counted.counts
    status = "expired" if counted.expired else "in_progress" if counts.in_progress else "completed"
    days = one.expires_after_days
    return {
        "id": COLLECTION + one.id,
        "object": "vector_store",
        "created_at": seconds(one.created_us),
        "name": one.name,
        "description": one.description,
        "usage_bytes": counts.usage_bytes,
        "file_counts": counts_object(counts),
        "status": status,
        "expires_after": {"anchor": "last_active_at", "days": days} if days is not None else None,
        "expires_at": seconds(one.expires_us),
        "last_active_at": seconds(one.active_us),
        "metadata": msgspec.json.decode(one.metadata),
    }


def deleted_collection_object(collection_id: str) -> dict[str, Any]:
    """Return what is answered to a deletion."""
    return {"id": COLLECTION + collection_id, "object": "vector_store.deleted", "deleted": True}


def member_object(member: Member, notes: Sequence[str] | None = None) -> dict[str, Any]:
    """Return a file in a vector store; its id is the file's.

    The extension says how far a running job is, which file's passages stand for an equal content, and,
    where one file is asked for, what of it could not be read.
    """
    error = None
    if member.error_code is not None:
        error = {"code": member.error_code, "message": member.error or ""}
    return {
        "id": FILE + member.file_id,
        "object": "vector_store.file",
        "usage_bytes": member.usage_bytes,
        "created_at": seconds(member.created_us),
        "vector_store_id": COLLECTION + member.collection_id,
        "status": member.state,
        "last_error": error,
        "chunking_strategy": _chunking_object(member.chunking),
        "attributes": member.attributes,
        "antiphon": {
            "version": member.version,
            "done": member.done,
            "total": member.total,
            "duplicate_of": FILE + member.duplicate_of if member.duplicate_of else None,
            **({"notes": list(notes)} if notes is not None else {}),
        },
    }


def _chunking_object(cut: Chunking) -> dict[str, Any]:
    sizes = {"max_chunk_size_tokens": cut.max_tokens, "chunk_overlap_tokens": cut.overlap_tokens}
    return {"type": "static", "static": sizes}


def deleted_member_object(file_id: str) -> dict[str, Any]:
    """Return what is answered when a file was taken out."""
    return {"id": FILE + file_id, "object": "vector_store.file.deleted", "deleted": True}


def batch_object(counted: CountedBatch) -> dict[str, Any]:
    """Return a batch of files."""
    batch, counts = counted.batch, counted.counts
    return {
        "id": BATCH + batch.id,
        "object": "vector_store.files_batch",
        "created_at": seconds(batch.created_us),
        "vector_store_id": COLLECTION + batch.collection_id,
        "status": _batch_status(batch, counts),
        "file_counts": counts_object(counts),
    }


def _batch_status(batch: Batch, counts: Counts) -> str:
    if batch.cancelled:
        return "cancelled"
    if counts.in_progress:
        return "in_progress"
    return "failed" if counts.failed and not counts.completed else "completed"

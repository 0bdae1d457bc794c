"""Files and uploads on the wire."""

from __future__ import annotations

from typing import Any

from antiphon.domain import files
from antiphon.domain.files import File, Upload, UploadPart


def seconds(time_us: int | None) -> int | None:
    """Return a time in seconds, as the wire has it."""
    return time_us // 1_000_000 if time_us is not None else None


def file_object(file: File) -> dict[str, Any]:
    """Return a file: OpenAI's keys, then which version of its content it is."""
    return {
        "id": files.FILE + file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": seconds(file.created_us),
        "expires_at": seconds(file.expires_us),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
        "antiphon": {"version": file.version, "sha256": file.digest, "origin": file.origin},
    }


def deleted_file_object(file_id: str) -> dict[str, Any]:
    """Return what is answered to a deletion."""
    return {"id": files.FILE + file_id, "object": "file", "deleted": True}


def upload_object(upload: Upload, file: File | None = None, *, expired: bool = False) -> dict[str, Any]:
    """Return an upload, with the file it became."""
    return {
        "id": files.UPLOAD + upload.id,
        "object": "upload",
        "bytes": upload.bytes,
        "created_at": seconds(upload.created_us),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": "expired" if expired else upload.state,
        "expires_at": seconds(upload.expires_us),
        "file": file_object(file) if file is not None else None,
    }


def part_object(part: UploadPart) -> dict[str, Any]:
    """Return a part of an upload."""
    return {
        "id": files.PART + part.id,
        "object": "upload.part",
        "created_at": seconds(part.created_us),
        "upload_id": files.UPLOAD + part.upload_id,
    }

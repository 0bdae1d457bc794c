"""The official Python SDK against files, uploads and vector stores, through its own polling helpers."""

from __future__ import annotations

from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.e2e.sdk.launch import Server

TEXT = "The harbour master keeps the ledger.\n\n" * 400
POLL = 50


def test_a_file_from_upload_to_deletion(client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("# Notes\n\nhello")
    made = client.files.create(
        file=path, purpose="assistants", expires_after={"anchor": "created_at", "seconds": 7200}
    )
    assert (made.object, made.filename, made.bytes) == ("file", "notes.md", 14)
    assert made.expires_at == made.created_at + 7200
    assert client.files.retrieve(made.id) == made
    assert client.files.wait_for_processing(made.id).status == "processed"
    assert client.files.content(made.id).read() == b"# Notes\n\nhello"
    assert made.id in [one.id for one in client.files.list(purpose="assistants")]
    deleted = client.files.delete(made.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (made.id, "file", True)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)


def test_pages_of_files_follow_each_other(client: OpenAI) -> None:
    made = [client.files.create(file=(f"{n}.txt", b"x"), purpose="evals").id for n in range(5)]
    assert [one.id for one in client.files.list(purpose="evals", limit=2, order="asc")] == made
    assert [one.id for one in client.files.list(purpose="evals", limit=2)] == made[::-1]


def test_an_upload_in_parts(client: OpenAI) -> None:
    content = TEXT.encode()
    done = client.uploads.upload_file_chunked(
        file=content, filename="big.txt", bytes=len(content), mime_type="text/plain",
        purpose="assistants", part_size=4000,
    )  # fmt: skip
    assert done.status == "completed" and done.file is not None
    assert client.files.content(done.file.id).read() == content
    opened = client.uploads.create(filename="x", bytes=3, mime_type="text/plain", purpose="assistants")
    part = client.uploads.parts.create(opened.id, data=b"abc")
    assert (part.object, part.upload_id) == ("upload.part", opened.id)
    assert client.uploads.cancel(opened.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        client.uploads.complete(opened.id, part_ids=[part.id])


def test_a_vector_store_from_birth_to_deletion(client: OpenAI) -> None:
    made = client.vector_stores.create(
        name="docs", metadata={"a": "b"}, expires_after={"anchor": "last_active_at", "days": 7}
    )
    assert (made.object, made.status, made.file_counts.total) == ("vector_store", "completed", 0)
    changed = client.vector_stores.update(made.id, name="other")
    assert (changed.id, changed.name, changed.metadata) == (made.id, "other", {"a": "b"})
    assert made.id in [one.id for one in client.vector_stores.list(limit=1)]
    assert client.vector_stores.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.retrieve(made.id)


def test_a_file_is_uploaded_and_polled_until_it_is_indexed(client: OpenAI) -> None:
    store = client.vector_stores.create(name="docs")
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("ledger.md", TEXT.encode()), attributes={"year": 2024, "kind": "log"},
        chunking_strategy={
            "type": "static", "static": {"max_chunk_size_tokens": 400, "chunk_overlap_tokens": 100},
        },
        poll_interval_ms=POLL,
    )  # fmt: skip
    assert (file.status, file.last_error, file.vector_store_id) == ("completed", None, store.id)
    assert file.usage_bytes > 0 and file.attributes == {"year": 2024, "kind": "log"}
    assert file.chunking_strategy is not None and file.chunking_strategy.type == "static"
    parts = client.vector_stores.files.content(file.id, vector_store_id=store.id)
    assert "".join(part.text or "" for part in parts).strip() == TEXT.strip()
    changed = client.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={"year": 2025})
    assert changed.attributes == {"year": 2025}
    found = client.vector_stores.retrieve(store.id)
    assert (found.file_counts.completed, found.usage_bytes) == (1, file.usage_bytes)
    assert client.vector_stores.files.delete(file.id, vector_store_id=store.id).deleted
    assert client.vector_stores.retrieve(store.id).file_counts.total == 0


def test_a_batch_is_uploaded_and_polled_with_one_file_that_fails(client: OpenAI) -> None:
    store = client.vector_stores.create()
    batch = client.vector_stores.file_batches.upload_and_poll(
        store.id, poll_interval_ms=POLL,
        files=[("a.md", TEXT.encode()), ("b.txt", b"something else"), ("c.bin", bytes(range(256)) * 9)],
    )  # fmt: skip
    assert (batch.object, batch.status) == ("vector_store.files_batch", "completed")
    assert (batch.file_counts.completed, batch.file_counts.failed) == (2, 1)
    failed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, filter="failed")
    (only,) = list(failed)
    assert only.last_error is not None
    assert only.last_error.code in ("unsupported_file", "invalid_file")
    everything = list(client.vector_stores.files.list(store.id, limit=1, order="asc"))
    assert len(everything) == 3


def test_a_batch_of_files_each_with_its_own_attributes_is_cancelled(client: OpenAI) -> None:
    texts = [(f"{n}.txt", f"text {n}".encode()) for n in range(3)]
    files = [client.files.create(file=one, purpose="assistants") for one in texts]
    store = client.vector_stores.create(file_ids=[files[0].id])
    batch = client.vector_stores.file_batches.create(
        store.id, files=[{"file_id": one.id, "attributes": {"n": n}} for n, one in enumerate(files)]
    )
    ended = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert ended.file_counts.in_progress == 0
    listed = client.vector_stores.files.list(store.id, order="asc")
    assert [one.attributes for one in listed] == [{"n": 0.0}, {"n": 1.0}, {"n": 2.0}]


async def test_the_asynchronous_client_does_the_same(server: Server) -> None:
    async with AsyncOpenAI(base_url=server.base_url, api_key="sk-any", max_retries=0, timeout=30) as sdk:
        store = await sdk.vector_stores.create(name="x")
        file = await sdk.files.create(file=("a.txt", b"hello there"), purpose="user_data")
        done = await sdk.vector_stores.files.create_and_poll(
            file.id, vector_store_id=store.id, poll_interval_ms=POLL
        )
        assert done.status == "completed"
        batch = await sdk.vector_stores.file_batches.create_and_poll(
            store.id, file_ids=[file.id], poll_interval_ms=POLL
        )
        assert batch.file_counts.completed == 1

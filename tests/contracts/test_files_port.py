"""Ports of files, their texts and uploads in parts: each verb is whole or not done, and one owner's only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from antiphon.domain.errors import Conflict
from antiphon.domain.files import File, Version
from antiphon.ports.knowledge import Knowledge
from tests.contracts.builders import OWNER, STRANGER
from tests.contracts.documents import (
    DAY,
    NOW,
    digest,
    new_file,
    new_key,
    new_part,
    new_upload,
    put_collection,
    put_file,
    put_member,
)


async def test_a_file_comes_back_as_it_was_put_to_its_owner_only(knowledge: Knowledge) -> None:
    file, version = new_file(origin="https://example.org/", expires_us=NOW * 2)
    await knowledge.files.put(file, version)
    assert await knowledge.files.get(OWNER, file.id) == file
    assert await knowledge.files.version(OWNER, file.id, 1) == version
    assert await knowledge.files.get(STRANGER, file.id) is None
    assert await knowledge.files.version(STRANGER, file.id, 1) is None
    assert await knowledge.files.delete(STRANGER, file.id) is None
    assert await knowledge.files.version(OWNER, file.id, 2) is None


async def test_names_and_texts_may_hold_whatever_people_write(knowledge: Knowledge) -> None:
    """NUL, which one engine's text refuses, and the character that stands for it there."""
    odd = "a\0b\uffff0\U0001f600.txt"
    file, version = new_file(filename=odd, origin=odd)
    await knowledge.files.put(file, version)
    assert await knowledge.files.get(OWNER, file.id) == file
    await knowledge.texts.put_slice(OWNER, file.id, 1, 0, odd)
    assert await knowledge.texts.read(OWNER, file.id, 1, 0, 99) == odd
    learnt = msgspec.structs.replace(ready(version), title=odd)
    await knowledge.texts.complete(learnt)
    assert await knowledge.files.version(OWNER, file.id, 1) == learnt
    collection = await put_collection(knowledge, name=odd, description=odd)
    assert await knowledge.collections.get(OWNER, collection.id) == collection


async def test_an_expired_file_is_gone_and_found_by_who_erases_it(knowledge: Knowledge) -> None:
    gone = await put_file(knowledge, expires_us=5)
    there = await put_file(knowledge)
    assert await knowledge.files.get(OWNER, gone.id) is None
    page = await knowledge.files.page(OWNER, after=None, limit=9, descending=False)
    assert page == [there]
    assert await knowledge.files.expired(4, 9) == []
    assert await knowledge.files.expired(5, 9) == [gone]
    assert {one.id for one in await knowledge.files.of_owner(OWNER, 9)} == {gone.id, there.id}


async def test_pages_follow_each_other_in_both_orders(knowledge: Knowledge) -> None:
    files = [await put_file(knowledge, purpose="batch" if n % 2 else "vision") for n in range(7)]
    await put_file(knowledge, owner=STRANGER)
    upwards, after = list[File](), None
    while page := await knowledge.files.page(OWNER, after=after, limit=3, descending=False):
        upwards, after = upwards + page, page[-1].id
    assert upwards == files
    assert await knowledge.files.page(OWNER, after=files[3].id, limit=2, descending=True) == files[2:0:-1]
    of = await knowledge.files.page(OWNER, after=None, limit=9, descending=False, purpose="batch")
    assert of == files[1::2]


async def test_a_next_version_is_the_current_one_and_the_one_before_stays(knowledge: Knowledge) -> None:
    first = await put_file(knowledge, "a")
    file, version = new_file("bb", id=first.id, version=2, filename="b.txt")
    await knowledge.files.put(file, version)
    found = await knowledge.files.get(OWNER, first.id)
    assert found is not None
    assert (found.version, found.bytes, found.digest, found.filename) == (2, 2, digest("bb"), "b.txt")
    assert (await knowledge.files.version(OWNER, first.id, 1)) is not None
    with pytest.raises(Conflict, match="PutFile"):
        await knowledge.files.put(file, version)
    with pytest.raises(Conflict, match="PutFile"):
        await knowledge.files.put(*new_file("c", version=2))


async def test_a_blob_is_needed_while_any_version_or_part_has_it(knowledge: Knowledge) -> None:
    one, other = await put_file(knowledge, "same"), await put_file(knowledge, "same")
    upload = new_upload()
    await knowledge.uploads.put(upload)
    await knowledge.uploads.add_part(OWNER, new_part(upload, "same"), NOW)
    assert await knowledge.files.delete(OWNER, one.id) == []
    assert await knowledge.files.delete(OWNER, other.id) == []
    assert await knowledge.files.needs(OWNER, digest("same"))
    assert not await knowledge.files.needs(STRANGER, digest("same"))
    assert await knowledge.uploads.cancel(OWNER, upload.id) == [digest("same")]
    assert not await knowledge.files.needs(OWNER, digest("same"))
    assert await knowledge.files.delete(OWNER, one.id) is None


async def test_deleting_takes_every_version_and_text_along(knowledge: Knowledge) -> None:
    first = await put_file(knowledge, "a")
    await knowledge.files.put(*new_file("bb", id=first.id, version=2))
    await knowledge.texts.put_slice(OWNER, first.id, 1, 0, "text")
    assert await knowledge.files.delete(OWNER, first.id) == sorted([digest("a"), digest("bb")])
    assert await knowledge.files.version(OWNER, first.id, 1) is None
    assert await knowledge.texts.read(OWNER, first.id, 1, 0, 9) is None


async def test_storage_counts_equal_contents_once_and_is_never_exceeded(knowledge: Knowledge) -> None:
    await put_file(knowledge, "12345")
    await put_file(knowledge, "12345")
    assert await knowledge.files.stored_bytes(OWNER) == 5
    tries = (knowledge.files.put(*new_file(f"{n:03}"), most_bytes=11) for n in range(20))
    results = await asyncio.gather(*tries, return_exceptions=True)
    lost = [one for one in results if one is not None]
    assert len(results) - len(lost) == 2
    assert all(isinstance(one, Conflict) and one.message == "Storage" for one in lost)
    assert await knowledge.files.stored_bytes(OWNER) == 11


# --- keys


Creation = Callable[[Knowledge], Awaitable[None]]


async def test_a_key_is_taken_once_with_what_it_made(knowledge: Knowledge) -> None:
    key = new_key(body=b"first")
    await knowledge.files.put(*new_file("a"), key=key)
    with pytest.raises(Conflict, match="PutKey"):
        await knowledge.files.put(*new_file("b"), key=new_key(body=b"second"))
    assert not await knowledge.files.needs(OWNER, digest("b"))
    kept = await knowledge.kept_answers.get(OWNER, "k", NOW)
    assert kept is not None and kept.body == b"first"
    assert await knowledge.kept_answers.get(STRANGER, "k", NOW) is None
    assert await knowledge.kept_answers.get(OWNER, "k", NOW + DAY) is None
    await knowledge.files.put(*new_file("c"), key=new_key(created=NOW + DAY, body=b"third"))
    assert await knowledge.kept_answers.forget(NOW + DAY, 9) == 0
    assert await knowledge.kept_answers.forget(NOW + 2 * DAY, 9) == 1


async def test_what_fails_leaves_its_key_free(knowledge: Knowledge) -> None:
    with pytest.raises(Conflict, match="Storage"):
        await knowledge.files.put(*new_file("abc"), key=new_key(), most_bytes=2)
    assert await knowledge.kept_answers.get(OWNER, "k", NOW) is None


# --- texts


async def test_a_text_is_read_from_any_offset_whatever_slices_came(knowledge: Knowledge) -> None:
    file = await put_file(knowledge)
    text = "".join(chr(0x1F600 + n % 50) + f"{n} " for n in range(20_000))
    at = 0
    for size in (1, 40_000, 3, len(text)):
        await knowledge.texts.put_slice(OWNER, file.id, 1, at, text[at : at + size])
        at = min(at + size, len(text))
    for start, end in ((0, 5), (0, len(text)), (16_383, 16_386), (40_000, 60_000), (len(text) - 2, 10**9)):
        assert await knowledge.texts.read(OWNER, file.id, 1, start, end) == text[start:end]
    assert await knowledge.texts.read(OWNER, file.id, 1, 10**9, 10**9 + 5) == ""
    assert await knowledge.texts.read(OWNER, file.id, 1, 7, 3) == ""
    assert await knowledge.texts.read(STRANGER, file.id, 1, 0, 5) is None
    assert await knowledge.texts.read(OWNER, file.id, 2, 0, 5) is None


def ready(version: Version, characters: int = 4) -> Version:
    return msgspec.structs.replace(
        version, text_state="ready", parser="p", language="en", title="T", characters=characters,
        media_type="text/plain", page_starts=(0, 2),
    )  # fmt: skip


async def test_a_text_that_is_ready_never_changes(knowledge: Knowledge) -> None:
    file, version = new_file()
    await knowledge.files.put(file, version)
    await knowledge.texts.put_slice(OWNER, file.id, 1, 0, "stale, from an attempt that was cut off")
    await knowledge.texts.put_slice(OWNER, file.id, 1, 0, "text")
    failed = msgspec.structs.replace(version, text_state="failed", error="e")
    await knowledge.texts.complete(failed)
    assert await knowledge.files.version(OWNER, file.id, 1) == failed
    await knowledge.texts.complete(ready(version))
    await knowledge.texts.put_slice(OWNER, file.id, 1, 0, "other")
    await knowledge.texts.complete(failed)
    assert await knowledge.files.version(OWNER, file.id, 1) == ready(version)
    assert await knowledge.texts.read(OWNER, file.id, 1, 0, 99) == "text"


async def test_a_text_is_found_by_content_and_parser_and_copied(knowledge: Knowledge) -> None:
    (one, first), (two, second) = new_file("same"), new_file("same")
    await knowledge.files.put(one, first)
    await knowledge.files.put(two, second)
    assert await knowledge.texts.same_content(OWNER, one.digest, "p") is None
    await knowledge.texts.put_slice(OWNER, one.id, 1, 0, "text")
    await knowledge.texts.complete(ready(first))
    assert await knowledge.texts.same_content(OWNER, one.digest, "p") == ready(first)
    assert await knowledge.texts.same_content(OWNER, one.digest, "q") is None
    assert await knowledge.texts.same_content(STRANGER, one.digest, "p") is None
    await knowledge.texts.copy(OWNER, ready(first), second)
    assert await knowledge.texts.read(OWNER, two.id, 1, 0, 9) == "text"
    assert await knowledge.files.version(OWNER, two.id, 1) == ready(second)


async def test_texts_of_a_file_that_is_gone_are_not_taken(knowledge: Knowledge) -> None:
    file, version = new_file()
    for attempt in (
        knowledge.texts.put_slice(OWNER, file.id, 1, 0, "text"),
        knowledge.texts.complete(ready(version)),
        knowledge.texts.copy(OWNER, version, version),
    ):
        with pytest.raises(Conflict):
            await attempt


# --- uploads


async def test_an_upload_takes_parts_and_becomes_a_file_in_one_commit(knowledge: Knowledge) -> None:
    upload = new_upload()
    await knowledge.uploads.put(upload)
    assert await knowledge.uploads.get(OWNER, upload.id) == upload
    assert await knowledge.uploads.get(STRANGER, upload.id) is None
    parts = [new_part(upload, text) for text in ("abc", "def")]
    for part in parts:
        await knowledge.uploads.add_part(OWNER, part, NOW)
    assert await knowledge.uploads.parts(OWNER, upload.id) == parts
    assert await knowledge.uploads.parts(STRANGER, upload.id) == []
    file, version = new_file("abcdef")
    unneeded = await knowledge.uploads.complete(OWNER, upload.id, file, version)
    assert sorted(unneeded) == sorted(part.digest for part in parts)
    assert await knowledge.files.get(OWNER, file.id) == file
    done = await knowledge.uploads.get(OWNER, upload.id)
    assert done is not None and (done.state, done.file_id) == ("completed", file.id)
    with pytest.raises(Conflict, match="Upload"):
        await knowledge.uploads.complete(OWNER, upload.id, *new_file("abcdef"))
    with pytest.raises(Conflict, match="Upload"):
        await knowledge.uploads.cancel(OWNER, upload.id)
    with pytest.raises(Conflict, match="Upload"):
        await knowledge.uploads.add_part(OWNER, new_part(upload, "x"), NOW)
    assert len(await knowledge.files.of_owner(OWNER, 9)) == 1


async def test_parts_are_refused_above_the_size_the_number_and_the_end(knowledge: Knowledge) -> None:
    upload = new_upload()
    await knowledge.uploads.put(upload)
    with pytest.raises(Conflict, match="Parts"):
        await knowledge.uploads.add_part(OWNER, new_part(upload, "1234567"), NOW)
    await knowledge.uploads.add_part(OWNER, new_part(upload, "123"), NOW)
    with pytest.raises(Conflict, match="Parts"):
        await knowledge.uploads.add_part(OWNER, new_part(upload, "1"), NOW, most_parts=1)
    with pytest.raises(Conflict, match="Storage"):
        await knowledge.uploads.add_part(OWNER, new_part(upload, "45"), NOW, most_bytes=4)
    with pytest.raises(Conflict, match="Upload"):
        await knowledge.uploads.add_part(OWNER, new_part(upload, "4"), NOW + 10)
    with pytest.raises(Conflict, match="Upload"):
        await knowledge.uploads.add_part(STRANGER, new_part(upload, "4"), NOW)
    assert len(await knowledge.uploads.parts(OWNER, upload.id)) == 1


async def test_uploads_whose_end_has_come_are_found_and_forgotten(knowledge: Knowledge) -> None:
    upload, later = new_upload(), new_upload(expires_us=NOW + 99)
    for one in (upload, later):
        await knowledge.uploads.put(one)
    await knowledge.uploads.add_part(OWNER, new_part(upload, "abc"), NOW)
    assert await knowledge.uploads.stale(NOW + 9, 9) == []
    assert await knowledge.uploads.stale(NOW + 10, 9) == [upload]
    assert await knowledge.uploads.forget(upload.id) == [digest("abc")]
    assert await knowledge.uploads.forget(upload.id) == []
    assert await knowledge.uploads.of_owner(OWNER, 9) == [later]


async def test_a_file_that_goes_leaves_its_collections(knowledge: Knowledge) -> None:
    collection, file = await put_collection(knowledge), await put_file(knowledge)
    await put_member(knowledge, collection, file)
    await knowledge.files.delete(OWNER, file.id)
    assert await knowledge.members.get(OWNER, collection.id, file.id) is None
    assert await knowledge.batches.of_file(file.id) == []

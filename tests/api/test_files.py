"""`/v1/files` and `/v1/uploads` over HTTP: OpenAI's shapes, versions, ranges, and what is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from antiphon.api.multipart import PIECE_BYTES, Form
from tests.api.client import Api
from tests.api.document_routes import give_text
from tests.api.documents import form, refused, store_of, upload

PART = {"filename": "big.txt", "purpose": "assistants", "bytes": 6, "mime_type": "text/plain"}


async def test_a_file_has_openais_shape(api: Api) -> None:
    made = await upload(
        api, b"hello", **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    )
    assert made.keys() == {
        "id", "object", "bytes", "created_at", "expires_at", "filename", "purpose", "status",
        "status_details", "antiphon",
    }  # fmt: skip
    assert (made["object"], made["bytes"], made["status"]) == ("file", 5, "processed")
    assert made["expires_at"] == made["created_at"] + 3600
    assert made["antiphon"] == {
        "version": 1, "sha256": hashlib.sha256(b"hello").hexdigest(), "origin": None,
    }  # fmt: skip
    assert await api.get(f"/v1/files/{made['id']}") == made
    assert await api.delete(f"/v1/files/{made['id']}") == {
        "id": made["id"], "object": "file", "deleted": True,
    }  # fmt: skip
    error = await api.refused("GET", f"/v1/files/{made['id']}", status=404)
    assert error["message"] == f"File with id '{made['id']}' not found."


async def test_lists_are_pages_of_one_purpose_in_either_order(api: Api) -> None:
    files = [(await upload(api, purpose="batch" if n % 2 else "vision"))["id"] for n in range(5)]
    page = await api.get("/v1/files", order="asc", limit=2)
    assert [one["id"] for one in page["data"]] == files[:2]
    assert (page["object"], page["first_id"], page["last_id"], page["has_more"]) == (
        "list", files[0], files[1], True,
    )  # fmt: skip
    page = await api.get("/v1/files", after=files[1])
    assert [one["id"] for one in page["data"]] == files[:1]
    page = await api.get("/v1/files", purpose="batch", limit=10_000)
    assert [one["id"] for one in page["data"]] == [files[3], files[1]]
    assert page["has_more"] is False
    await api.refused("GET", "/v1/files", status=400, params={"limit": 10_001})
    await api.refused("GET", "/v1/files", status=400, params={"after": "nonsense"})


RANGES: dict[str, tuple[int, bytes, str | None]] = {
    "bytes=0-3": (206, b"0123", "bytes 0-3/10"),
    "bytes=4-": (206, b"456789", "bytes 4-9/10"),
    "bytes=-3": (206, b"789", "bytes 7-9/10"),
    "bytes=8-99": (206, b"89", "bytes 8-9/10"),
    "bytes=-99": (206, b"0123456789", "bytes 0-9/10"),
    "bytes=10-": (416, b"", "bytes */10"),
    "bytes=5-4": (416, b"", "bytes */10"),
    "bytes=-0": (416, b"", "bytes */10"),
    "bytes=0-1,3-4": (200, b"0123456789", None),
    "bytes=-": (200, b"0123456789", None),
    "lines=1-2": (200, b"0123456789", None),
    "bytes=1-9999999999999999": (200, b"0123456789", None),
}


@pytest.mark.parametrize("wanted", RANGES)
async def test_content_comes_whole_or_in_a_range(api: Api, wanted: str) -> None:
    made = await upload(api, b"0123456789")
    got = await api.http.get(f"/v1/files/{made['id']}/content", headers={"range": wanted})
    status, content, span = RANGES[wanted]
    assert (got.status_code, got.content, got.headers.get("content-range")) == (status, content, span)
    assert got.headers["content-disposition"].startswith("attachment")
    assert got.headers["content-type" if status != 416 else "etag"]


async def test_a_range_of_what_has_changed_is_the_whole(api: Api) -> None:
    made = await upload(api, b"0123456789")
    path = f"/v1/files/{made['id']}/content"
    tag = (await api.http.get(path)).headers["etag"]
    headers = {"range": "bytes=0-1", "if-range": tag}
    assert (await api.http.get(path, headers=headers)).status_code == 206
    await form(api, path, b"other")
    assert (await api.http.get(path, headers=headers)).content == b"other"
    assert (await api.http.get(path, params={"version": 1})).content == b"0123456789"
    assert (await api.http.get(path, params={"version": 3})).status_code == 404


REFUSED: dict[str, tuple[dict[str, str], str, str | None]] = {
    "no such purpose": ({"purpose": "fun"}, "invalid_value", "purpose"),
    "an empty purpose": ({"purpose": ""}, "missing_required_parameter", "purpose"),
    "an unknown field": ({"surprise": "x"}, "unknown_parameter", "surprise"),
    "another anchor": (
        {"expires_after[anchor]": "now", "expires_after[seconds]": "3600"},
        "invalid_value", "expires_after[anchor]",
    ),
    "no seconds": (
        {"expires_after[anchor]": "created_at"}, "missing_required_parameter", "expires_after[seconds]",
    ),
    "too few seconds": (
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"},
        "invalid_value", "expires_after[seconds]",
    ),
    "seconds in words": (
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "½"},
        "invalid_value", "expires_after[seconds]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_a_form_that_is_wrong_keeps_nothing(api: Api, name: str) -> None:
    fields, code, param = REFUSED[name]
    error = await refused(api, **fields)
    assert (error["code"], error["param"]) == (code, param)
    assert (await api.get("/v1/files"))["data"] == []
    left = [one for one in (api.world.directory / "documents").rglob("*") if one.is_file()]
    assert left == []


async def test_the_file_may_come_before_the_fields(api: Api) -> None:
    body = (
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\nx\r\n'
        b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n'
    )
    headers = {"content-type": 'multipart/form-data; boundary="b"'}
    response = await api.http.post("/v1/files", content=body, headers=headers)
    assert (response.status_code, response.json()["purpose"]) == (200, "batch")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
async def test_a_form_reads_the_same_in_pieces_of_any_size(size: int) -> None:
    content = b"\r\n--b" * 50 + b"\r\n--\r\n" + bytes(range(256)) * 3
    body = (
        b'--bnd\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--bnd\r\nContent-Disposition: form-data; name="file"; filename="a b.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\n" + content + b"\r\n--bnd--\r\n"
    )
    pieces = [body[at : at + size] for at in range(0, len(body), size)]

    async def receive() -> dict[str, Any]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    scope = {"headers": [(b"content-type", b"multipart/form-data; boundary=bnd")]}
    read = Form(scope, receive, file_field="file", most_bytes=10_000)
    assert b"".join([piece async for piece in read.content()]) == content
    assert (dict(read.fields), read.filename) == ({"purpose": "batch"}, "a b.txt")


async def test_a_form_hands_over_what_it_has_before_it_reads_on() -> None:
    """However large the file: one read and a piece are all that is handled at once, and all that is held."""
    read_bytes = 256_000
    head = b'--bnd\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = head + bytes(40 * read_bytes) + b"\r\n--bnd--\r\n"
    reads = 0

    async def receive() -> dict[str, Any]:
        nonlocal reads
        reads += 1
        piece = body[(reads - 1) * read_bytes : reads * read_bytes]
        return {"type": "http.request", "body": piece, "more_body": reads * read_bytes < len(body)}

    scope = {"headers": [(b"content-type", b"multipart/form-data; boundary=bnd")]}
    taken = 0
    async for piece in Form(scope, receive, file_field="file", most_bytes=len(body)).content():
        taken += len(piece)
        assert len(piece) < PIECE_BYTES + read_bytes
        assert reads * read_bytes - taken <= read_bytes + len(head)
    assert taken == 40 * read_bytes


async def test_a_new_version_keeps_the_id_and_the_name_unless_it_has_its_own(api: Api) -> None:
    made = await upload(api, b"one", name="one.txt")
    path = f"/v1/files/{made['id']}"
    changed = await form(api, f"{path}/content", b"three", name="two.txt")
    assert changed["id"] == made["id"]
    assert (changed["antiphon"]["version"], changed["bytes"], changed["filename"]) == (2, 5, "two.txt")
    assert await api.get(path) == changed
    await form(api, "/v1/files/file-" + "0" * 32 + "/content", b"x", status=404)


async def test_a_text_is_read_by_offsets_once_it_is_there(api: Api) -> None:
    made = await upload(api, b"x")
    path = f"/v1/files/{made['id']}/versions/1/text"
    assert (await api.refused("GET", path, status=404))["message"] == "Text of version with id '1' not found."
    await api.refused("GET", path, status=400, params={"start": 5, "end": 4})
    await api.refused("GET", path, status=400, params={"start": -1})
    await api.refused("GET", f"/v1/files/{made['id']}/versions/2/text", status=404)


async def test_a_passage_is_read_with_what_stands_around_it(api: Api) -> None:
    text = "Before 🎉 it. The quoted words. After it."
    made = await upload(api, b"x", name="manual.txt")
    path, owner = f"/v1/files/{made['id']}/versions/1/passage", api.world.who.account_id
    await api.refused("GET", path, status=404)
    await give_text(api.world, owner, made["id"], text)
    start = text.index("The")
    span = {"start": start, "end": start + 17}
    found = await api.get(path, **span)
    assert (found["before"], found["quote"], found["after"]) == (
        "Before 🎉 it. ", "The quoted words.", " After it.",
    )  # fmt: skip
    assert (found["filename"], found["characters"], found["start"]) == ("manual.txt", len(text), start)
    near = await api.get(path, **span, around=3)
    assert (near["before"], near["quote"], near["after"]) == ("t. ", "The quoted words.", " Af")
    assert (await api.get(path, **span, around=0))["before"] == ""
    for query in ({"start": 5, "end": 4}, {"start": 0, "end": len(text) + 1}, {"around": 10_001}):
        await api.refused("GET", path, status=400, params=query)


# --- uploads in parts


async def part(api: Api, upload_id: str, content: bytes, **fields: Any) -> Any:
    return await form(api, f"/v1/uploads/{upload_id}/parts", content, field="data", **fields)


async def test_parts_become_a_file_in_the_order_given(api: Api) -> None:
    opened = await api.post("/v1/uploads", PART)
    assert opened["id"].startswith("upload_") and opened["object"] == "upload"
    assert (opened["status"], opened["bytes"], opened["file"]) == ("pending", 6, None)
    assert opened["expires_at"] == opened["created_at"] + 3600
    second, first = await part(api, opened["id"], b"def"), await part(api, opened["id"], b"abc")
    assert first.keys() == {"id", "object", "created_at", "upload_id"}
    assert (first["object"], first["upload_id"]) == ("upload.part", opened["id"])
    complete = f"/v1/uploads/{opened['id']}/complete"
    ids = [first["id"], second["id"]]
    wrong = {"part_ids": ids, "md5": hashlib.md5(b"defabc").hexdigest()}
    assert (await api.refused("POST", complete, wrong, status=400))["code"] == "checksum_mismatch"
    right = {"part_ids": ids, "md5": hashlib.md5(b"abcdef").hexdigest().upper()}
    done = await api.post(complete, right)
    assert (done["status"], done["file"]["bytes"], done["file"]["filename"]) == ("completed", 6, "big.txt")
    got = await api.http.get(f"/v1/files/{done['file']['id']}/content")
    assert got.content == b"abcdef"
    assert (await api.refused("POST", complete, right, status=400))["code"] == "upload_ended"
    blobs = [one for one in (api.world.directory / "documents").rglob("*") if one.is_file()]
    assert [one.name for one in blobs] == [hashlib.sha256(b"abcdef").hexdigest()], "the parts are gone"


async def test_parts_that_are_not_what_was_announced(api: Api) -> None:
    opened = await api.post("/v1/uploads", PART)
    complete = f"/v1/uploads/{opened['id']}/complete"
    one = await part(api, opened["id"], b"abc")
    error = await api.refused("POST", complete, {"part_ids": [one["id"]]}, status=400)
    assert error["code"] == "upload_size_mismatch"
    twice = {"part_ids": [one["id"], one["id"]]}
    assert (await api.refused("POST", complete, twice, status=404))["param"] == "part_ids"
    await api.refused("POST", complete, {"part_ids": []}, status=400)
    assert (await part(api, opened["id"], b"defg", status=413))["error"]["code"] == "upload_too_large"
    ended = await api.post(f"/v1/uploads/{opened['id']}/cancel")
    assert ended["status"] == "cancelled"
    assert (await part(api, opened["id"], b"def", status=400))["error"]["code"] == "upload_ended"
    assert [one for one in (api.world.directory / "documents").rglob("*") if one.is_file()] == []
    huge = PART | {"bytes": 2**43}
    assert (await api.refused("POST", "/v1/uploads", huge, status=413))["code"] == "file_too_large"
    for wrong in ({"bytes": 0}, {"purpose": "fun"}, {"filename": ""}, {"surprise": 1}):
        await api.refused("POST", "/v1/uploads", PART | wrong, status=400)


# --- keys


async def test_a_retried_upload_is_one_file(api: Api) -> None:
    """Every try has another boundary and the same content; another content is another request."""
    key = {"idempotency-key": "k"}
    first = await upload(api, b"same", headers=key)
    assert await upload(api, b"same", headers=key) == first
    assert len((await api.get("/v1/files"))["data"]) == 1
    for wrong in ({"content": b"other"}, {"content": b"same", "purpose": "batch"}):
        error = (await upload(api, **wrong, headers=key, status=422))["error"]  # type: ignore[arg-type]
        assert error["code"] == "idempotency_key_reused"
    blobs = [one for one in (api.world.directory / "documents").rglob("*") if one.is_file()]
    assert [one.name for one in blobs] == [hashlib.sha256(b"same").hexdigest()]


async def test_every_creation_acts_once_under_its_key(api: Api) -> None:
    file = await upload(api)
    store, opened = await store_of(api), await api.post("/v1/uploads", PART)
    for number, (path, body) in enumerate(
        (
            ("/v1/vector_stores", {"name": "n", "file_ids": [file["id"]]}),
            (f"{store}/files", {"file_id": file["id"]}),
            (f"{store}/file_batches", {"file_ids": [file["id"]]}),
            ("/v1/uploads", PART),
        )
    ):
        first = await api.post(path, body, idempotency_key=f"k{number}")
        again = await api.post(path, body, idempotency_key=f"k{number}")
        assert first["id"] == again["id"], path
        error = await api.refused(
            "POST", path, body | {"metadata": {}}, status=422, headers={"idempotency-key": f"k{number}"}
        ) if path == "/v1/vector_stores" else {"code": "idempotency_key_reused"}  # fmt: skip
        assert error["code"] == "idempotency_key_reused"
    key = {"idempotency-key": "part"}
    one, two = [await part(api, opened["id"], b"abcdef", headers=key) for _ in range(2)]
    assert one == two
    complete, body = f"/v1/uploads/{opened['id']}/complete", {"part_ids": [one["id"]]}
    done = [await api.post(complete, body, idempotency_key="done") for _ in range(2)]
    assert done[0] == done[1]
    path, key = f"/v1/files/{file['id']}/content", {"idempotency-key": "version"}
    versions = [await form(api, path, b"next", headers=key) for _ in range(2)]
    assert [one["antiphon"]["version"] for one in versions] == [2, 2]
    for table, rows in (("collections", 2), ("batches", 1), ("uploads", 2), ("files", 2)):
        found = api.world.rows(f"SELECT COUNT(*) FROM {table}", name="knowledge.db")
        assert found == [(rows,)], table

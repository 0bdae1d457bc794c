"""`/v1/vector_stores` over HTTP: OpenAI's shapes, what is refused, and collections that stand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import Api
from tests.api.documents import store_of, upload

STATIC = {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}


async def test_a_vector_store_has_openais_shape(api: Api) -> None:
    made = await api.post(
        "/v1/vector_stores",
        {"name": "docs", "description": "d", "metadata": {"a": "b"},
         "expires_after": {"anchor": "last_active_at", "days": 2}},
    )  # fmt: skip
    assert made.keys() == {
        "id", "object", "created_at", "name", "description", "usage_bytes", "file_counts", "status",
        "expires_after", "expires_at", "last_active_at", "metadata",
    }  # fmt: skip
    assert (made["object"], made["status"], made["usage_bytes"]) == ("vector_store", "completed", 0)
    assert made["file_counts"] == {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0}
    assert made["expires_at"] == made["last_active_at"] + 2 * 86_400
    path = f"/v1/vector_stores/{made['id']}"
    assert await api.get(path) == made
    changed = await api.post(path, {"name": "other", "expires_after": None})
    assert (changed["name"], changed["expires_after"], changed["metadata"]) == ("other", None, {"a": "b"})
    gone = await api.delete(path)
    assert gone == {"id": made["id"], "object": "vector_store.deleted", "deleted": True}
    error = await api.refused("GET", path, status=404)
    assert error["message"] == f"Vector store with id '{made['id']}' not found."
    assert (await api.post("/v1/vector_stores"))["name"] == ""


async def test_pages_go_forwards_and_backwards(api: Api) -> None:
    made = [(await api.post("/v1/vector_stores", {"name": str(n)}))["id"] for n in range(5)]

    async def page(**query: Any) -> list[str]:
        return [one["id"] for one in (await api.get("/v1/vector_stores", **query))["data"]]

    assert await page(limit=2) == made[:2:-1]
    assert await page(after=made[2], limit=2) == [made[1], made[0]]
    assert await page(before=made[0], limit=2) == [made[2], made[1]]
    assert await page(order="asc", before=made[4], limit=2) == made[2:4]
    found = await api.get("/v1/vector_stores", order="asc", limit=2, before=made[1])
    assert (found["has_more"], len(found["data"])) == (False, 1)


async def test_files_are_added_listed_described_and_taken_out(api: Api) -> None:
    files = [await upload(api, str(n).encode()) for n in range(3)]
    store = await store_of(api)
    body = {"file_id": files[0]["id"], "attributes": {"a": "x", "b": 1.5, "c": True, "d": 7},
            "chunking_strategy": STATIC}  # fmt: skip
    added = await api.post(f"{store}/files", body)
    assert added.keys() == {
        "id", "object", "usage_bytes", "created_at", "vector_store_id", "status", "last_error",
        "chunking_strategy", "attributes", "antiphon",
    }  # fmt: skip
    assert (added["object"], added["status"], added["last_error"]) == (
        "vector_store.file",
        "in_progress",
        None,
    )
    assert (added["attributes"], added["chunking_strategy"]) == (body["attributes"], STATIC)
    batch = await api.post(
        f"{store}/file_batches",
        {"files": [{"file_id": one["id"], "attributes": {"n": n}} for n, one in enumerate(files[1:])]},
    )
    assert (batch["object"], batch["status"]) == ("vector_store.files_batch", "in_progress")
    assert batch["file_counts"]["total"] == 2
    listed = await api.get(f"{store}/files", order="asc")
    assert [one["id"] for one in listed["data"]] == [one["id"] for one in files]
    assert [one["attributes"] for one in listed["data"]][1:] == [{"n": 0}, {"n": 1}]
    assert (await api.get(f"{store}/files", filter="failed"))["data"] == []
    of_batch = await api.get(f"{store}/file_batches/{batch['id']}/files", limit=1, order="asc")
    assert (of_batch["last_id"], of_batch["has_more"]) == (files[1]["id"], True)
    described = await api.post(f"{store}/files/{files[0]['id']}", {"attributes": {"z": 1}})
    assert described["attributes"] == {"z": 1}
    cancelled = await api.post(f"{store}/file_batches/{batch['id']}/cancel")
    assert (cancelled["status"], cancelled["file_counts"]["cancelled"]) == ("cancelled", 2)
    gone = await api.delete(f"{store}/files/{files[0]['id']}")
    assert gone == {"id": files[0]["id"], "object": "vector_store.file.deleted", "deleted": True}
    await api.refused("GET", f"{store}/files/{files[0]['id']}", status=404)
    assert (await api.get(f"/v1/files/{files[0]['id']}"))["id"] == files[0]["id"], "the file stays"
    await api.refused("GET", f"{store}/files", status=400, params={"after": files[0]["id"]})
    found = await api.get(store)
    assert (found["status"], found["file_counts"]["total"]) == ("completed", 2)


WRONG: dict[str, Any] = {
    "no file": {},
    "an unknown field": {"file_id": "{file}", "surprise": 1},
    "many attributes": {"file_id": "{file}", "attributes": {f"k{n}": n for n in range(17)}},
    "a long key": {"file_id": "{file}", "attributes": {"k" * 65: 1}},
    "a long value": {"file_id": "{file}", "attributes": {"k": "v" * 513}},
    "a nested value": {"file_id": "{file}", "attributes": {"k": {"a": 1}}},
    "a list": {"file_id": "{file}", "attributes": {"k": [1]}},
    "small chunks": {
        "file_id": "{file}",
        "chunking_strategy": {
            "type": "static", "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0},
        },
    },
    "too much overlap": {
        "file_id": "{file}",
        "chunking_strategy": {
            "type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 401},
        },
    },
    "static without sizes": {"file_id": "{file}", "chunking_strategy": {"type": "static"}},
    "another strategy": {"file_id": "{file}", "chunking_strategy": {"type": "magic"}},
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_a_file_that_is_wrong_is_refused(api: Api, name: str) -> None:
    file, store = await upload(api), await store_of(api)
    body = WRONG[name] | ({"file_id": file["id"]} if "file_id" in WRONG[name] else {})
    await api.refused("POST", f"{store}/files", body, status=400)
    assert (await api.get(store))["file_counts"]["total"] == 0


async def test_an_error_names_the_field_and_not_what_was_tried_for_it(api: Api) -> None:
    store, found = await store_of(api), []
    for path, body in (
        ("search", {"query": ""}), ("search", {"query": ["a", ""]}), ("search", {"query": "a", "x[y]": 1}),
        ("files", {"file_id": "x", "attributes": {"k": None}}),
        ("files", {"file_id": "x", "attributes": {"k" * 65: 1}}),
    ):  # fmt: skip
        found.append((await api.refused("POST", f"{store}/{path}", body, status=400))["param"])
    assert found == ["query", "query", "x[y]", "attributes.k", "attributes." + "k" * 65]


async def test_batches_that_are_wrong_are_refused_whole(api: Api) -> None:
    file, store = await upload(api), await store_of(api)
    one = {"file_id": file["id"]}
    for body in ({}, {"file_ids": []}, {"file_ids": [file["id"]], "files": [one]}, {"files": [{}]},
                 {"file_ids": ["x"] * 2001}):  # fmt: skip
        await api.refused("POST", f"{store}/file_batches", body, status=400)
    missing = "file-" + "0" * 32
    error = await api.refused(
        "POST", f"{store}/file_batches", {"file_ids": [file["id"], missing]}, status=404
    )
    assert (error["message"], error["param"]) == (f"File with id '{missing}' not found.", "file_ids")
    assert (await api.get(store))["file_counts"]["total"] == 0
    await api.refused("GET", f"{store}/file_batches/vsfb_{'0' * 32}", status=404)


async def test_an_expired_vector_store_is_shown_and_takes_nothing(api: Api) -> None:
    file = await upload(api)
    store = await store_of(api, file, expires_after={"anchor": "last_active_at", "days": 1})
    end = "UPDATE collections SET expires=1"
    await api.world.knowledge.store.collections._store.write((), lambda db: db.execute(end).rowcount)
    assert (await api.get(store))["status"] == "expired"
    error = await api.refused("POST", f"{store}/files", {"file_id": file["id"]}, status=400)
    assert error["code"] == "vector_store_expired"


async def test_collections_stand_for_a_person_and_for_a_conversation(api: Api) -> None:
    stores = [(await api.post("/v1/vector_stores", {}))["id"] for _ in range(3)]
    talk = f"/v1/conversations/{await api.conversation('hello')}/vector_stores"
    for path in ("/v1/me/vector_stores", talk):
        assert (await api.get(path))["vector_store_ids"] == []
        body = {"vector_store_ids": [stores[2], stores[0], stores[2]]}
        assert (await api.call("PUT", path, body))["vector_store_ids"] == [stores[2], stores[0]]
        assert (await api.get(path))["vector_store_ids"] == [stores[2], stores[0]]
        await api.refused("PUT", path, {"vector_store_ids": [stores[0]] * 65}, status=400)
        await api.refused("PUT", path, {"vector_store_ids": ["vs_" + "0" * 32]}, status=404)
    await api.delete(f"/v1/vector_stores/{stores[2]}")
    assert (await api.get(talk))["vector_store_ids"] == [stores[0]]
    await api.call("DELETE", talk.removesuffix("/vector_stores") + "?purge=true")
    assert api.world.rows("SELECT COUNT(*) FROM standing", name="knowledge.db") == [(1,)], "the person's"

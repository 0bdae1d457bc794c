"""Operations on files, uploads and vector stores for the route gate, and one of each object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from antiphon.domain import ids
from antiphon.domain.files import FILE
from tests.api.shared_town import Shared
from tests.services.hand import ECHO
from tests.services.world import World

CONTENT = b'{"uuid": "c", "name": "any content", "chat_messages": []}'
"""JSON that is a document like any other, and an export of one conversation without messages."""
FILES = "/v1/files"
UPLOAD = "/v1/uploads/{upload_id}"
STORE = "/v1/vector_stores/{vector_store_id}"


@dataclass(frozen=True)
class Form:
    """A multipart body with one file."""

    name: str = "file"
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> Any:
        """The file, as httpx takes it."""
        return {self.name: ("a.json", CONTENT)}


DOCUMENTS: dict[tuple[str, str], Any] = {
    ("GET", FILES): None,
    ("POST", FILES): Form(fields={"purpose": "assistants"}),
    ("POST", FILES + "/from_url"): {"url": "http://127.0.0.1/"},
    ("POST", "/v1/imports"): {"file_id": "{file_id}"},
    ("GET", FILES + "/{file_id}"): None,
    ("GET", FILES + "/{file_id}/content"): None,
    ("GET", FILES + "/{file_id}/versions/{number}/text"): None,
    ("GET", FILES + "/{file_id}/versions/{number}/passage"): None,
    ("POST", FILES + "/{file_id}/content"): Form(),
    ("POST", "/v1/uploads"): {"filename": "a", "purpose": "batch", "bytes": 9, "mime_type": "text/plain"},
    ("POST", UPLOAD + "/parts"): Form("data"),
    ("POST", UPLOAD + "/complete"): {"part_ids": ["{part_id}"]},
    ("POST", UPLOAD + "/cancel"): None,
    ("GET", "/v1/vector_stores"): None,
    ("POST", "/v1/vector_stores"): {"name": "further", "file_ids": ["{file_id}"]},
    ("GET", STORE): None,
    ("POST", STORE): {"name": "other"},
    ("GET", STORE + "/files"): None,
    ("POST", STORE + "/files"): {"file_id": "{file_id}"},
    ("GET", STORE + "/files/{file_id}"): None,
    ("POST", STORE + "/files/{file_id}"): {"attributes": {"a": 1}},
    ("GET", STORE + "/files/{file_id}/content"): None,
    ("POST", STORE + "/file_batches"): {"file_ids": ["{file_id}"]},
    ("GET", STORE + "/file_batches/{batch_id}"): None,
    ("POST", STORE + "/file_batches/{batch_id}/cancel"): None,
    ("GET", STORE + "/file_batches/{batch_id}/files"): None,
    ("POST", STORE + "/search"): {"query": "anything"},
    ("GET", "/v1/me/vector_stores"): None,
    ("PUT", "/v1/me/vector_stores"): {"vector_store_ids": ["{vector_store_id}"]},
    ("DELETE", STORE + "/files/{file_id}"): None,
    ("DELETE", STORE): None,
    ("DELETE", FILES + "/{file_id}"): None,
}
"""In an order in which one caller can do all of them."""

SAID = {"role": "user", "content": [{"type": "input_file", "file_id": "{file_id}"}]}
SEEN = {"role": "user", "content": [{"type": "input_image", "file_id": "{file_id}"}]}
SENT = {"role": "user", "content": [{"type": "file", "file": {"file_id": "{file_id}"}}]}

DOCUMENTS_NAMED: list[tuple[str, str, Any]] = [
    ("POST", "/v1/responses", {"model": ECHO, "input": [SAID]}),
    ("POST", "/v1/responses", {"model": ECHO, "input": [SEEN], "store": False}),
    ("POST", "/v1/responses/input_tokens", {"model": ECHO, "input": [SAID]}),
    ("POST", "/v1/chat/completions", {"model": ECHO, "messages": [SENT]}),
    ("POST", "/v1/chat/completions", {"model": ECHO, "messages": [SENT], "store": True}),
    ("POST", "/v1/conversations", {"items": [SAID]}),
    ("POST", "/v1/imports", {"file_id": "{file_id}"}),
    ("POST", "/v1/vector_stores", {"file_ids": ["{file_id}"]}),
    ("POST", "/v1/vector_stores/{mine}/files", {"file_id": "{file_id}"}),
    ("POST", "/v1/vector_stores/{mine}/file_batches", {"file_ids": ["{file_id}"]}),
    ("POST", "/v1/vector_stores/{mine}/file_batches", {"files": [{"file_id": "{file_id}"}]}),
    ("PUT", "/v1/me/vector_stores", {"vector_store_ids": ["{vector_store_id}"]}),
    (
        "POST",
        "/v1/responses",
        {
            "model": ECHO,
            "input": "x",
            "tools": [{"type": "file_search", "vector_store_ids": ["{vector_store_id}"]}],
        },
    ),
]
"""Ids of documents in bodies; `{mine}` is a vector store of the caller's own."""


async def library_of(s: Shared) -> dict[str, str]:
    """Make one of every object for ada over HTTP; returns their ids."""
    ada = s.people["owner"]

    async def post(path: str, body: Any = None, **fields: Any) -> Any:
        response = await s.town.http.post(path, json=body, headers=ada.bearer, **fields)
        assert response.status_code == 200, response.text
        return response.json()

    file = await post(FILES, files={"file": ("a.json", CONTENT)}, data={"purpose": "assistants"})
    store = await post("/v1/vector_stores", {"name": "docs"})
    batch = await post(f"/v1/vector_stores/{store['id']}/file_batches", {"file_ids": [file["id"]]})
    size = len(CONTENT)
    new = {"filename": "a", "purpose": "batch", "bytes": size, "mime_type": "text/plain"}
    upload, open_one = await post("/v1/uploads", new), await post("/v1/uploads", new)
    part = await post(f"/v1/uploads/{upload['id']}/parts", files={"data": ("a", CONTENT)})
    await give_text(s.town.world, s.people["owner"].account.id, file["id"], "text")
    return {
        "file_id": file["id"], "vector_store_id": store["id"], "batch_id": batch["id"],
        "upload_id": upload["id"], "open_upload_id": open_one["id"], "part_id": part["id"], "number": "1",
    }  # fmt: skip


async def give_text(world: World, owner: str, file_id: str, text: str) -> None:
    """Give a file its text, as the indexing job would."""
    store, identifier = world.knowledge.store, ids.parse(file_id, FILE)
    assert identifier is not None
    version = await store.files.version(owner, identifier, 1)
    assert version is not None
    await store.texts.put_slice(owner, identifier, 1, 0, text)
    read = msgspec.structs.replace(version, text_state="ready", parser="p", characters=len(text))
    await store.texts.complete(read)

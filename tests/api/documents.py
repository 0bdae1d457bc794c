"""Calls with files in them, over the application in this process."""

from __future__ import annotations

from typing import Any

from tests.api.client import Api, Json


async def upload(
    api: Api, content: bytes = b"hello", *, name: str = "a.txt", status: int = 200,
    headers: dict[str, str] | None = None, **fields: str,
) -> Any:  # fmt: skip
    """`POST /v1/files`."""
    return await form(
        api,
        "/v1/files",
        content,
        name=name,
        status=status,
        headers=headers,
        **{"purpose": "assistants", **fields},
    )


async def form(
    api: Api, path: str, content: bytes, *, name: str = "a.txt", field: str = "file", status: int = 200,
    headers: dict[str, str] | None = None, **fields: str,
) -> Any:  # fmt: skip
    """Post a form with one file."""
    response = await api.http.post(path, files={field: (name, content)}, data=fields, headers=headers)
    assert response.status_code == status, response.text
    return response.json()


async def refused(api: Api, content: bytes = b"x", *, status: int = 400, **fields: str) -> Json:
    """An upload that is refused; returns the error."""
    error: Json = (await upload(api, content, status=status, **fields))["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


async def store_of(api: Api, *files: Json, **fields: Any) -> str:
    """A vector store of files; returns its path."""
    made = await api.post("/v1/vector_stores", {"file_ids": [one["id"] for one in files], **fields})
    return f"/v1/vector_stores/{made['id']}"

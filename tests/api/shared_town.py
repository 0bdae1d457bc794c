"""A conversation over HTTP with people around it: ada's, shared with ed (editor) and vi (viewer)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from tests.api.people_fixtures import Town
from tests.harness.people import Person
from tests.services.hand import ECHO, HAND

NEVER = "0" * 32
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(100))

ROLES = ("stranger", "viewer", "editor", "owner")


@dataclass
class Shared:
    """The shared conversation and the ids of everything in it."""

    town: Town
    people: dict[str, Person]
    ids: dict[str, str]

    @property
    def conversation(self) -> str:
        """Its path."""
        return f"/v1/conversations/{self.ids['conversation_id']}"

    async def call(
        self, role: str, method: str, path: str, body: Any = None, **fields: Any
    ) -> httpx.Response:
        """Call as somebody, `nobody` without a credential."""
        if role == "nobody":
            return await self.town.http.request(method, path, json=body, **fields)
        return await self.people[role].call(method, path, body, **fields)

    async def made(self, role: str, method: str, path: str, body: Any = None) -> Any:
        """Call and return the answer, which must be a success."""
        response = await self.call(role, method, path, body)
        assert response.status_code in (200, 201), f"{method} {path}: {response.text}"
        return response.json()


async def share(town: Town) -> Shared:
    """Make it, over HTTP; one answer in it is still being made."""
    people = {
        "owner": await town.person("ada"),
        "editor": await town.person("ed"),
        "viewer": await town.person("vi"),
        "stranger": await town.person("bob"),
    }
    await town.account("newbie")
    await town.account("guest")
    s = Shared(town, people, {})
    talk = await s.made("owner", "POST", "/v1/conversations", {"title": "plans"})
    s.ids["conversation_id"] = talk["id"]
    picture = await upload_as(people["owner"], PICTURE)
    said = [{"type": "input_text", "text": "hello"}, {"type": "input_image", "file_id": picture}]
    asked = {"model": ECHO, "input": [{"role": "user", "content": said}], "conversation": talk["id"]}
    answered = await s.made("owner", "POST", "/v1/responses", asked)
    items = await s.made("owner", "GET", f"{s.conversation}/items?order=asc")
    branch = await s.made("owner", "POST", f"{s.conversation}/branches", {"name": "beside"})
    link = await s.made("owner", "POST", f"{s.conversation}/shares")
    await s.made("owner", "POST", f"{s.conversation}/members", {"user": "ed", "role": "editor"})
    await s.made("owner", "POST", f"{s.conversation}/members", {"user": "vi", "role": "viewer"})
    await s.made("owner", "POST", f"{s.conversation}/members", {"user": "guest", "role": "viewer"})
    running = await s.made("owner", "POST", "/v1/responses", asked | {"model": HAND, "background": True})
    s.ids |= {
        "response_id": answered["id"],
        "running_id": running["id"],
        "item_id": items["data"][0]["id"],
        "picture_id": picture,
        "answer_id": answered["output"][0]["id"],
        "branch_id": branch["id"],
        "share_id": link["id"],
        "token": link["token"],
        "completion_id": await _chat(s),
    }
    return s


async def upload_as(person: Person, content: bytes, name: str = "pier.png") -> str:
    """Keep somebody's file; returns its id."""
    made = await person.http.post(
        "/v1/files", files={"file": (name, content)}, data={"purpose": "vision"}, headers=person.bearer
    )
    assert made.status_code == 200, made.text
    identifier: str = made.json()["id"]
    return identifier


async def _chat(s: Shared) -> str:
    """A stored chat completion whose conversation is shared in the same way."""
    said = {"model": ECHO, "store": True, "messages": [{"role": "user", "content": "hi"}]}
    made = await s.made("owner", "POST", "/v1/chat/completions", said)
    listed = await s.made("owner", "GET", "/v1/conversations?limit=1")
    for name, role in (("ed", "editor"), ("vi", "viewer")):
        path = f"/v1/conversations/{listed['data'][0]['id']}/members"
        await s.made("owner", "POST", path, {"user": name, "role": role})
    identifier: str = made["id"]
    return identifier

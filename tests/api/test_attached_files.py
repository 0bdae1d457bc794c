"""Files that messages name by their ids: models see pictures as they are and documents as text."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from antiphon.domain import attached_files
from tests.api.client import Api, Json
from tests.api.documents import upload
from tests.api.people_fixtures import Town
from tests.api.shared_town import PICTURE, share, upload_as
from tests.services.hand import ECHO, HAND, Call

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
NOTES = "The harbour master is Ada Brandt.\n"
RESPONSES, CHAT = "/v1/responses", "/v1/chat/completions"


def said(*parts: Json) -> list[Json]:
    return [{"role": "user", "content": [{"type": "input_text", "text": "look"}, *parts]}]


def document(file: Json) -> Json:
    return {"type": "input_file", "file_id": file["id"]}


def picture(file: Json, **fields: Any) -> Json:
    return {"type": "input_image", "file_id": file["id"], **fields}


async def asked(api: Api, body: Json, path: str = RESPONSES) -> tuple[Call, Any]:
    """What the model is asked, and the answer."""
    begun = asyncio.create_task(api.post(path, {"model": HAND, **body}))
    call = await api.world.hand.next()
    call.answer("seen")
    return call, await begun


async def test_a_picture_goes_to_the_model_as_it_is_and_the_item_keeps_the_id(api: Api) -> None:
    file = await upload(api, PNG, name="pier.png")
    call, answered = await asked(api, {"input": said(picture(file, detail="low"))})
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    (message,) = call.request.messages
    assert message["content"][1] == {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    stored = await api.get(f"/v1/responses/{answered['id']}/input_items")
    assert stored["data"][0]["content"][1] == picture(file, detail="low")
    assert not api.world.rows("SELECT 1 FROM items WHERE payload LIKE '%base64%'")


@pytest.mark.parametrize("path", [RESPONSES, CHAT])
async def test_a_document_goes_to_the_model_as_text(api: Api, path: str) -> None:
    file = await upload(api, NOTES.encode(), name="notes.md")
    if path == CHAT:
        parts = [{"type": "text", "text": "look"}, {"type": "file", "file": {"file_id": file["id"]}}]
        body: Json = {"messages": [{"role": "user", "content": parts}]}
    else:
        body = {"input": said(document(file))}
    call, _ = await asked(api, body, path)
    (message,) = call.request.messages
    text = message["content"] if path == RESPONSES else message["content"][1]["text"]
    assert NOTES.strip() in text and "notes.md" in text


async def test_later_turns_see_it_too_and_when_it_is_gone_they_see_its_name(api: Api) -> None:
    conversation = await api.conversation()
    file = await upload(api, NOTES.encode(), name="notes.md")
    item = {"type": "message", **said(document(file))[0]}
    (put,) = (await api.post(f"/v1/conversations/{conversation}/items", {"items": [item]}))["data"]
    assert put["content"][1] == {**document(file), "filename": "notes.md"}
    call, _ = await asked(api, {"conversation": conversation, "input": "who?"})
    assert "Ada Brandt" in call.prompts[0]
    await api.delete(f"/v1/files/{file['id']}")
    call, _ = await asked(api, {"conversation": conversation, "input": "and now?"})
    assert "Ada Brandt" not in call.prompts[0] and "[attached: notes.md]" in call.prompts[0]


async def test_a_new_version_is_what_is_shown(api: Api) -> None:
    file = await upload(api, NOTES.encode(), name="notes.md")
    _, first = await asked(api, {"input": said(document(file))})
    response = await api.http.post(
        f"/v1/files/{file['id']}/content", files={"file": ("notes.md", b"It is Ben now.")}
    )
    assert response.status_code == 200
    call, _ = await asked(api, {"input": "again", "previous_response_id": first["id"]})
    assert "Ben now" in call.prompts[0] and "Ada" not in call.prompts[0]


async def test_what_has_no_room_is_cut_or_refused(api: Api) -> None:
    file = await upload(api, b"word " * 400_000, name="long.txt")
    call, _ = await asked(api, {"input": said(document(file))})
    (prompt,) = call.prompts
    assert "the rest of it is left out" in prompt and len(prompt) < 1_000_000
    error = await api.refused(
        "POST",
        RESPONSES,
        {"model": ECHO, "truncation": "disabled", "input": said(document(file))},
        status=400,
    )
    assert error["code"] == "context_length_exceeded"
    _, first = await asked(api, {"input": said(document(file))})
    body = {"model": ECHO, "truncation": "disabled", "input": "x", "previous_response_id": first["id"]}
    assert (await api.refused("POST", RESPONSES, body, status=400))["code"] == "context_length_exceeded"


async def test_pictures_that_are_too_many_are_named(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.services.attached_files.MAX_PICTURES_BYTES", len(PNG) + 10)
    one, two = [await upload(api, PNG + end, name=f"{end.decode()}.png") for end in (b"1", b"2")]
    _, first = await asked(api, {"input": said(picture(one))})
    call, _ = await asked(api, {"input": said(picture(two)), "previous_response_id": first["id"]})
    assert "[attached: 1.png]" in str(call.request.messages[0]["content"])
    assert call.request.messages[2]["content"][1]["type"] == "image_url"
    body = {"model": ECHO, "truncation": "disabled", "input": said(picture(two))}
    error = await api.refused("POST", RESPONSES, {**body, "previous_response_id": first["id"]}, status=400)
    assert error["code"] == "context_length_exceeded" and "1.png" in error["message"]


async def test_what_no_model_can_be_shown_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = await upload(api, b"%PDF-1.4 nothing", name="broken.pdf")
    for part, word in ((document(broken), "broken.pdf"), (picture(broken), "no PNG")):
        error = await api.refused("POST", RESPONSES, {"model": ECHO, "input": said(part)}, status=400)
        assert word in error["message"] and error["code"] in ("invalid_file", "unsupported_file")
    monkeypatch.setattr("antiphon.services.attached_files.MAX_PICTURE_BYTES", 10)
    large = await upload(api, PNG, name="large.png")
    error = await api.refused("POST", RESPONSES, {"model": ECHO, "input": said(picture(large))}, status=400)
    assert error["code"] == "file_too_large"
    for fields in ({"file_id": 7}, {"file_id": large["id"], "image_url": "data:image/png;base64,"}):
        wrong = said({"type": "input_image", **fields})
        await api.refused("POST", RESPONSES, {"model": ECHO, "input": wrong}, status=400)


@pytest.mark.parametrize("name", ["file-" + "0" * 32, "file-x", "../etc/passwd", ""])
async def test_an_id_that_was_never_issued_is_not_found(api: Api, name: str) -> None:
    conversation = await api.conversation()
    part = {"type": "input_file", "file_id": name}
    item = {"type": "message", **said(part)[0]}
    chat = [{"role": "user", "content": [{"type": "file", "file": {"file_id": name}}]}]
    for path, body in (
        (RESPONSES, {"model": ECHO, "input": said(part)}),
        (f"{RESPONSES}/input_tokens", {"model": ECHO, "input": said(part)}),
        (CHAT, {"model": ECHO, "messages": chat}),
        ("/v1/conversations", {"items": [item]}),
        (f"/v1/conversations/{conversation}/items", {"items": [item]}),
    ):
        error = await api.refused("POST", path, body, status=404)
        assert error["message"] == f"File with id '{name}' not found."


async def test_the_same_picture_is_known_by_its_first_bytes() -> None:
    heads = {b"RIFF1234WEBPVP8 ": "image/webp", b"GIF89a": "image/gif", b"\xff\xd8\xff\xe0": "image/jpeg"}
    assert {head: attached_files.picture_type(head) for head in heads} == heads
    assert attached_files.picture_type(b"<svg xmlns=") is None


async def test_a_member_s_file_is_shown_while_the_member_is_there(town: Town) -> None:
    shared = await share(town)
    ed, path = shared.people["editor"], shared.conversation
    await shared.made("owner", "POST", f"{RESPONSES}/{shared.ids['running_id']}/cancel")
    form = {"files": {"file": ("notes.md", NOTES)}, "data": {"purpose": "user_data"}}
    file = (await town.http.post("/v1/files", headers=ed.bearer, **form)).json()
    item = {"type": "message", **said(document(file))[0]}
    assert (await shared.call("owner", "POST", f"{path}/items", {"items": [item]})).status_code == 404
    await shared.made("editor", "POST", f"{path}/items", {"items": [item]})
    forked = (await shared.made("viewer", "POST", f"{path}/fork", {}))["id"]

    async def seen(role: str, conversation: str) -> str:
        body = {"model": HAND, "conversation": conversation, "input": "who?"}
        begun = asyncio.create_task(shared.call(role, "POST", RESPONSES, body))
        while (call := await town.world.hand.next()).prompts[-1] != "user:who?":
            pass  # the answer that still ran
        call.answer("seen")
        assert (await begun).status_code == 200
        return " ".join(call.prompts)

    assert "Ada Brandt" in await seen("owner", shared.ids["conversation_id"])
    assert "Ada Brandt" not in await seen("viewer", forked), "in a fork nobody's file but one's own"
    await shared.call("owner", "DELETE", f"{path}/members/ed")
    told = await seen("owner", shared.ids["conversation_id"])
    assert "Ada Brandt" not in told and "[attached: notes.md]" in told


async def test_whoever_is_in_the_conversation_sees_a_picture_and_no_other_file(town: Town) -> None:
    s = await share(town)
    path = f"{s.conversation}/items/{{}}/pictures/{{}}"
    ed = s.people["editor"]
    drawn, noted = await upload_as(ed, PICTURE), await upload_as(ed, NOTES.encode(), "notes.md")
    parts = said({"type": "input_image", "file_id": drawn}, {"type": "input_file", "file_id": noted})
    body = {"items": [{"type": "message", **parts[0]}]}
    item = (await s.made("editor", "POST", f"{s.conversation}/items", body))["data"][0]["id"]
    for role in ("viewer", "editor", "owner"):
        seen = await s.call(role, "GET", path.format(item, drawn))
        assert (seen.status_code, seen.content) == (200, PICTURE)
        assert seen.headers["content-disposition"].startswith("attachment")
    never = await s.call("viewer", "GET", path.format(item, "file-" + "0" * 32))
    assert never.status_code == 404
    for role, where in (
        ("viewer", path.format(item, noted)),
        ("viewer", path.format(item, s.ids["picture_id"])),
        ("editor", path.format(s.ids["item_id"], drawn)),
        ("stranger", path.format(item, drawn)),
        ("viewer", f"/v1/files/{drawn}/content"),
    ):
        assert (await s.call(role, "GET", where)).status_code == 404, (role, where)
    await s.call("owner", "DELETE", f"{s.conversation}/members/ed")
    assert (await s.call("viewer", "GET", path.format(item, drawn))).status_code == 404
    await s.call("owner", "DELETE", f"/v1/files/{s.ids['picture_id']}")
    gone = path.format(s.ids["item_id"], s.ids["picture_id"])
    assert (await s.call("viewer", "GET", gone)).status_code == 404


async def test_whoever_holds_a_link_sees_the_pictures_it_shows_and_no_other(town: Town) -> None:
    s = await share(town)
    drawn, noted = (
        await upload_as(s.people["owner"], PICTURE),
        await upload_as(s.people["owner"], NOTES.encode(), "notes.md"),
    )
    first = (await s.made("owner", "POST", f"{s.conversation}/items", {"items": said()}))["data"][0]["id"]
    parts = said({"type": "input_image", "file_id": drawn}, {"type": "input_file", "file_id": noted})
    body = {"items": [{"type": "message", **parts[0]}]}
    item = (await s.made("owner", "POST", f"{s.conversation}/items", body))["data"][0]["id"]
    elsewhere = await s.made("owner", "POST", f"{s.conversation}/branches", {"name": "old", "item_id": first})
    branches = (await s.call("owner", "GET", f"{s.conversation}/branches")).json()["data"]
    whole = next(one for one in branches if one["head_item_id"][-32:] == item[-32:])
    links = {
        name: (await s.made("owner", "POST", f"{s.conversation}/shares", {"branch_id": branch["id"]}))[
            "token"
        ]
        for name, branch in (("whole", whole), ("old", elsewhere))
    }
    path = f"/v1/shared/{{}}/items/{item}/pictures/{{}}"
    seen = await s.call("nobody", "GET", path.format(links["whole"], drawn))
    assert (seen.status_code, seen.content) == (200, PICTURE)
    assert (seen.headers["cache-control"], seen.headers["x-robots-tag"]) == ("private, no-store", "noindex")
    for where in (
        path.format(links["whole"], noted),
        path.format(links["whole"], s.ids["picture_id"]),
        path.format(links["old"], drawn),
        path.format("ants_nothing", drawn),
    ):
        refused = await s.call("nobody", "GET", where)
        assert (refused.status_code, refused.headers["x-robots-tag"]) == (404, "noindex"), where
        assert links["whole"] not in refused.text
    found = (await s.call("owner", "GET", f"{s.conversation}/shares")).json()["data"]
    for one in found:
        await s.call("owner", "DELETE", f"{s.conversation}/shares/{one['id']}")
    assert (await s.call("nobody", "GET", path.format(links["whole"], drawn))).status_code == 404

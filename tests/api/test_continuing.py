"""`antiphon.continues`: an answer that was cut off is gone on with from its next character."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.client import Api, text_of
from tests.services.hand import ECHO, HAND

NUMBERED = "scripted/numbered"


def going_on(conversation: str, **fields: Any) -> dict[str, Any]:
    return {"conversation": conversation, "antiphon": {"continues": True}, **fields}


async def cut_off(api: Api, conversation: str) -> dict[str, Any]:
    """An answer that its limit ended after five tokens."""
    asked = {"model": NUMBERED, "input": "stream=c tokens=12", "max_output_tokens": 5}
    found: dict[str, Any] = await api.post("/v1/responses", {**asked, "conversation": conversation})
    assert found["status"] == "incomplete"
    return found


async def test_the_rest_of_an_answer_follows_it_without_gap_or_doubling(api: Api) -> None:
    conversation = await api.conversation()
    first = await cut_off(api, conversation)
    rest = await api.post("/v1/responses", going_on(conversation, model=NUMBERED))
    assert (rest["status"], rest["antiphon"]["continues"]) == ("completed", True)
    assert "continues" not in first["antiphon"]
    whole = await api.post(
        "/v1/responses", {"model": NUMBERED, "input": "stream=c tokens=12", "store": False}
    )
    texts = [text_of(one["output"][0]) for one in (first, rest, whole)]
    assert texts[0] + texts[1] == texts[2]
    page = await api.get(f"/v1/conversations/{conversation}/items", order="asc", include="antiphon")
    answered = [item["antiphon"]["response"] for item in page["data"]]
    assert [one.get("continues", False) for one in answered] == [False, False, True]


async def test_the_model_sees_the_answer_last_and_is_told_to_go_on(api: Api) -> None:
    conversation = await api.conversation()
    begun = asyncio.create_task(api.ask("one", model=HAND, conversation=conversation))
    call = await api.world.hand.next()
    call.say("cut o")
    call.end("length")
    await begun
    again = asyncio.create_task(api.post("/v1/responses", going_on(conversation, model=HAND)))
    call = await api.world.hand.next()
    assert (call.request.continues, call.prompts) == (True, ["user:one", "assistant:cut o"])
    call.answer("ff")
    rest = await again
    retried = asyncio.create_task(
        api.post(
            f"/v1/conversations/{conversation}/items/{rest['output'][0]['id']}/regenerate", {"model": HAND}
        )
    )
    call = await api.world.hand.next()
    assert (call.request.continues, call.prompts) == (True, ["user:one", "assistant:cut o"])
    call.answer("ff!")
    assert text_of((await retried)["output"][0]) == "ff!"


@pytest.mark.parametrize("said", [[], ["a question"]])
async def test_where_no_answer_stands_there_is_nothing_to_go_on_with(api: Api, said: list[str]) -> None:
    conversation = await api.conversation()
    for text in said:
        await api.post(
            f"/v1/conversations/{conversation}/items",
            {"items": [{"type": "message", "role": "user", "content": text}]},
        )
    error = await api.refused("POST", "/v1/responses", going_on(conversation, model=ECHO), status=400)
    assert (error["code"], error["param"]) == ("nothing_to_continue", "antiphon.continues")


async def test_going_on_has_no_input(api: Api) -> None:
    conversation = await api.conversation()
    await cut_off(api, conversation)
    error = await api.refused(
        "POST", "/v1/responses", going_on(conversation, model=ECHO, input="and then?"), status=400
    )
    assert error["param"] == "input"
    await api.refused("POST", "/v1/responses", {"model": ECHO, "antiphon": {"continues": True}}, status=400)


async def test_where_it_is_read_elsewhere_the_rest_is_known_for_one(api: Api) -> None:
    conversation = await api.conversation()
    first = await cut_off(api, conversation)
    last = await api.post("/v1/responses", going_on(conversation, model=NUMBERED, max_output_tokens=3))
    rests = [last, await api.post("/v1/responses", going_on(conversation, model=NUMBERED))]
    path = f"/v1/conversations/{conversation}"
    link = (await api.post(f"{path}/shares", status=201))["token"]
    for order in ("asc", "desc"):
        for limit in (1, 100):
            found, after = [], {}
            while len(found) < 4:
                page = await api.get(f"/v1/shared/{link}/items", order=order, limit=limit, **after)
                found += page["data"]
                after = {"after": page["last_id"]}
            told = [one.get("antiphon") for one in found]
            goes_on = [{"response": {"id": one["id"], "continues": True}} for one in rests]
            assert told == ([None, None, *goes_on] if order == "asc" else [*goes_on[::-1], None, None])
    text = (await api.http.get(f"{path}/export", params={"format": "markdown"})).text
    whole = "".join(text_of(one["output"][0]) for one in (first, *rests))
    assert text.endswith(f"\n## User\n\nstream=c tokens=12\n\n## Assistant ({NUMBERED})\n\n{whole}\n")
    branch = await api.post(f"{path}/branches", {"item_id": first["output"][0]["id"]})
    main = next(one["id"] for one in (await api.get(f"{path}/branches"))["data"] if one["active"])
    sides = await api.get(f"{path}/compare", left=branch["id"], right=main, include="antiphon")
    answered = [item["antiphon"]["response"] for item in sides["right"]["data"]]
    assert [(one["id"], one["continues"]) for one in answered] == [(one["id"], True) for one in rests]
    plain = await api.get(f"{path}/compare", left=branch["id"], right=main)
    assert all("antiphon" not in item for item in plain["right"]["data"])

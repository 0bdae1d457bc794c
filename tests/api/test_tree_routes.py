"""The tree extension over HTTP: branches, forks, alternatives, fan-out, comparison, changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.client import Api, Event, text_of
from tests.services.hand import ECHO, HAND

BRANCH_KEYS = {
    "id", "object", "conversation_id", "name", "head_item_id", "head_segment_id", "item_count", "token_count",
    "active", "running_response_id", "created_at",
}  # fmt: skip
PATH = ["u1", "re: u1", "u2", "re: u2"]


@pytest.fixture
async def talk(api: Api) -> str:
    """The path of a conversation with two turns."""
    conversation = await api.conversation()
    for text in ("u1", "u2"):
        await api.ask(text, conversation=conversation)
    return f"/v1/conversations/{conversation}"


async def items_of(api: Api, talk: str, **query: Any) -> list[dict[str, Any]]:
    page = await api.get(f"{talk}/items", order="asc", limit=100, **query)
    found: list[dict[str, Any]] = page["data"]
    return found


async def said(api: Api, talk: str, **query: Any) -> list[str]:
    return [text_of(item) for item in await items_of(api, talk, **query)]


async def test_branches_are_made_listed_renamed_activated_and_deleted(api: Api, talk: str) -> None:
    items = await items_of(api, talk)
    made = await api.post(f"{talk}/branches", {"name": "side", "item_id": items[1]["id"]})
    assert made.keys() == BRANCH_KEYS
    assert (made["name"], made["active"], made["item_count"], made["running_response_id"]) == (
        "side",
        False,
        2,
        None,
    )
    assert made["head_item_id"].endswith(items[1]["id"].rpartition("_")[2])
    path = f"{talk}/branches/{made['id']}"
    assert await api.get(path) == made
    listed = await api.get(f"{talk}/branches")
    assert {one["name"] for one in listed["data"]} == {"main", "side"}
    assert (await api.post(path, {"name": " better "}))["name"] == "better"
    main = next(one for one in listed["data"] if one["name"] == "main")
    await api.refused("DELETE", f"{talk}/branches/{main['id']}", status=400)
    assert (await api.call("PUT", f"{path}/activate"))["active"] is True
    assert await said(api, talk) == PATH[:2]
    assert await said(api, talk, branch=main["id"]) == PATH
    assert await api.delete(f"{talk}/branches/{main['id']}") == {
        "id": main["id"], "object": "conversation.branch.deleted", "deleted": True,
    }  # fmt: skip
    for method, body in (("GET", None), ("DELETE", None), ("POST", {"name": "x"})):
        await api.refused(method, f"{talk}/branches/{main['id']}", body, status=404)


@pytest.mark.parametrize(
    "body", [{"name": ""}, {"name": "  "}, {"name": "x" * 201}, {"name": 5}, {"surprise": 1}]
)
async def test_a_branch_with_wrong_fields_is_refused(api: Api, talk: str, body: Any) -> None:
    await api.refused("POST", f"{talk}/branches", body, status=400)


async def test_a_taken_name_is_refused_by_name(api: Api, talk: str) -> None:
    error = await api.refused("POST", f"{talk}/branches", {"name": "main"}, status=400)
    assert (error["code"], error["param"]) == ("branch_name_taken", "name")


async def test_a_running_turn_shows_on_its_branch(api: Api, talk: str) -> None:
    begun = await api.ask("u3", model=HAND, background=True, conversation=talk.rpartition("/")[2])
    (branch,) = (await api.get(f"{talk}/branches"))["data"]
    assert branch["running_response_id"] == begun["id"]
    assert await said(api, talk) == PATH
    (await api.world.hand.next()).answer("a3")


async def test_an_edit_answers_the_new_question_on_a_new_active_branch(api: Api, talk: str) -> None:
    items = await items_of(api, talk)
    answer = await api.post(f"{talk}/items/{items[2]['id']}/edit", {"content": "edited", "model": ECHO})
    assert answer["object"] == "response" and text_of(answer["output"][0]) == "re: edited"
    assert answer["antiphon"]["parent_id"] == items[1]["id"]
    assert await said(api, talk) == [*PATH[:2], "edited", "re: edited"]
    siblings = await api.get(f"{talk}/items/{items[2]['id']}/siblings")
    assert {text_of(item) for item in siblings["data"]} == {"u2", "edited"}


async def test_an_edit_without_an_answer_only_puts_the_item(api: Api, talk: str) -> None:
    items = await items_of(api, talk)
    made = await api.post(f"{talk}/items/{items[0]['id']}/edit", {"content": "root", "respond": False})
    assert [text_of(item) for item in made["data"]] == ["root"]
    assert await said(api, talk) == ["root"]


async def test_an_answer_said_otherwise_replaces_its_thoughts_and_calls_too(api: Api) -> None:
    conversation = await api.conversation()
    talk = f"/v1/conversations/{conversation}"
    await api.ask("u1", model="scripted/reasoning", conversation=conversation)
    items = await items_of(api, talk)
    assert [item["type"] for item in items] == ["message", "reasoning", "message"]
    made = await api.post(f"{talk}/items/{items[2]['id']}/edit", {"content": "mine", "respond": False})
    assert made["data"][0]["role"] == "assistant" and made["data"][0]["content"][0]["type"] == "output_text"
    assert await said(api, talk) == ["u1", "mine"]
    siblings = await api.get(f"{talk}/items/{made['data'][0]['id']}/siblings")
    assert {item["id"] for item in siblings["data"]} == {items[1]["id"], made["data"][0]["id"]}
    again = await api.post(f"{talk}/items/{made['data'][0]['id']}/regenerate", {"model": ECHO})
    assert again["antiphon"]["parent_id"] == items[0]["id"]
    assert await said(api, talk) == ["u1", "re: u1"]


async def test_an_edit_can_be_streamed_and_left_in_the_background(api: Api, talk: str) -> None:
    items = await items_of(api, talk)
    path = f"{talk}/items/{items[2]['id']}/edit"
    events = await api.stream("POST", path, {"content": "streamed", "model": ECHO, "stream": True})
    assert events[-1].name == "response.completed"
    begun = await api.post(path, {"content": "later", "model": HAND, "background": True})
    assert begun["background"] is True
    (await api.world.hand.next()).answer("ok")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"content": 5}, 400),
        ({"content": [5]}, 400),
        ({"content": "x", "temperature": 3}, 400),
        ({"content": "x", "surprise": 1}, 400),
        ({"content": "x", "model": "nobody/nothing"}, 404),
    ],
)
async def test_an_edit_with_wrong_fields_is_refused_and_changes_nothing(
    api: Api, talk: str, body: Any, status: int
) -> None:
    items = await items_of(api, talk)
    await api.refused("POST", f"{talk}/items/{items[2]['id']}/edit", body, status=status)
    assert await said(api, talk) == PATH
    assert len((await api.get(f"{talk}/branches"))["data"]) == 1


async def test_a_regeneration_makes_another_answer_and_copies_no_question(api: Api, talk: str) -> None:
    items = await items_of(api, talk)
    for item in (items[3], items[2]):  # the answer, or its question
        asking = asyncio.create_task(api.post(f"{talk}/items/{item['id']}/regenerate", {"model": HAND}))
        (await api.world.hand.next()).answer("another")
        answer = await asking
        assert answer["antiphon"]["input_item_ids"] == []
        assert answer["antiphon"]["parent_id"] == items[2]["id"]
        assert await said(api, talk) == [*PATH[:3], "another"]
    siblings = await api.get(f"{talk}/items/{items[3]['id']}/siblings")
    assert len(siblings["data"]) == 3
    assert (await api.get(f"/v1/responses/{answer['id']}/input_items"))["data"] == []
    again = await api.call("POST", f"{talk}/items/{items[3]['id']}/regenerate")
    assert again["status"] == "completed", "a body is not needed"


async def test_a_fan_out_answers_with_all_responses(api: Api, talk: str) -> None:
    models = [ECHO, "scripted/text", "hand/silent"]
    found = await api.post(f"{talk}/fan_out", {"models": models, "input": "u3"})
    assert found["object"] == "response.fan_out"
    assert [one["model"] for one in found["data"]] == models
    assert [one["status"] for one in found["data"]] == ["completed"] * 3
    names = {one["name"]: one["id"] for one in (await api.get(f"{talk}/branches"))["data"]}
    assert set(names) == {"main", "scripted/text", "hand/silent"}
    assert await said(api, talk) == [*PATH, "u3", "re: u3"]
    questions = {tuple(one["antiphon"]["input_item_ids"]) for one in found["data"]}
    assert len(questions) == 2 and () in questions, "the question is stored once"


async def test_a_streamed_fan_out_marks_every_event_with_its_response(api: Api, talk: str) -> None:
    events = await api.stream(
        "POST", f"{talk}/fan_out", {"models": [ECHO, "scripted/text"], "input": "u3", "stream": True}
    )
    by_response: dict[str, list[Event]] = {}
    for event in events:
        by_response.setdefault(event.data["response_id"], []).append(event)
    assert len(by_response) == 2
    for identifier, own in by_response.items():
        assert [event.data["sequence_number"] for event in own] == list(range(len(own)))
        assert own[0].data["response"]["id"] == identifier and own[-1].name == "response.completed"
        replay = await api.stream("GET", f"/v1/responses/{identifier}", params={"stream": "true"})
        without = [
            {name: value for name, value in event.data.items() if name != "response_id"} for event in own
        ]
        assert without == [event.data for event in replay]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"models": [], "input": "x"}, 400),
        ({"models": [ECHO] * 9, "input": "x"}, 400),
        ({"models": [ECHO]}, 400),
        ({"models": [ECHO], "input": ""}, 400),
        ({"models": [ECHO, "nobody/nothing"], "input": "x"}, 404),
    ],
)
async def test_a_fan_out_that_cannot_be_begins_nothing(api: Api, talk: str, body: Any, status: int) -> None:
    before = api.world.rows("SELECT COUNT(*) FROM runs")
    await api.refused("POST", f"{talk}/fan_out", body, status=status)
    assert api.world.rows("SELECT COUNT(*) FROM runs") == before


async def test_a_fork_shares_its_ancestors_and_deleting_either_harms_neither(api: Api, talk: str) -> None:
    items = await items_of(api, talk)
    fork = await api.post(f"{talk}/fork", {"item_id": items[1]["id"], "title": "F"})
    assert (fork["title"], fork["forked_from_item_id"] is not None) == ("F", True)
    path = f"/v1/conversations/{fork['id']}"
    assert await items_of(api, path) == items[:2]
    await api.ask("f1", conversation=fork["id"])
    assert await said(api, path) == [*PATH[:2], "f1", "re: f1"]
    assert await said(api, talk) == PATH
    whole = await api.call("POST", f"{talk}/fork")
    await api.delete(talk)
    assert await said(api, path) == [*PATH[:2], "f1", "re: f1"]
    assert await said(api, f"/v1/conversations/{whole['id']}") == PATH
    await api.delete(path)
    assert await said(api, f"/v1/conversations/{whole['id']}") == PATH


async def test_two_branches_are_compared_behind_what_they_share(api: Api, talk: str) -> None:
    items = await items_of(api, talk)
    await api.post(f"{talk}/items/{items[2]['id']}/edit", {"content": "edited", "model": ECHO})
    names = {one["name"]: one["id"] for one in (await api.get(f"{talk}/branches"))["data"]}
    left, right = names["main"], next(wire for name, wire in names.items() if name != "main")
    found = await api.get(f"{talk}/compare", left=left, right=right)
    assert found["common_depth"] == 1
    assert [text_of(item) for item in found["left"]["data"]] == ["u2", "re: u2"]
    assert [text_of(item) for item in found["right"]["data"]] == ["edited", "re: edited"]
    found = await api.get(f"{talk}/compare", left=left, right=right, limit=1)
    assert (found["left"]["has_more"], found["right"]["has_more"]) == (True, True)
    same = await api.get(f"{talk}/compare", left=left, right=left)
    assert (same["common_depth"], same["left"]["data"], same["right"]["data"]) == (3, [], [])
    await api.refused("GET", f"{talk}/compare", status=404, params={"left": left, "right": "br_" + "0" * 32})
    await api.refused("GET", f"{talk}/compare", status=400, params={"left": left})


async def test_branches_that_share_nothing_have_no_common_depth(api: Api, talk: str) -> None:
    items = await items_of(api, talk)
    await api.post(f"{talk}/items/{items[0]['id']}/edit", {"content": "root", "respond": False})
    wires = [one["id"] for one in (await api.get(f"{talk}/branches"))["data"]]
    found = await api.get(f"{talk}/compare", left=wires[0], right=wires[1])
    assert found["common_depth"] == -1


async def test_the_tree_shows_segments_and_never_whole_items(api: Api, talk: str) -> None:
    items = await items_of(api, talk)
    await api.post(f"{talk}/items/{items[2]['id']}/edit", {"content": "x" * 5_000, "model": ECHO})
    page = await api.get(f"{talk}/tree")
    assert [segment["item_count"] for segment in page["data"]] in ([4, 2], [2, 4])
    for segment in page["data"]:
        assert segment["object"] == "conversation.segment"
        for end in ("first_item", "last_item"):
            assert len(segment[end]["preview"]) <= 120
    await api.refused("GET", f"{talk}/tree", status=400, params={"after": "nonsense"})


async def test_changes_can_be_followed_from_any_revision(api: Api, talk: str) -> None:
    start = (await api.get(talk))["revision"]
    await api.post(f"{talk}/branches", {"name": "side"})
    await api.post(talk, {"title": "T"})
    page = await api.get(f"{talk}/changes", after_revision=start)
    assert [one["type"] for one in page["data"]] == ["branch.created", "conversation.updated"]
    assert [one["revision"] for one in page["data"]] == [start + 1, start + 2]
    page = await api.get(f"{talk}/changes", after_revision=start, limit=1)
    assert page["has_more"] is True
    page = await api.get(f"{talk}/changes", after_revision=start + 1, limit=1)
    assert page["has_more"] is False, "a page that happens to be full is not a promise of more"


async def test_a_turn_can_be_put_anywhere_in_the_tree(api: Api, talk: str) -> None:
    items = await items_of(api, talk)
    placed = {"parent_id": items[1]["id"], "branch_name": "beside", "activate": True}
    answer = await api.ask("v2", conversation=talk.rpartition("/")[2], antiphon=placed)
    assert answer["antiphon"]["parent_id"] == items[1]["id"]
    assert await said(api, talk) == [*PATH[:2], "v2", "re: v2"]
    for wrong in ({"parent_id": "msg_" + "0" * 32}, {"branch_id": "br_" + "0" * 32}):
        body = {"model": ECHO, "input": "x", "conversation": talk.rpartition("/")[2], "antiphon": wrong}
        await api.refused("POST", "/v1/responses", body, status=404)
    await api.refused("POST", "/v1/responses", {"model": ECHO, "input": "x", "antiphon": placed}, status=400)


async def test_items_are_listed_with_their_place_and_answer_on_demand(api: Api) -> None:
    made = await api.http.post("/v1/conversations", json={})
    path = f"/v1/conversations/{made.json()['id']}"
    body = {"model": ECHO, "input": "where am I", "conversation": made.json()["id"]}
    answered = (await api.http.post("/v1/responses", json=body)).json()
    plain = (await api.http.get(f"{path}/items?order=asc")).json()["data"]
    placed = (await api.http.get(f"{path}/items?order=asc&include=antiphon")).json()["data"]
    assert [{k: v for k, v in one.items() if k != "antiphon"} for one in placed] == plain
    for one, bare in zip(placed, plain, strict=True):
        assert (await api.http.get(f"{path}/items/{one['id']}?include=antiphon")).json() == one
        assert (await api.http.get(f"{path}/items/{one['id']}")).json() == bare
    asked, said = (one["antiphon"] for one in placed)
    assert (asked["depth"], said["depth"]) == (0, 1) and asked["segment_id"] == said["segment_id"]
    assert asked["author_id"].startswith("user_") and said["author_id"] is None
    assert asked["response"]["id"] == said["response"]["id"] == answered["id"]
    assert said["response"]["status"] == "completed" and said["response"]["usage"] == answered["usage"]
    (branch,) = (await api.http.get(f"{path}/branches")).json()["data"]
    assert branch["head_segment_id"] == said["segment_id"]


async def test_an_item_is_known_by_its_digits_with_any_prefix(api: Api) -> None:
    talk = (await api.post("/v1/conversations", {}))["id"]
    await api.ask("one", conversation=talk)
    path = f"/v1/conversations/{talk}"
    question, answer = (await api.get(f"{path}/items", order="asc"))["data"]
    (branch,) = (await api.get(f"{path}/branches"))["data"]
    head = branch["head_item_id"]
    assert head == "item_" + answer["id"].removeprefix("msg_")
    assert await api.get(f"{path}/items/{head}") == answer
    assert (await api.get(f"{path}/items", after=head))["data"] == [question]
    made = await api.post(f"{path}/branches", {"item_id": head})
    assert made["head_item_id"] == head
    fork = await api.post(f"{path}/fork", {"item_id": answer["id"]})
    assert fork["forked_from_item_id"] == head
    again = await api.ask("two", conversation=talk, antiphon={"parent_id": head})
    assert again["antiphon"]["parent_id"].endswith(head.removeprefix("item_"))
    assert (await api.ask([{"type": "item_reference", "id": head}]))["status"] == "completed"


async def test_models_are_listed_with_windows_and_prices_on_demand(api: Api) -> None:
    plain = (await api.http.get("/v1/models")).json()["data"]
    told = (await api.http.get("/v1/models?include=antiphon")).json()["data"]
    assert [one["id"] for one in told] == [one["id"] for one in plain]
    assert all("antiphon" not in one for one in plain)
    chat = [one["antiphon"] for one in told if one["antiphon"]]
    assert chat and all(one["context_tokens"] > 0 for one in chat)
    assert all(one["price"].keys() == {"input", "output"} for one in chat)
    assert sum(one["default"] for one in chat) <= 1


async def test_one_model_is_told_as_in_the_list(api: Api) -> None:
    for name in ("include", "include[]"):
        for one in (await api.get("/v1/models", **{name: "antiphon"}))["data"]:
            assert "antiphon" in one
            assert await api.get(f"/v1/models/{one['id']}", **{name: "antiphon"}) == one
        for path in ("/v1/models", f"/v1/models/{ECHO}"):
            error = await api.refused("GET", path, status=400, params={name: "zz"})
            assert (error["param"], error["code"]) == ("include", "invalid_value")


async def test_who_names_no_model_is_answered_by_the_one_that_answered_before(api: Api) -> None:
    talk = (await api.post("/v1/conversations", {}))["id"]
    await api.ask("one", conversation=talk, model="scripted/echo")
    items = (await api.get(f"/v1/conversations/{talk}/items", order="asc"))["data"]
    place = f"/v1/conversations/{talk}/items"
    again = await api.post(f"{place}/{items[1]['id']}/regenerate", {})
    edited = await api.post(f"{place}/{items[0]['id']}/edit", {"content": "too"})
    assert (again["model"], edited["model"]) == ("scripted/echo", "scripted/echo")
    other = await api.post(f"{place}/{items[1]['id']}/regenerate", {"model": ECHO})
    assert other["model"] == ECHO


async def test_another_answer_may_have_a_form_of_its_own(api: Api) -> None:
    talk = (await api.post("/v1/conversations", {}))["id"]
    await api.ask("one", conversation=talk)
    items = (await api.get(f"/v1/conversations/{talk}/items", order="asc"))["data"]
    path = f"/v1/conversations/{talk}/items/{items[1]['id']}/regenerate"
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {}}}
    again = await api.post(path, {"text": {"format": form}, "reasoning": {"effort": "low"}})
    assert (again["text"]["format"]["name"], again["reasoning"]["effort"]) == ("n", "low")
    error = await api.refused("POST", path, {"reasoning": {"effort": 7}}, status=400)
    assert error["param"] == "reasoning.effort"

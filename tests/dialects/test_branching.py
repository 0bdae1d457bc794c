"""What the branching chat's document says of chats, messages and branches, sentence by sentence."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from tests.api.client import Api
from tests.services.hand import ECHO

BASE = "/api/v1"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
NEVER = "00000000-0000-7000-8000-000000000000"


async def chat(api: Api, *questions: str, **fields: Any) -> str:
    """A chat with answered questions; returns its id."""
    made = await api.post(f"{BASE}/chats/create-chat", fields, status=201)
    for question in questions:
        await ask(api, made["chat_id"], question)
    identifier: str = made["chat_id"]
    return identifier


async def ask(api: Api, chat_id: str, question: str, **fields: Any) -> Any:
    body = {"chat_id": chat_id, "question": question, **fields}
    return await api.post(f"{BASE}/messages/add-message", body, status=201)


async def shown(api: Api, chat_id: str, **query: Any) -> Any:
    return await api.get(f"{BASE}/chats/get-chat", chat_id=chat_id, **query)


async def pairs(api: Api, chat_id: str, **query: Any) -> list[Any]:
    found: list[Any] = (await shown(api, chat_id, **query))["qa_pairs"]
    return found


async def questions(api: Api, chat_id: str) -> list[str]:
    return [pair["question"] for pair in await pairs(api, chat_id)]


async def branch(api: Api, chat_id: str, response_id: str, name: str | None = None) -> str:
    body = {"chat_id": chat_id, "response_id": response_id, "name": name}
    identifier: str = (await api.post(f"{BASE}/branches/create-branch", body, status=201))["branch_chat_id"]
    return identifier


async def activate(api: Api, chat_id: str, branch_chat_id: str | None, *, status: int = 200) -> Any:
    body = {"chat_id": chat_id, "branch_chat_id": branch_chat_id}
    return await api.call("PUT", f"{BASE}/branches/set-active-branch", body, status=status)


async def branches(api: Api, chat_id: str) -> Any:
    return await api.get(f"{BASE}/branches/get-branches", chat_id=chat_id)


async def test_a_chat_is_created_with_or_without_a_name_and_a_body(api: Api) -> None:
    for body in ({}, {"name": "n"}, {"metadata": {"a": [1, {"b": None}]}}):
        made = await api.post(f"{BASE}/chats/create-chat", body, status=201)
        assert (made["name"], made["metadata"]) == (body.get("name"), body.get("metadata", {}))
        assert made["parent_chat_id"] is None and made["active_branch_chat_id"] is None
        assert MOMENT.fullmatch(made["created_at"]) and MOMENT.fullmatch(made["updated_at"])
    assert (await api.http.post(f"{BASE}/chats/create-chat")).status_code == 201


async def test_update_chat_changes_what_it_names(api: Api) -> None:
    identifier = await chat(api, name="first", metadata={"a": 1})

    async def update(**fields: Any) -> Any:
        return await api.call("PUT", f"{BASE}/chats/update-chat", {"chat_id": identifier, **fields})

    before = (await shown(api, identifier))["updated_at"]
    named, noted, same = await update(name="second"), await update(metadata={"b": 2}), await update()
    assert (named["name"], named["metadata"]) == ("second", {"a": 1})
    assert (noted["name"], noted["metadata"]) == ("second", {"b": 2})
    assert before < named["updated_at"] < noted["updated_at"] and same == noted, "nothing named, nothing done"


async def test_a_deleted_chat_is_gone_and_its_branches_live_on(api: Api) -> None:
    trunk = await chat(api, "one", "two")
    aside = await branch(api, trunk, (await pairs(api, trunk))[0]["response_id"])
    await ask(api, aside, "three")
    told = await api.delete(f"{BASE}/chats/delete-chat?chat_id={trunk}")
    assert told.keys() == {"message", "chat_id"} and told["chat_id"] == trunk
    for path in ("chats/get-chat", "branches/get-branches"):
        await api.get(f"{BASE}/{path}", chat_id=trunk, status=404)
    assert (await api.http.delete(f"{BASE}/chats/delete-chat?chat_id={trunk}")).status_code == 404
    assert await questions(api, aside) == ["one", "three"]
    assert (await shown(api, aside))["parent_chat_id"] is None


@pytest.mark.parametrize("path", ["chats/get-chat", "chats/delete-chat", "branches/get-branches"])
async def test_chat_id_may_stand_in_the_query_or_in_a_body(api: Api, path: str) -> None:
    method = "DELETE" if "delete" in path else "GET"
    for place in ("params", "json"):
        identifier = await chat(api, "one")
        response = await api.http.request(method, f"{BASE}/{path}", **{place: {"chat_id": identifier}})  # type: ignore[arg-type]
        assert response.status_code == 200 and response.json()["chat_id"] == identifier


# --- messages


async def test_a_question_is_answered_with_the_history_in_mind(api: Api) -> None:
    identifier = await chat(api, "one")
    made = await ask(api, identifier, "two")
    assert (made["question"], made["response"]) == ("two", "re: two")
    assert api.world.hand.calls[-1].prompts == ["user:one", "assistant:re: one", "user:two"]
    last = (await pairs(api, identifier))[-1]
    assert last == {key: value for key, value in made.items() if key != "chat_id"}
    assert MOMENT.fullmatch(last["timestamp"])


async def test_message_is_accepted_for_question(api: Api) -> None:
    identifier = await chat(api)
    body = {"chat_id": identifier, "message": "hello"}
    assert (await api.post(f"{BASE}/messages/add-message", body, status=201))["question"] == "hello"


async def test_with_a_response_both_are_stored_as_they_are(api: Api) -> None:
    identifier = await chat(api)
    made = await ask(api, identifier, "q", response="r")
    assert api.world.hand.calls == []
    assert await pairs(api, identifier) == [{key: value for key, value in made.items() if key != "chat_id"}]
    await ask(api, identifier, "next")
    assert api.world.hand.calls[-1].prompts == ["user:q", "assistant:r", "user:next"]


async def test_a_question_without_an_answer_yet_has_no_response(api: Api) -> None:
    made = await api.conversation("unanswered")
    (pair,) = await pairs(api, made)
    assert (pair["question"], pair["response"]) == ("unanswered", None)
    aside = await branch(api, made, pair["response_id"])
    assert await questions(api, aside) == ["unanswered"]


async def test_a_model_that_fails_is_502_and_the_question_stands_in_the_chat(broken: Api) -> None:
    identifier = await chat(broken)
    body = {"chat_id": identifier, "question": "keep me"}
    assert await broken.post(f"{BASE}/messages/add-message", body, status=502) == {"detail": "broken"}
    (pair,) = await pairs(broken, identifier)
    assert (pair["question"], pair["response"]) == ("keep me", None)


async def test_questions_sent_at_once_all_stand_in_the_chat(held: Api) -> None:
    identifier = await chat(held)
    sent = [asyncio.create_task(ask(held, identifier, f"q{n}")) for n in range(3)]
    for n in range(3):
        (await held.world.hand.next()).answer(f"a{n}")
    await asyncio.gather(*sent)
    assert sorted(await questions(held, identifier)) == ["q0", "q1", "q2"]


# --- branches


async def test_a_branch_can_be_made_from_any_point_of_the_history(api: Api) -> None:
    trunk = await chat(api, "one", "two", "three")
    for index, pair in enumerate(await pairs(api, trunk)):
        aside = await branch(api, trunk, pair["response_id"])
        await ask(api, aside, "aside")
        assert await questions(api, aside) == [*["one", "two", "three"][: index + 1], "aside"]
        assert (await shown(api, aside))["parent_chat_id"] == trunk
    assert await questions(api, trunk) == ["one", "two", "three"], "the chat itself stays as it was"
    sent = api.world.hand.calls[-1].prompts
    assert sent[-1] == "user:aside" and len(sent) == 7


async def test_branches_of_a_pair_are_a_view_of_the_tree(api: Api) -> None:
    trunk = await chat(api, "one", "two")
    first, second = [pair["response_id"] for pair in await pairs(api, trunk)]
    one, two = await branch(api, trunk, first, "x"), await branch(api, trunk, first, "x")
    other = await branch(api, trunk, second)
    assert [pair["branches"] for pair in await pairs(api, trunk)] == [[one, two], [other]]
    assert [pair["branches"] for pair in await pairs(api, one)] == [[one, two]], "also of shared messages"
    await api.delete(f"{BASE}/chats/delete-chat?chat_id={one}")
    assert [pair["branches"] for pair in await pairs(api, trunk)] == [[two], [other]]


async def test_get_branches_tells_names_places_and_which_is_active(api: Api) -> None:
    trunk = await chat(api, "one", "two")
    first, second = [pair["response_id"] for pair in await pairs(api, trunk)]
    one, two = await branch(api, trunk, first, "left"), await branch(api, trunk, second)
    told = await branches(api, trunk)
    assert (told["chat_id"], told["active_branch_chat_id"]) == (trunk, None)
    assert [(one["branch_chat_id"], one["response_id"], one["is_active"]) for one in told["branches"]] == [
        (one, first, False), (two, second, False),
    ]  # fmt: skip
    assert told["branches"][0]["name"] == "left" and told["branches"][1]["name"]
    assert (await activate(api, trunk, two))["active_branch_chat_id"] == two
    told = await branches(api, trunk)
    assert told["active_branch_chat_id"] == two
    assert [one["is_active"] for one in told["branches"]] == [False, True]


async def test_set_active_decides_what_get_chat_shows_and_where_messages_go(api: Api) -> None:
    trunk = await chat(api, "one", "two")
    aside = await branch(api, trunk, (await pairs(api, trunk))[0]["response_id"])
    await ask(api, aside, "three")
    await activate(api, trunk, aside)
    assert await questions(api, trunk) == ["one", "three"]
    await ask(api, trunk, "four")
    await ask(api, trunk, "five", response="5")
    assert await questions(api, trunk) == await questions(api, aside) == ["one", "three", "four", "five"]
    for back in (None, trunk):
        await activate(api, trunk, aside)
        assert (await activate(api, trunk, back))["active_branch_chat_id"] is None
        assert await questions(api, trunk) == ["one", "two"]
    await ask(api, trunk, "six")
    assert await questions(api, trunk) == ["one", "two", "six"]
    assert await questions(api, aside) == ["one", "three", "four", "five"]


async def test_a_branch_can_branch_again_and_be_shown_through_both(api: Api) -> None:
    trunk = await chat(api, "one", "two")
    first = (await pairs(api, trunk))[0]["response_id"]
    aside = await branch(api, trunk, first)
    third = (await ask(api, aside, "three"))["response_id"]
    further = await branch(api, aside, third)
    await ask(api, further, "four")
    await activate(api, aside, further)
    await activate(api, trunk, aside)
    assert await questions(api, trunk) == ["one", "three", "four"]
    await ask(api, trunk, "five")
    assert await questions(api, further) == ["one", "three", "four", "five"]
    assert (await shown(api, further))["parent_chat_id"] == aside


async def test_what_a_chat_shows_can_be_branched_off_from_though_it_stands_in_a_branch(api: Api) -> None:
    trunk = await chat(api, "one")
    aside = await branch(api, trunk, (await pairs(api, trunk))[0]["response_id"])
    second = (await ask(api, aside, "two"))["response_id"]
    await activate(api, trunk, aside)
    further = await branch(api, trunk, second)
    assert further in [one["branch_chat_id"] for one in (await branches(api, trunk))["branches"]]
    await ask(api, further, "three")
    await activate(api, trunk, further)
    assert await questions(api, trunk) == ["one", "two", "three"]


async def test_a_chat_that_showed_a_deleted_branch_shows_its_trunk(api: Api) -> None:
    trunk = await chat(api, "one", "two")
    aside = await branch(api, trunk, (await pairs(api, trunk))[0]["response_id"])
    await activate(api, trunk, aside)
    await api.delete(f"{BASE}/chats/delete-chat?chat_id={aside}")
    assert await questions(api, trunk) == ["one", "two"]
    told = await branches(api, trunk)
    assert (told["active_branch_chat_id"], told["branches"]) == (None, [])
    await ask(api, trunk, "three")
    assert await questions(api, trunk) == ["one", "two", "three"]
    await activate(api, trunk, aside, status=404)


async def test_a_branch_is_one_named_branch_in_the_tree_of_v1(api: Api) -> None:
    trunk = await chat(api, "one", "two")
    aside = await branch(api, trunk, (await pairs(api, trunk))[0]["response_id"], "aside")
    conversation = "conv_" + trunk.replace("-", "")
    listed = (await api.get(f"/v1/conversations/{conversation}/branches"))["data"]
    assert [one["name"] for one in listed] == ["main", "aside"]
    assert listed[1]["alias_of"] == "conv_" + aside.replace("-", "") and "alias_of" not in listed[0]
    await ask(api, aside, "three")
    named = await api.texts(conversation, branch=listed[1]["id"])
    assert named == ["one", "re: one", "three", "re: three"]
    await api.call("PUT", f"/v1/conversations/{conversation}/branches/{listed[1]['id']}/activate")
    answered = await api.ask("four", conversation=conversation)
    assert answered["output"][0]["content"][0]["text"] == "re: four"
    assert await questions(api, trunk) == await questions(api, aside) == ["one", "three", "four"]


async def test_turns_of_v1_beside_each_other_do_not_grow_a_branchs_place(held: Api) -> None:
    trunk = await chat(held)
    response_id = (await ask(held, trunk, "q", response="r"))["response_id"]
    aside = await branch(held, trunk, response_id)
    await activate(held, trunk, aside)
    conversation = "conv_" + trunk.replace("-", "")
    body = {"model": "hand/held", "input": "x", "conversation": conversation, "background": True}
    await held.post("/v1/responses", body)
    await held.post("/v1/responses", body)
    for n in range(2):
        (await held.world.hand.next()).answer(str(n))
    await ask_when_free(held, trunk)
    assert (await questions(held, trunk))[:2] == ["q", "x"]
    names = [one["name"] for one in (await held.get(f"/v1/conversations/{conversation}/branches"))["data"]]
    assert len(names) == 2, "what came in between went to a branch of the fork"


async def ask_when_free(held: Api, chat_id: str) -> None:
    asking = asyncio.create_task(ask(held, chat_id, "last"))
    (await held.world.hand.next()).answer("end")
    await asking


# --- what is wrong


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "chats/get-chat", {}),
        ("PUT", "chats/update-chat", {"name": "x"}),
        ("DELETE", "chats/delete-chat", {}),
        ("POST", "messages/add-message", {"question": "x"}),
        ("POST", "branches/create-branch", {"response_id": "x"}),
        ("GET", "branches/get-branches", {}),
        ("PUT", "branches/set-active-branch", {"branch_chat_id": None}),
    ],
)
async def test_a_missing_chat_id_is_422_and_an_unknown_one_404(
    api: Api, method: str, path: str, body: dict[str, Any]
) -> None:
    told = await api.call(method, f"{BASE}/{path}", body, status=422)
    assert [fault["loc"] for fault in told["detail"]] == [["body", "chat_id"]]
    for one in (NEVER, "x", ""):
        told = await api.call(method, f"{BASE}/{path}", {**body, "chat_id": one}, status=404)
        assert told.keys() == {"detail"} and isinstance(told["detail"], str)


async def test_who_names_no_branch_makes_none_active(api: Api) -> None:
    body = {"chat_id": NEVER, "branch_id": NEVER}
    told = await api.call("PUT", f"{BASE}/branches/set-active-branch", body, status=422)
    assert [fault["loc"] for fault in told["detail"]] == [["body", "branch_chat_id"]]


async def test_a_response_or_branch_of_another_chat_is_404(api: Api) -> None:
    mine, other = await chat(api, "one"), await chat(api, "two")
    elsewhere = (await pairs(api, other))[0]["response_id"]
    for response_id in (elsewhere, NEVER, "x"):
        body = {"chat_id": mine, "response_id": response_id}
        await api.post(f"{BASE}/branches/create-branch", body, status=404)
    aside = await branch(api, other, elsewhere)
    for branch_chat_id in (aside, other, NEVER, "x", ""):
        await activate(api, mine, branch_chat_id, status=404)
    assert await questions(api, mine) == ["one"]


@pytest.mark.parametrize(
    "body",
    [
        {"question": ""},
        {"question": 5},
        {},
        {"question": "x", "response": 5},
    ],
)
async def test_what_is_wrong_with_a_message_is_422_and_stores_nothing(api: Api, body: dict[str, Any]) -> None:
    identifier = await chat(api)
    told = await api.post(f"{BASE}/messages/add-message", {"chat_id": identifier, **body}, status=422)
    assert told["detail"][0].keys() == {"type", "loc", "msg"}
    assert await pairs(api, identifier) == []


async def test_metadata_has_an_end(api: Api) -> None:
    await api.post(f"{BASE}/chats/create-chat", {"metadata": {"a": "x" * 20_000}}, status=422)


# --- many, and often


async def test_a_retry_under_the_same_key_acts_once(api: Api) -> None:
    key, identifier = {"idempotency-key": "k"}, await chat(api, "one")
    response_id = (await pairs(api, identifier))[0]["response_id"]
    for path, body in (
        ("chats/create-chat", {"name": "x"}),
        ("messages/add-message", {"chat_id": identifier, "question": "two"}),
        ("messages/add-message", {"chat_id": identifier, "question": "three", "response": "3"}),
        ("branches/create-branch", {"chat_id": identifier, "response_id": response_id}),
    ):
        key = {"idempotency-key": f"{path} {len(body)}"}
        told = [await api.http.post(f"{BASE}/{path}", json=body, headers=key) for _ in range(2)]
        assert [one.status_code for one in told] == [201, 201] and told[0].json() == told[1].json(), path
    assert await questions(api, identifier) == ["one", "two", "three"]
    assert len((await branches(api, identifier))["branches"]) == 1


async def test_the_newest_pairs_are_shown_with_a_link_to_those_before(api: Api) -> None:
    identifier = await chat(api)
    for n in range(7):
        await ask(api, identifier, f"q{n}", response=f"r{n}")
    seen: list[str] = []
    path = f"{BASE}/chats/get-chat?chat_id={identifier}&limit=3"
    while path:
        response = await api.http.get(path)
        told = response.json()["qa_pairs"]
        assert all(pair["response"] == f"r{pair['question'][1:]}" for pair in told)
        seen = [pair["question"] for pair in told] + seen
        found = re.fullmatch(r'<(.+)>; rel="next"', response.headers.get("link", ""))
        path = found[1] if found else ""
    assert seen == [f"q{n}" for n in range(7)]


async def test_a_chat_is_an_ordinary_conversation(api: Api) -> None:
    identifier = await chat(api, "one", name="named", metadata={"topic": "x"})
    found = await api.get(f"/v1/conversations/{identifier}")
    assert (found["title"], found["metadata"], found["kind"]) == ("named", {"topic": "x"}, "explicit")
    made = (await api.ask("two", conversation=found["id"], model=ECHO))["output"]
    assert made and await questions(api, identifier) == ["one", "two"]

"""Chats of the branching application that were imported are found under the ids that they had.

So are their branches, which are chats, and their responses, as clients send them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from antiphon.services.imports import Imported
from tests.api.client import Api
from tests.dialects.test_branching import BASE, activate, ask, branch, branches, pairs, questions, shown

BRANCH = "11111111-2222-4333-8444-555555555555"


def pair(question: str, *branches: str, response_id: str | int | None = None) -> dict[str, Any]:
    return {
        "question": question, "response": f"on {question}", "branches": list(branches),
        "response_id": response_id or f"r-{question}", "timestamp": "2024-05-01T10:00:00",
    }  # fmt: skip


TRUNK = {"chat_id": "c", "qa_pairs": [pair("q1", BRANCH), pair("q2")]}
SIDE = {"chat_id": BRANCH, "qa_pairs": [pair("q3", "deep"), pair("q4")]}
DEEP = {"chat_id": "deep", "name": "Deeper", "qa_pairs": [pair("q5")]}


async def take(api: Api, tmp_path: Path, *documents: Any) -> list[Imported]:
    export = tmp_path / "chats.jsonl"
    export.write_text("\n".join(json.dumps(one) for one in documents))
    imports = api.world.application.imports
    return [one async for one in imports.run(api.world.application.owner, export, "branching")]


async def test_the_id_that_a_chat_had_before_leads_to_it_in_every_call(api: Api, tmp_path: Path) -> None:
    old: list[str | int] = ["7d1f0f0e-2f7c-4c5a-9a52-0c3a7f6c1b11", 42]
    documents = [{"chat_id": one, "qa_pairs": [pair("Where?", response_id="r1")]} for one in old]
    taken = await take(api, tmp_path, *documents)
    assert [one.state for one in taken] == ["new", "new"]
    for name, here in zip(old, taken, strict=True):
        found = await shown(api, str(name))
        assert found["chat_id"].replace("-", "") == (here.conversation_id or "").removeprefix("conv_")
        assert [one["question"] for one in found["qa_pairs"]] == ["Where?"]
        body = {"chat_id": name, "question": "And then?"}
        assert (await api.post(f"{BASE}/messages/add-message", body, status=201))["response"]
        made = {"chat_id": name, "response_id": "r1"}
        child = (await api.post(f"{BASE}/branches/create-branch", made, status=201))["branch_chat_id"]
        assert [one["branch_chat_id"] for one in (await branches(api, str(name)))["branches"]] == [child]
        assert await questions(api, child) == ["Where?"], "each chat's r1 is its own"
        await activate(api, str(name), child)
        renamed = {"chat_id": name, "name": "Kept"}
        assert (await api.call("PUT", f"{BASE}/chats/update-chat", renamed))["name"] == "Kept"
        await api.call("DELETE", f"{BASE}/chats/delete-chat", {"chat_id": name})
        gone = await api.call("GET", f"{BASE}/chats/get-chat", params={"chat_id": str(name)}, status=404)
        never = await api.call("GET", f"{BASE}/chats/get-chat", params={"chat_id": "43"}, status=404)
        assert gone["detail"].replace(str(name), "43") == never["detail"]


async def test_a_branch_is_a_chat_and_a_branch_of_the_one_it_left_as_before(api: Api, tmp_path: Path) -> None:
    (done,) = await take(api, tmp_path, DEEP, TRUNK, SIDE)
    assert (done.state, done.messages, done.added, done.branches) == ("new", 10, 10, 3)
    trunk, side, deep = [await shown(api, one) for one in ("c", BRANCH, "deep")]
    told = {one["chat_id"]: [two["question"] for two in one["qa_pairs"]] for one in (trunk, side, deep)}
    assert list(told.values()) == [["q1", "q2"], ["q1", "q3", "q4"], ["q1", "q3", "q5"]]
    assert [one["branches"] for one in trunk["qa_pairs"]] == [[side["chat_id"]], []]
    assert [one["branches"] for one in side["qa_pairs"]] == [[side["chat_id"]], [deep["chat_id"]], []]
    assert (side["parent_chat_id"], deep["parent_chat_id"]) == (trunk["chat_id"], side["chat_id"])
    assert deep["name"] == "Deeper" and deep["created_at"] == "2024-05-01T10:00:00.000000Z"
    (listed,) = (await branches(api, "c"))["branches"]
    first = trunk["qa_pairs"][0]["response_id"]
    assert (listed["branch_chat_id"], listed["response_id"]) == (side["chat_id"], first)
    (listed,) = (await branches(api, BRANCH))["branches"]
    assert (listed["branch_chat_id"], listed["name"]) == (deep["chat_id"], "Deeper")
    active = await activate(api, "c", BRANCH)
    assert active["active_branch_chat_id"] == side["chat_id"]
    assert await questions(api, "c") == ["q1", "q3", "q4"]
    await ask(api, BRANCH, "q6")
    assert await questions(api, "c") == ["q1", "q3", "q4", "q6"]
    await activate(api, "c", "c")
    assert await questions(api, "c") == ["q1", "q2"]
    await api.call("DELETE", f"{BASE}/chats/delete-chat", {"chat_id": "c"})
    assert await questions(api, "deep") == ["q1", "q3", "q5"]
    await api.call("GET", f"{BASE}/chats/get-chat", params={"chat_id": "c"}, status=404)


async def test_the_id_that_a_response_had_leads_to_it_wherever_it_is_shown(api: Api, tmp_path: Path) -> None:
    await take(api, tmp_path, TRUNK, SIDE, DEEP)
    for chat_id, response_id, seen in (
        ("c", "r-q1", ["q1"]), (BRANCH, "r-q1", ["q1"]), (BRANCH, "r-q3", ["q1", "q3"]),
        ("deep", "r-q1", ["q1"]), ("deep", "r-q3", ["q1", "q3"]), ("deep", "r-q5", ["q1", "q3", "q5"]),
    ):  # fmt: skip
        made = await branch(api, chat_id, response_id)
        assert await questions(api, made) == seen
        assert await questions(api, await branch(api, made, "r-q1")) == ["q1"], "also in a branch made here"
    assert [one["question"] for one in await pairs(api, BRANCH, after="r-q4")] == ["q1", "q3"]
    await activate(api, "c", BRANCH)
    assert await questions(api, await branch(api, "c", "r-q4")) == ["q1", "q3", "q4"]


async def test_names_are_of_one_chat_and_of_who_imported_it(api: Api, tmp_path: Path) -> None:
    other = {"chat_id": "d", "qa_pairs": [pair("q1", response_id=7), pair("q9")]}
    await take(api, tmp_path, TRUNK, SIDE, other)
    assert await questions(api, await branch(api, "d", "7")) == ["q1"]
    for chat_id, response_id in (("c", "r-q9"), ("c", "7"), ("c", "r-q3"), ("d", "r-q2"), (BRANCH, "r-q2")):
        body = {"chat_id": chat_id, "response_id": response_id}
        refused = await api.post(f"{BASE}/branches/create-branch", body, status=404)
        body["response_id"] = "never"
        never = await api.post(f"{BASE}/branches/create-branch", body, status=404)
        assert refused["detail"].replace(response_id, "never") == never["detail"]
    await activate(api, "d", BRANCH, status=404)


async def test_importing_again_adds_what_has_come_to_the_line_it_belongs_to(api: Api, tmp_path: Path) -> None:
    await take(api, tmp_path, TRUNK, SIDE, DEEP)
    assert [one.state for one in await take(api, tmp_path, TRUNK, SIDE, DEEP)] == ["same"]
    grown = {**SIDE, "qa_pairs": [*SIDE["qa_pairs"], pair("q7", "new")]}
    new = {"chat_id": "new", "qa_pairs": []}
    (done,) = await take(api, tmp_path, TRUNK, grown, DEEP, new)
    assert (done.state, done.added, done.branches) == ("grown", 2, 1)
    assert await questions(api, BRANCH) == await questions(api, "new") == ["q1", "q3", "q4", "q7"]
    assert await questions(api, await branch(api, "new", "r-q7")) == ["q1", "q3", "q4", "q7"]
    assert [one.state for one in await take(api, tmp_path, TRUNK, grown, DEEP, new)] == ["same"]
    filled = {**new, "qa_pairs": [pair("q8")]}
    (done,) = await take(api, tmp_path, TRUNK, grown, DEEP, filled)
    assert (done.state, done.added, done.branches) == ("grown", 2, 0)
    assert (await questions(api, "new"))[-1] == "q8"
    assert (await questions(api, "c")) == ["q1", "q2"]


async def test_a_branch_that_was_deleted_comes_again_and_nothing_else_does(api: Api, tmp_path: Path) -> None:
    await take(api, tmp_path, TRUNK, SIDE, DEEP)
    await api.call("DELETE", f"{BASE}/chats/delete-chat", {"chat_id": BRANCH})
    (done,) = await take(api, tmp_path, TRUNK, SIDE, DEEP)
    assert (done.state, done.added) == ("grown", 6), "the branch, and what leaves it"
    assert await questions(api, BRANCH) == ["q1", "q3", "q4"]
    assert [one.state for one in await take(api, tmp_path, TRUNK, SIDE, DEEP)] == ["same"]


async def test_nothing_is_lost_to_copies_circles_and_doubles(api: Api, tmp_path: Path) -> None:
    """A branch that only the copy of a pair names, chats that name each other, and two documents of one."""
    copy = {"chat_id": "b", "qa_pairs": [pair("q1", "x", response_id="copied"), pair("q3")]}
    documents = [
        {"chat_id": "c", "qa_pairs": [pair("q1", "b"), pair("q2")]}, copy,
        {"chat_id": "x", "qa_pairs": [pair("q9")]},
        {"chat_id": "one", "qa_pairs": [pair("q1", "two")]},
        {"chat_id": "two", "qa_pairs": [pair("q2", "one")]},
        {"chat_id": "e", "qa_pairs": [pair("q1")]}, {"chat_id": "e", "qa_pairs": [pair("q1"), pair("q2")]},
    ]  # fmt: skip
    done = await take(api, tmp_path, *documents)
    assert [(one.state, one.messages) for one in done] == [("new", 8), ("new", 4), ("new", 4)]
    assert await questions(api, "x") == ["q1", "q9"]
    assert (await shown(api, "x"))["parent_chat_id"] == (await shown(api, "b"))["chat_id"]
    assert await questions(api, await branch(api, "b", "copied")) == ["q1"]
    assert await questions(api, "two") == ["q1", "q2"] and await questions(api, "e") == ["q1", "q2"]
    assert done[1].notes == ("second document of a chat, the longer one kept (1)",)
    assert [one.state for one in await take(api, tmp_path, *documents)] == ["same"] * 3

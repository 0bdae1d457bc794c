"""`/v1/search`: one's own words, by query or by body, page by page, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import Api, in_process
from tests.api.people_fixtures import Town
from tests.api.shared_town import NEVER
from tests.api.test_access import told
from tests.services.recall import Recalling, recalling


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with recalling(tmp_path / "data") as world, in_process(world) as client:
        yield client


async def indexed(api: Api) -> None:
    assert isinstance(api.world, Recalling)
    await api.world.indexed()


async def test_a_hit_has_everything_to_open_it(api: Api) -> None:
    made = await api.post("/v1/conversations", {"title": "Boats"})
    asked = await api.ask("where is the <harbour>", conversation=made["id"])
    await indexed(api)
    page = await api.get("/v1/search", query="harbour", role="user")
    assert (page["object"], page["has_more"], page["next_cursor"]) == ("list", False, None)
    (hit,) = page["data"]
    assert hit.pop("score") > 0
    assert hit == {
        "id": asked["antiphon"]["input_item_ids"][0],
        "object": "search.hit",
        "conversation": {"id": made["id"], "title": "Boats", "owner": None},
        "branch_id": asked["antiphon"]["branch_id"],
        "on_active_branch": True,
        "role": "user",
        "model": None,
        "author_id": f"user_{api.world.who.account_id}",
        "created_at": hit["created_at"],
        "snippet": {
            "text": "where is the <harbour>",
            "highlights": [[14, 21]],
            "marked": "where is the &lt;<mark>harbour</mark>&gt;",
        },
    }
    item = await api.get(f"/v1/conversations/{made['id']}/items/{hit['id']}")
    assert item["content"][0]["text"] == hit["snippet"]["text"]
    (answered,) = (await api.get("/v1/search", query="harbour", role="assistant"))["data"]
    assert (answered["model"], answered["author_id"]) == (asked["model"], None)
    assert answered["id"] == asked["output"][0]["id"]


async def test_query_and_body_ask_the_same(api: Api) -> None:
    talk = await api.conversation("oars one", "oars two")
    await indexed(api)
    fields: dict[str, Any] = {
        "query": "oars", "from": 1, "until": 9_999_999_999, "role": "user", "author": "me",
        "conversation": talk, "limit": 1,
    }  # fmt: skip
    by_body = await api.post("/v1/search", fields)
    assert by_body["has_more"] is True
    by_query = await api.get("/v1/search", **fields)
    assert by_query["data"] == by_body["data"]
    rest = await api.post("/v1/search", fields | {"after": by_body["next_cursor"]})
    assert {one["id"] for one in rest["data"]}.isdisjoint({one["id"] for one in by_body["data"]})
    assert (len(rest["data"]), rest["has_more"]) == (1, False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({}, "query"), ({"query": ""}, "query"), ({"query": "-x"}, "query"), ({"query": "x" * 2001}, "query"),
        ({"query": "x", "limit": 0}, "limit"), ({"query": "x", "limit": 101}, "limit"),
        ({"query": "x", "from": -1}, "from"), ({"query": "x", "until": "soon"}, "until"),
        ({"query": "x", "role": "robot"}, "role"), ({"query": "x", "after": "srch_x"}, "after"),
        ({"query": "x", "branch": "br_" + NEVER}, "conversation"), ({"query": "x", "from": 10**11}, "from"),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_is_refused_by_name(api: Api, query: dict[str, Any], param: str) -> None:
    error = await api.refused("GET", "/v1/search", params=query, status=400)
    assert error["param"] == param
    assert (await api.refused("POST", "/v1/search", query, status=400))["param"] == param


async def test_an_unknown_field_is_refused(api: Api) -> None:
    error = await api.refused("POST", "/v1/search", {"query": "x", "querry": "y"}, status=400)
    assert error["param"] == "querry"


async def test_a_foreign_conversation_is_as_one_that_never_was(town: Town) -> None:
    ada, bob = await town.person("ada"), await town.person("bob")
    talk = (await ada.call("POST", "/v1/conversations", {})).json()
    branch = talk["active_branch_id"]
    for query in ("conversation={}", "conversation={}&branch=" + branch):
        answers = [
            told(await bob.call("GET", "/v1/search?query=x&" + query.format(one)))
            for one in (talk["id"], "conv_" + NEVER)
        ]
        assert answers[0][0] == 404 and answers[0] == answers[1]
    unknown = await ada.call("GET", f"/v1/search?query=x&conversation={talk['id']}&branch=br_{NEVER}")
    assert unknown.status_code == 404
    assert (await ada.call("GET", f"/v1/search?query=x&conversation={talk['id']}&branch={branch}")).is_success


async def test_a_search_counts_as_a_request(api: Api) -> None:
    limit = {"scope": "everyone", "metric": "requests", "period": "minute", "amount": 2}
    await api.post("/v1/admin/limits", limit)
    for _ in range(2):
        await api.get("/v1/search", query="x")
    error = await api.refused("GET", "/v1/search", params={"query": "x"}, status=429)
    assert error["code"] == "rate_limit_exceeded"


async def test_the_metrics_tell_how_the_index_keeps_up(api: Api) -> None:
    await api.conversation("one", "two")
    text = (await api.http.get("/metrics")).text
    assert "antiphon_history_waiting 2.0" in text and "antiphon_history_catching_up 1.0" in text
    await indexed(api)
    text = (await api.http.get("/metrics")).text
    assert "antiphon_history_waiting 0.0" in text and "antiphon_history_lag_seconds 0.0" in text
    assert "antiphon_history_passages_total" in text and "antiphon_history_catching_up 0.0" in text


async def test_a_purge_says_how_many_passages_went(api: Api) -> None:
    talk = await api.conversation("gone one", "gone two")
    await indexed(api)
    gone = await api.delete(f"/v1/conversations/{talk}?purge=true")
    assert gone["purged"]["passages"] == 2
    assert (await api.get("/v1/search", query="gone"))["data"] == []

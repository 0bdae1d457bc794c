"""What people think of answers: said, said otherwise, taken back, told to others, and counted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import Api
from tests.services.hand import ECHO, HAND

UNKNOWN = "resp_" + "0" * 32


async def rating(api: Api, path: str, word: str | None) -> Any:
    """Rate, or take it back, and return what the server says it is."""
    body = {"rating": word} if word is not None else None
    answer = await api.call("PUT" if word else "DELETE", f"{path}/rating", body)
    assert answer["object"] == "response.rating" and path.endswith(answer["response_id"])
    return answer["rating"]


async def test_an_answer_is_rated_again_and_not_at_all(api: Api) -> None:
    conversation = await api.conversation()
    made = await api.ask("hello", conversation=conversation)
    path = f"/v1/responses/{made['id']}"
    later = await api.conversation("something else")
    for word in ("good", "bad", "bad", None, None, "good"):
        assert await rating(api, path, word) == word
        assert (await api.get(path))["antiphon"].get("rating") == word
        items = await api.get(f"/v1/conversations/{conversation}/items", include="antiphon", order="asc")
        assert [item["antiphon"]["response"].get("rating") for item in items["data"]] == [word, word]
    told = await api.get(f"/v1/conversations/{conversation}/changes", after_revision=0)
    last = (await api.get("/v1/conversations", sort="used"))["data"][0]["id"]
    assert last == later, "a rating is no use of its chat"
    rated = [one["data"] for one in told["data"] if one["type"] == "response.rated"]
    assert rated[0] == {"response_id": made["id"], "rating": "good"} and rated[-2]["rating"] is None


async def test_stored_completions_are_rated_too(api: Api) -> None:
    made = await api.chat({"role": "user", "content": "x"}, store=True, model=ECHO)
    answer = await api.call("PUT", f"/v1/responses/{made['id']}/rating", {"rating": "bad"})
    assert answer["rating"] == "bad"
    (counted,) = (await api.get("/v1/admin/ratings"))["data"]
    assert (counted["model"], counted["good"], counted["bad"]) == (ECHO, 0, 1)


async def test_what_is_not_there_or_not_done_or_no_rating_is_refused(api: Api) -> None:
    await api.refused("PUT", f"/v1/responses/{UNKNOWN}/rating", {"rating": "good"}, status=404)
    begun = await api.ask("slow", model=HAND, background=True)
    path = f"/v1/responses/{begun['id']}/rating"
    refused = await api.refused("PUT", path, {"rating": "good"}, status=409)
    assert refused["code"] == "response_in_progress"
    (await api.world.hand.next()).answer("done")
    for body in ({}, {"rating": "fine"}, {"rating": 1}, {"rating": None}, {"rating": "good", "x": 1}, []):
        await api.refused("PUT", path, body, status=422)


async def test_ratings_are_counted_by_model_and_day(api: Api) -> None:
    for model, words in ((ECHO, ("good", "good", "bad")), ("scripted/plain", ("good",))):
        for word in words:
            made = await api.ask("x", model=model)
            await rating(api, f"/v1/responses/{made['id']}", word)
    await api.ask("x")
    found = await api.get("/v1/admin/ratings")
    assert [(one["model"], one["good"], one["bad"]) for one in found["data"]] == [
        (ECHO, 2, 1), ("scripted/plain", 1, 0),
    ]  # fmt: skip
    assert found["start"] < found["end"]
    before = await api.get("/v1/admin/ratings", start="2020-01-01", end="2020-01-31")
    assert before["data"] == []


@pytest.mark.parametrize("query", [{"start": "yesterday"}, {"start": "2026-02-01", "end": "2026-01-01"}])
async def test_days_that_are_none_are_refused(api: Api, query: dict[str, str]) -> None:
    await api.get("/v1/admin/ratings", status=422, **query)

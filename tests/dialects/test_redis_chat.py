"""What the Redis chat service's document says of sessions and their clean-up, and its page, run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.project_files import ROOT
from tests.api.client import Api
from tests.api.people_fixtures import Town
from tests.dialects.servers import closed_server, open_server
from tests.dialects.walkthrough import Walk, steps_of
from tests.e2e.server_process import eventually

PAGE = ROOT / "docs" / "dialects" / "redis-chat.md"
FIELDS = {"response", "session_id", "llm_provider", "model", "user_id"}


@pytest.mark.parametrize("needs_credentials", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("dialects", ["all", "redis-chat"])
def test_the_page_is_true(tmp_path: Path, needs_credentials: bool, dialects: str) -> None:
    with (closed_server if needs_credentials else open_server)(tmp_path, DIALECTS=dialects) as served:
        steps = steps_of(PAGE)
        walk = Walk(served.port, served.token)
        ran = [walk.take(step).json() for step in steps]
        assert ran[0]["session_id"] == "YOUR_SESSION_ID" and ran[0].keys() == FIELDS
        assert ran[1]["session_id"] == ran[2]["session_id"] != "", "the session that was made is taken up"
        if needs_credentials:
            stranger = Walk(served.port)
            assert {stranger.run(step).status for step in steps} == {401}


async def say(api: Api, message: str = "hello", **fields: Any) -> Any:
    return await api.post("/chat/", {"message": message, **fields})


@pytest.mark.parametrize(
    "fields",
    [{}, {"session_id": None}, {"session_id": ""}, {"session_id": "  "}, {"session_id": "string"}],
    ids=["missing", "null", "empty", "blank", "string"],
)
async def test_without_a_session_id_a_new_one_is_made_and_returned(api: Api, fields: dict[str, Any]) -> None:
    first, second = await say(api, **fields), await say(api, **fields)
    assert first["session_id"] and first["session_id"] != second["session_id"]
    await say(api, "again", session_id=first["session_id"])
    assert api.world.hand.calls[-1].prompts == ["user:hello", "assistant:re: hello", "user:again"]


async def test_the_whole_history_of_a_session_goes_to_the_model(api: Api) -> None:
    for number in range(5):
        await say(api, str(number), session_id=" named ")
    assert len(api.world.hand.calls[-1].prompts) == 9
    assert (await say(api, "x", session_id="other"))["session_id"] == "other"
    assert len(api.world.hand.calls[-1].prompts) == 1


async def test_two_peoples_sessions_of_one_name_are_two(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    for person in (ann, bob):
        body = {"session_id": "chat", "message": person.account.name}
        assert (await person.call("POST", "/chat/", body)).json()["user_id"] == person.account.name
    assert town.world.hand.calls[-1].prompts == ["user:bob"]


# --- clean-up


async def test_cleaning_up_ends_all_sessions_and_nothing_else(api: Api) -> None:
    await say(api, "one", session_id="a")
    await say(api, "two", session_id="b")
    kept = await api.conversation("kept")
    await api.world.application.chat_sessions.end_all()
    listed = [one["id"] for one in (await api.get("/v1/conversations"))["data"]]
    assert listed == [kept]
    await say(api, "three", session_id="a")
    assert api.world.hand.calls[-1].prompts == ["user:three"], "the name is free, and its memory empty"
    await api.world.application.chat_sessions.end_all()
    await api.world.application.chat_sessions.end_all()


def test_all_sessions_are_forgotten_again_and_again_where_it_is_set(tmp_path: Path) -> None:
    settings = {"SESSION_CLEANUP": "all", "SESSION_CLEANUP_SECONDS": "1"}
    with open_server(tmp_path, **settings) as served, served.http as http:
        kept = http.post("/v1/conversations", json={}).json()["id"]
        http.post("/chat/", json={"session_id": "a", "message": "x"}).raise_for_status()
        listed = eventually(lambda: only(http), "one conversation is left")
        assert listed == [kept]


def only(http: httpx.Client) -> list[str] | None:
    found = [one["id"] for one in http.get("/v1/conversations").json()["data"]]
    return found if len(found) == 1 else None


def test_by_default_a_session_that_is_used_is_not_forgotten(tmp_path: Path) -> None:
    with open_server(tmp_path, SESSION_CLEANUP_SECONDS="0.2") as served, served.http as http:
        http.post("/chat/", json={"session_id": "a", "message": "x"}).raise_for_status()
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            assert len(http.get("/v1/conversations").json()["data"]) == 1

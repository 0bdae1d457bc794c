"""What ChatGroq's document says of sessions, the provider and health, sentence by sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.api.app import create_app
from antiphon.api.dialects.chatgroq import translate
from antiphon.application import Application
from tests.api.client import ORIGIN, Api, in_process
from tests.api.people_fixtures import Town, opened_town
from tests.dialects.chatgroq_town import (
    ANSWER,
    MOST,
    SETTINGS,
    TTL,
    UUID,
    prompts,
    say,
    statistics,
)
from tests.harness.people import Person
from tests.services.hand import until
from tests.services.world import open_world


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    """A server that wants credentials, with a short memory."""
    async with opened_town(tmp_path / "data", monkeypatch, **SETTINGS) as opened:
        yield opened


@asynccontextmanager
async def alone(town: Town) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that speaks this dialect only."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Application]:
        yield town.world.application

    front = create_app(opened, ("chatgroq",))
    front.application = town.world.application
    transport = httpx.ASGITransport(front, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        yield http


@pytest.fixture
async def admin(town: Town) -> Person:
    return await town.person("boss", role="admin")


# --- Session-based Memory: TTL-based caching for conversation history


async def test_the_whole_history_of_a_session_goes_to_the_model(town: Town, admin: Person) -> None:
    first = await say(admin, "chat123", "my name is Ada")
    assert first.keys() == ANSWER and first["response"] == "re: my name is Ada"
    assert (first["session_id"], first["user_id"]) == ("chat123", "boss")
    assert (first["llm_provider"], first["model"]) == ("hand", "echo")
    await say(admin, " chat123 ", "and yours?")
    assert prompts(town) == ["user:my name is Ada", "assistant:re: my name is Ada", "user:and yours?"]


async def test_each_admins_conversations_are_completely_isolated(town: Town, admin: Person) -> None:
    other = await town.person("other", role="admin")
    await say(admin, "chat123", "a secret word")
    await say(other, "chat123", "what was said?")
    assert prompts(town) == ["user:what was said?"]
    assert (await other.call("DELETE", "/chat/sessions/chat123")).status_code == 200
    await say(admin, "chat123", "still there?")
    assert prompts(town)[0] == "user:a secret word"
    own = (await admin.call("GET", "/v1/conversations")).json()["data"][0]["id"]
    for name in (own, own.removeprefix("conv_")):
        assert (await other.call("DELETE", f"/chat/sessions/{name}")).status_code == 404


async def test_a_session_is_forgotten_so_long_after_its_last_use(town: Town, admin: Person) -> None:
    await say(admin, "chat123", "a secret word")
    for _ in range(3):
        town.clock.forward(TTL - 20)
        admin = await town.again(admin)
        await say(admin, "chat123", "still here")
    assert len(prompts(town)) == 7
    town.clock.forward(TTL + 1)
    admin = await town.again(admin)
    assert (await admin.call("DELETE", "/chat/sessions/chat123")).status_code == 404
    await say(admin, "chat123", "who am I?")
    assert prompts(town) == ["user:who am I?"]
    assert (await statistics(admin))["expired"] == 1


async def test_no_more_sessions_are_held_than_configured(town: Town, admin: Person) -> None:
    for name in ("a", "b", "c", "a", "d"):
        await say(admin, name, f"hello from {name}")
        town.clock.forward(1)
    found = await statistics(admin)
    assert (found["active_sessions"], found["evicted"], found["max_cache_size"]) == (MOST, 1, MOST)
    assert (await admin.call("DELETE", "/chat/sessions/b")).status_code == 404, "the longest unused went"
    assert (await admin.call("DELETE", "/chat/sessions/a")).status_code == 200


async def test_more_new_sessions_at_once_than_are_held_are_all_answered(town: Town, admin: Person) -> None:
    count = 3 * MOST
    answers = await asyncio.gather(*(say(admin, f"s{n}", f"m{n}") for n in range(count)))
    assert [one["response"] for one in answers] == [f"re: m{n}" for n in range(count)]
    found = await statistics(admin)
    assert (found["active_sessions"], found["evicted"]) == (MOST, count - MOST)


async def test_memory_statistics_count_what_is_held(town: Town, admin: Person) -> None:
    assert await statistics(admin) == {
        "active_sessions": 0, "max_cache_size": MOST, "ttl_seconds": TTL, "total_messages": 0, "evicted": 0,
        "expired": 0,
    }  # fmt: skip
    other = await town.person("other")
    await say(admin, "a", "one")
    await say(admin, "a", "two")
    await say(other, "a", "three")
    found = await statistics(admin)
    assert (found["active_sessions"], found["total_messages"]) == (2, 6)


@pytest.mark.parametrize("session", [None, "", "  ", "string"])
async def test_without_a_name_a_session_is_made_and_returned(town: Town, admin: Person, session: Any) -> None:
    made = await say(admin, session, "hello")
    assert UUID.fullmatch(made["session_id"])
    await say(admin, made["session_id"], "again")
    assert len(prompts(town)) == 3
    response = await admin.call("POST", "/chat/", {"message": "hello"})
    assert (
        UUID.fullmatch(response.json()["session_id"]) and response.json()["session_id"] != made["session_id"]
    )


async def test_a_cleared_session_is_gone_from_the_store(town: Town, admin: Person) -> None:
    await say(admin, "chat123", "a secret word")
    cleared = await admin.call("DELETE", "/chat/sessions/chat123")
    assert cleared.json() == {"message": "Session cleared successfully", "session_id": "chat123"}
    assert (await admin.call("DELETE", "/chat/sessions/chat123")).status_code == 404
    assert town.world.rows("SELECT 1 FROM items WHERE payload LIKE '%a secret word%'") == []


async def test_a_session_is_a_conversation_of_v1_too(admin: Person) -> None:
    await say(admin, "chat123", "hello")
    (shown,) = (await admin.call("GET", "/v1/conversations")).json()["data"]
    assert shown["kind"] == "ephemeral" and shown["expires_at"] is not None
    await say(admin, shown["id"], "again")
    items = (await admin.call("GET", f"/v1/conversations/{shown['id']}/items")).json()["data"]
    assert len(items) == 4


async def test_messages_of_one_session_are_answered_one_after_the_other(town: Town, admin: Person) -> None:
    await asyncio.gather(*(say(admin, "chat123", f"message {number}") for number in range(5)))
    await say(admin, "chat123", "last")
    assert len(prompts(town)) == 11, "none of them went elsewhere"


async def test_a_retry_with_its_key_acts_once(town: Town, admin: Person) -> None:
    body, headers = {"session_id": "chat123", "message": "hello"}, {"idempotency-key": "once"}
    one = await admin.call("POST", "/chat/", body, headers=headers)
    other = await admin.call("POST", "/chat/", body, headers=headers)
    assert one.json() == other.json() and len(town.world.hand.calls) == 1


@pytest.mark.parametrize(
    "body",
    [
        {}, {"session_id": "x"}, {"message": ""}, {"message": 7}, {"message": None}, [], "x",
        {"session_id": 7, "message": "x"}, {"session_id": "memory", "message": "secret-words"},
        {"session_id": "x" * 300, "message": "x"},
    ],
)  # fmt: skip
async def test_schema_validation_stores_nothing(town: Town, admin: Person, body: Any) -> None:
    """Where nobody else claims the path: other services have other bodies there."""
    async with alone(town) as http:
        response = await http.post("/chat/", json=body, headers=admin.bearer)
    assert response.status_code == 422 and response.json().keys() == {"detail"}
    assert "secret-words" not in response.text
    assert town.world.rows("SELECT 1 FROM conversations") == []


# --- ChatGroq Integration: temperature, tokens, test calls, failures


async def test_temperature_and_tokens_are_those_configured(town: Town, admin: Person) -> None:
    await say(admin, "chat123", "hello")
    params = town.world.hand.calls[-1].request.params
    assert (params["temperature"], params["max_tokens"]) == (0.2, 77)
    shown = (await town.http.get("/llm/provider")).json()["current_provider"]
    assert (shown["temperature"], shown["max_tokens"]) == (0.2, 77)


async def test_the_documented_temperature_and_tokens_hold_for_these_calls_only(api: Api) -> None:
    await api.post("/chat/", {"message": "hello"})
    params = api.world.hand.calls[-1].request.params
    assert (params["temperature"], params["max_tokens"]) == (0.7, 1024)
    await api.ask("hello")
    assert not {"temperature", "max_tokens"} & api.world.hand.calls[-1].request.params.keys()


async def test_a_test_call_is_real_and_kept_as_a_line_of_the_ledger_only(town: Town, admin: Person) -> None:
    tried = (await admin.call("POST", "/admin/test-chat", {"message": "Test message"})).json()
    assert tried.keys() == {"success", "response", "llm_provider", "model", "latency_ms"}
    assert tried["success"] is True and tried["response"] == "re: Test message"
    assert len(town.world.hand.calls) == 1
    for table in ("conversations", "items", "runs"):
        assert town.world.rows(f"SELECT 1 FROM {table}") == []
    await until(lambda: len(town.world.rows("SELECT 1 FROM ledger")) == 1)


async def test_a_failing_provider_is_told_and_the_message_is_stored(broken: Api) -> None:
    response = await broken.http.post(
        "/chat/", json={"session_id": "chat123", "message": "kept all the same"}
    )
    assert response.status_code == 502 and response.json()["detail"] == "broken"
    assert broken.world.rows("SELECT 1 FROM items WHERE payload LIKE '%kept all the same%'") != []
    tried = await broken.post("/admin/test-chat", {"message": "Test message"})
    assert (tried["success"], tried["response"], tried["error"]) == (False, "", "broken")
    assert "/" not in tried["model"]


async def test_of_a_long_session_as_many_messages_are_shown_as_configured(tmp_path: Path) -> None:
    world = await open_world(tmp_path / "data", session_max_messages=2)
    try:
        async with in_process(world) as api:
            for number in range(4):
                await api.post("/chat/", {"session_id": "chat123", "message": f"message {number}"})
            assert world.hand.calls[-1].prompts == [
                "user:message 2",
                "assistant:re: message 2",
                "user:message 3",
            ]
    finally:
        await world.close()


# --- Production Ready: health checks


async def test_status_is_live_and_the_time_readable(town: Town, admin: Person) -> None:
    await say(admin, "chat123", "hello")
    town.clock.forward(3660)
    admin = await town.again(admin)
    await say(admin, "chat124", "hello")
    shown = (await admin.call("GET", "/admin/status")).json()
    assert shown.keys() == {
        "redis_connected", "chatgroq_healthy", "active_sessions_count", "uptime_seconds", "uptime_formatted",
    }  # fmt: skip
    assert (shown["redis_connected"], shown["chatgroq_healthy"]) == (False, True)
    assert shown["active_sessions_count"] == 1, "the other one's time is over"
    assert 3660 <= shown["uptime_seconds"] < 3720 and shown["uptime_formatted"] == "1h 1m"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0h 0m"),
        (59, "0h 0m"),
        (3600, "1h 0m"),
        (86_399, "23h 59m"),
        (183_840, "2d 3h 4m"),
        (86_400, "1d 0h 0m"),
    ],
)
def test_the_time_up_is_written_as_documented(seconds: int, text: str) -> None:
    assert translate.formatted(seconds) == text


async def test_health_tells_of_a_provider_that_does_not_answer(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = await api.get("/health")
    assert (healthy["status"], healthy["llm_healthy"], healthy["redis_healthy"]) == ("healthy", True, False)
    asked = 0

    async def check() -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    monkeypatch.setattr(api.world.hand, "check", check, raising=False)
    monkeypatch.setattr("antiphon.services.provider_status.PATIENCE_SECONDS", 0.05)
    api.world.application.models._providers["hand"].probes.forget()
    told = await asyncio.gather(*(api.get("/health") for _ in range(10)), api.get("/llm/health"))
    assert {one["status"] for one in told[:10]} == {"degraded"}, "within its patience, not the provider's"
    assert told[10]["healthy"] is False and "No answer" in told[10]["detail"]
    assert asked == 1, "asked once, however many want to know"


async def test_a_default_model_that_leads_nowhere_degrades(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.world.application.models.routes, "default_model", "nope/none")
    told = await api.get("/health")
    assert (told["status"], told["llm_healthy"], told["llm_provider"]) == ("degraded", False, None)


async def test_a_configured_redis_that_does_not_answer_degrades(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answers, status in ((True, "healthy"), (False, "degraded")):

        async def redis(answers: bool = answers) -> bool:
            return answers

        object.__setattr__(api.world.application, "redis_answers", redis)
        told = await api.get("/health")
        assert (told["status"], told["redis_healthy"]) == (status, answers)


@pytest.mark.parametrize(
    ("provider", "base_url", "kind"),
    [
        ("groq", "https://api.groq.com/openai/v1", "cloud"),
        ("ollama", "http://localhost:11434/v1", "local"),
        ("vllm", "http://10.0.0.7:8000/v1", "local"),
        ("mine", "http://[::1]:8000/v1", "local"),
        ("mine", "http://models.internal/v1", "cloud"),
        ("offline", "", "local"),
    ],
)
def test_a_provider_is_local_or_in_the_cloud(provider: str, base_url: str, kind: str) -> None:
    assert translate.provider_type(provider, base_url) == kind


async def test_all_providers_are_listed(api: Api) -> None:
    listed = await api.get("/llm/providers")
    assert listed["current"] == "hand"
    for one in listed["providers"]:
        assert one.keys() == {"provider", "type", "description", "models", "available"}
    assert {one["provider"] for one in listed["providers"]} >= {"hand"}


async def test_without_the_dialect_health_is_plain_and_its_calls_are_not_there(town: Town) -> None:
    front = create_app(lambda: None, ())  # type: ignore[arg-type,return-value]
    paths = front._inner.openapi()["paths"]  # type: ignore[attr-defined]
    assert not any(path.startswith(("/admin", "/chat", "/llm", "/info")) for path in paths)

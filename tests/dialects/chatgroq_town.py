"""What the tests of ChatGroq's dialect share: its people, and how they talk."""

from __future__ import annotations

import re
from typing import Any

from tests.api.people_fixtures import Town
from tests.harness.people import PASSWORD, Person

TTL, MOST, MINUTES = 600, 3, 30
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ANSWER = {"response", "session_id", "llm_provider", "model", "user_id"}
SETTINGS: dict[str, Any] = {
    "memory_ttl_seconds": TTL, "max_cache_size": MOST, "access_token_expire_minutes": MINUTES,
    "temperature": 0.2, "max_tokens": 77, "dialects": "chatgroq",
}  # fmt: skip


async def logged_in(town: Town, name: str, password: str = PASSWORD) -> Any:
    return await town.http.post("/admin/login", json={"username": name, "password": password})


async def bearer(town: Town, name: str, password: str = PASSWORD) -> dict[str, str]:
    response = await logged_in(town, name, password)
    assert response.status_code == 200, response.text
    return {"authorization": f"Bearer {response.json()['access_token']}"}


async def say(person: Person, session: Any, message: str) -> Any:
    response = await person.call("POST", "/chat/", {"session_id": session, "message": message})
    assert response.status_code == 200, response.text
    return response.json()


async def statistics(admin: Person) -> Any:
    return (await admin.call("GET", "/chat/memory/stats")).json()


def prompts(town: Town) -> list[str]:
    """What the model was shown last."""
    found: list[str] = town.world.hand.calls[-1].prompts
    return found

"""Every command that ChatGroq's page prints does what the page says, open and with credentials."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from antiphon.api.dialects.chatgroq.routes import CHATGROQ
from scripts.project_files import ROOT
from tests.dialects.servers import closed_server, open_server
from tests.dialects.walkthrough import Ran, Step, Walk, differences, steps_of
from tests.e2e.server_process import upstream_settings
from tests.harness.upstream import Upstream, upstream_in_thread

PAGE = ROOT / "docs" / "dialects" / "chatgroq.md"
PASSWORD = "a long administrators password"
CALLS = {
    "POST /admin/login", "POST /admin/logout", "GET /admin/info", "POST /admin/change-credentials",
    "GET /admin/status", "GET /admin/sessions", "POST /admin/test-chat", "POST /chat/",
    "DELETE /chat/sessions/chat123", "GET /chat/memory/stats", "GET /llm/provider", "GET /llm/providers",
    "GET /llm/health", "GET /health", "GET /info", "GET /docs", "GET /redoc", "GET /openapi.json",
}  # fmt: skip
"""The calls of the old document."""
NO_TOKEN = {
    "POST /admin/login", "GET /llm/provider", "GET /llm/providers", "GET /llm/health", "GET /health",
    "GET /info", "GET /docs", "GET /redoc", "GET /openapi.json",
}  # fmt: skip


def call_of(step: Step) -> str:
    method = re.search(r"-X (\w+)", step.command)
    path = re.search(r"localhost:8000(/[^\s\"]*)", step.command)
    assert path is not None
    return f"{method[1] if method else 'GET'} {path[1]}"


def logged_in(walk: Walk, step: Step) -> Ran:
    """Take a step, and carry the token of a login from then on."""
    ran = walk.take(step)
    if call_of(step) == "POST /admin/login":
        walk.token = ran.json()["access_token"]
        walk.real.clear()
    return ran


@pytest.fixture(scope="module")
def groq() -> Iterator[Upstream]:
    """What stands in Groq's place."""
    with upstream_in_thread() as upstream:
        yield upstream


def of_groq(upstream: Upstream) -> dict[str, str]:
    """The settings of the old document, with a base URL of this machine."""
    settings = upstream_settings(upstream)
    return {
        "GROQ_API_KEY": settings["OPENAI_API_KEY"],
        "GROQ_BASE_URL": settings["OPENAI_BASE_URL"],
        "GROQ_MODEL_NAME": "llama3-8b-8192",
        "DEFAULT_MODEL": "",
    }


def test_every_documented_call_is_on_the_page_and_served() -> None:
    assert {call_of(step) for step in steps_of(PAGE)} == CALLS
    assert len(CALLS) == 18
    declared = {f"{method} {path}" for method, path in CHATGROQ.open_operations}
    assert declared <= NO_TOKEN


def test_the_page_is_true_on_an_open_server(tmp_path: Path, groq: Upstream) -> None:
    with open_server(tmp_path, **of_groq(groq)) as served:
        walk = Walk(served.port)
        ran = {call_of(step): logged_in(walk, step) for step in steps_of(PAGE)}
        chat = ran["POST /chat/"].json()
        assert (chat["llm_provider"], chat["user_id"]) == ("chatgroq", "admin")
        assert (chat["model"], chat["session_id"]) == ("llama3-8b-8192", "chat123")
        provider = ran["GET /llm/provider"].json()["current_provider"]
        assert (provider["provider"], provider["temperature"], provider["max_tokens"]) == (
            "chatgroq",
            0.7,
            1024,
        )
        assert ran["GET /health"].json()["service"] == "chatbot-api"
        assert ran["GET /health"].json()["status"] == "healthy"
        assert ran["GET /admin/status"].json()["chatgroq_healthy"] is True
        again = walk.run(next(step for step in steps_of(PAGE) if call_of(step) == "GET /admin/info"))
        assert again.status == 401, "the token was logged out"


def test_the_page_is_true_as_printed_with_a_placeholder_for_a_token(tmp_path: Path, groq: Upstream) -> None:
    with open_server(tmp_path, **of_groq(groq)) as served:
        for step in steps_of(PAGE):
            ran = Walk(served.port).run(step)
            assert ran.status == step.status, f"{step}: {ran.text[:300]}"
            if not step.is_text:
                assert list(differences(step.answer, ran.json())) == [], step


def test_the_page_is_true_where_credentials_are_wanted(tmp_path: Path, groq: Upstream) -> None:
    settings = {**of_groq(groq), "DEFAULT_ADMIN_PASSWORD": PASSWORD}
    with closed_server(tmp_path, **settings) as served:
        steps = steps_of(PAGE)
        stranger = Walk(served.port)
        for step in steps:
            if call_of(step) not in NO_TOKEN:
                ran = stranger.run(step)
                assert ran.status == 401 and "POST /token" in ran.json()["detail"], step
            elif call_of(step) != "POST /admin/login":
                assert stranger.run(step).status == 200, step
        assert stranger.run(steps[0]).status == 401, "the documented password does not exist here"
        walk = Walk(served.port)
        for step in steps:
            if call_of(step) == "POST /admin/login":
                walk.real["admin123"] = PASSWORD
            logged_in(walk, step)


def test_the_admins_calls_are_not_for_everybody(tmp_path: Path) -> None:
    with closed_server(tmp_path) as served:
        walk = Walk(served.port, served.token)
        refused = {
            call_of(step) for step in steps_of(PAGE) if walk.run(step).status == 403
        }  # the account of these tests is no administrator
        assert refused == {"GET /admin/status", "POST /admin/test-chat", "GET /chat/memory/stats"}


def test_the_documentation_takes_nothing_from_other_servers(tmp_path: Path) -> None:
    with open_server(tmp_path) as served:
        for path in ("/docs", "/redoc"):
            page = served.http.get(path).text
            found = re.findall(r"(?:src|href)=\"([^\"]+)\"|url: '([^']+)'|spec-url=\"([^\"]+)\"", page)
            named = [one for group in found for one in group if one]
            assert named and all(one.startswith("/") and not one.startswith("//") for one in named), named
            for one in named:
                assert served.http.get(one).status_code == 200, one
        document = served.http.get("/openapi.json").json()
        ways = document["components"]["securitySchemes"]
        assert ways["token"]["scheme"] == "bearer"
        assert ways["password"]["flows"]["password"]["tokenUrl"] == "token"
        body = document["paths"]["/admin/login"]["post"]["requestBody"]["content"]["application/json"]
        assert body["example"] == {"username": "admin", "password": "admin123"}
        assert json.dumps(document).count("access_token") > 0


def test_who_is_locked_out_deletes_the_key_and_restarts(tmp_path: Path) -> None:
    with open_server(tmp_path) as served:
        login, change = "/admin/login", "/admin/change-credentials"
        first = {"username": "admin", "password": "admin123"}
        own = {"username": "newadmin", "password": "newsecurepass"}
        with served.http as http:
            token = http.post(login, json=first).json()["access_token"]
            body = {"new_username": own["username"], "new_password": own["password"]}
            headers = {"authorization": f"Bearer {token}"}
            http.post("/chat/", json={"session_id": "chat123", "message": "hello"}, headers=headers)
            assert http.post(change, json=body, headers=headers).status_code == 200
        served.process.stop()
        (served.process.data / "admin_credentials").unlink()
        served.process.start()
        assert "was reset" in served.process.log
        with served.http as http:
            assert http.post(login, json=own).status_code == 401
            token = http.post(login, json=first).json()["access_token"]
            forgotten = http.delete("/chat/sessions/chat123", headers={"authorization": f"Bearer {token}"})
            assert forgotten.status_code == 200, "a restart forgets none, a reset keeps what is theirs"

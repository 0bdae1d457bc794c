"""Dialects are switched on by name; what is off has no route and no word in the document.

Both spellings of a path are served without a redirect, errors have the dialect's own shape, and of a
path that several claim the first claim that fits a request decides.
"""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, Response
from pydantic import ValidationError

from antiphon.api import dialects
from antiphon.api.app import create_app
from antiphon.api.dialects.dialect import Asked, Claim, Dialect, detail_only, router_of
from antiphon.api.dialects.mounting import mount
from antiphon.api.v1.pages import answer
from antiphon.settings import DIALECTS, Settings
from tests.api.client import Api


def document_of(spoken: Any) -> dict[str, Any]:
    found: dict[str, Any] = create_app(lambda: None, spoken)._inner.openapi()  # type: ignore[arg-type,return-value,attr-defined]
    return found


def test_every_dialect_has_a_name_that_the_setting_knows() -> None:
    assert {*DIALECTS} >= dialects.NAMES and len(dialects.NAMES) == len(dialects.REGISTRY)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("all", set(DIALECTS)),
        ("none", set()),
        ("chatai", {"chatai"}),
        (" book, redis-chat ", {"book", "redis-chat"}),
    ],
)
def test_the_setting_is_all_none_or_a_list(text: str, names: set[str]) -> None:
    assert Settings(_env_file=None, dialects=text).spoken_dialects == names


@pytest.mark.parametrize("text", ["", "chatgpt", "all,book", "chatai book"])
def test_a_name_that_is_none_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(ValidationError, match="redis-chat"):
        Settings(_env_file=None, dialects=text)


def test_what_is_off_has_no_route_and_no_tag() -> None:
    plain, whole = document_of(()), document_of(dialects.NAMES)
    assert all(path.startswith(("/v1/", "/health", "/metrics", "/token")) for path in plain["paths"])
    assert plain.get("tags", []) == []
    assert {one["name"] for one in whole["tags"]} == {one.tag for one in dialects.REGISTRY}
    used = {tag for path in whole["paths"].values() for one in path.values() for tag in one.get("tags", [])}
    assert {one.tag for one in dialects.REGISTRY} <= used


@pytest.mark.parametrize("path", ["/conversation", "/conversation/"])
async def test_both_spellings_of_a_path_are_served_without_a_redirect(api: Api, path: str) -> None:
    assert (await api.http.post(path)).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/health/", "/docs/", "/redoc/"])
async def test_the_servers_own_paths_have_both_spellings_too(api: Api, path: str) -> None:
    assert (await api.http.get(path)).status_code == 200


async def test_v1_has_one_spelling(api: Api) -> None:
    assert (await api.http.get("/v1/conversations/")).status_code == 404


async def test_a_method_that_is_not_served_is_told_in_the_dialects_shape(api: Api) -> None:
    response = await api.http.delete("/conversation")
    assert (response.status_code, response.json()) == (405, {"detail": "Method Not Allowed"})
    assert "POST" in response.headers["allow"]


# --- paths that several claim


def claiming(name: str, field: str | None, path: str = "/say/") -> Dialect:
    """A dialect that answers with its name where a request has a field, or always."""

    async def says(asked: Asked) -> Response:
        return answer({"by": name})

    claim = Claim(
        operation=("POST", path), accepts=f"{{{field}}}", answer=says, knows=frozenset({field or "text"}),
        fits=lambda asked: field is None or field in asked.fields,
    )  # fmt: skip
    return Dialect(
        name=name, tag=name, description=name, router=router_of(name), shape=detail_only, claims=(claim,)
    )


def paths_of(router: APIRouter) -> list[str]:
    return [route.path for route in router.routes]  # type: ignore[attr-defined]


def test_a_claimed_path_is_one_route_and_both_spellings_lead_to_it() -> None:
    mounted = mount([claiming("a", "text"), claiming("b", "message")])
    assert paths_of(mounted.routers[0]) == ["/say/"]
    assert mounted.respell("/say") == "/say/" and mounted.respell("/said") == "/said"


def test_a_spelling_that_is_claimed_itself_stays() -> None:
    mounted = mount([claiming("a", "text"), claiming("b", None, "/say")])
    assert [mounted.respell(path) for path in ("/say", "/say/")] == ["/say", "/say/"]


def test_nothing_mounted_respells_nothing() -> None:
    assert mount([]).respell("/say/") == "/say/" and mount([]).routers == ()


@pytest.mark.parametrize(
    ("method", "path", "keys"),
    [
        ("GET", "/generate_response?prompt=x", {"detail", "error"}), ("POST", "/chat", {"detail", "error"}),
        ("POST", "/chat_history/", {"detail", "error"}), ("GET", "/conversation", {"detail"}),
        ("POST", "/api/v1/chats/create-chat/", {"detail"}), ("GET", "/admin/status", {"detail"}),
        ("POST", "/token", {"error"}), ("GET", "/v1/models", {"error"}), ("GET", "/nowhere", {"error"}),
    ],
)  # fmt: skip
async def test_what_is_refused_before_it_is_routed_has_the_shape_of_its_path(
    api: Api, method: str, path: str, keys: set[str]
) -> None:
    headers = ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"host": "evil.example"})
    for one in headers:
        refused = await api.http.request(method, path, headers=one)
        assert (refused.status_code, set(refused.json())) == (403, keys)

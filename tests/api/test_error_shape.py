"""The contract of errors: every route answers with OpenAI's error object, and never with a fault.

`{"error": {"message", "type", "param", "code"}}`, all four keys present; 4xx for what the caller did, 5xx
for nothing that a caller can do. The dialects answer `{"detail": …}`, as what they stand for did.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import BaseRoute, Route

from antiphon.api.app import create_app
from tests.api.client import Api, in_process
from tests.domain.hostile_runs import json_values, texts
from tests.harness.error_shapes import require_error_shape
from tests.harness.open_routes import OPEN_OPERATIONS
from tests.services.hand import ECHO
from tests.services.world import with_policy

WIRE = {
    "conversation_id": "conv_", "branch_id": "br_", "item_id": "msg_", "response_id": "resp_",
    "completion_id": "chatcmpl-", "model": "nobody/", "key_id": "key_", "session_id": "sess_",
    "identity_id": "identity_",
    "user_id": "user_", "share_id": "share_", "token": "ants_",
    "provider": "nobody-", "chat_session": "conv_",
    "run_id": "resp_", "limit_id": "lim_", "group_id": "grp_", "invite_id": "inv_",
    "file_id": "file-", "upload_id": "upload_", "vector_store_id": "vs_", "batch_id": "vsfb_", "number": "",
    "picture_id": "file-",
}  # fmt: skip


def every_route() -> list[BaseRoute]:
    """Every route the application has, those of what it mounts too."""
    api = create_app(lambda: None)._inner  # type: ignore[arg-type,return-value]
    pending, found = list(api.routes), []  # type: ignore[attr-defined]
    while pending:
        route = pending.pop()
        found.append(route)
        pending += getattr(route, "routes", None) or []
    return found


def routes() -> list[tuple[str, str]]:
    """Method and path of every HTTP route the application has."""
    found: set[tuple[str, str]] = set()
    for route in every_route():
        if isinstance(route, Route) and not route.path.startswith(("/docs", "/redoc", "/openapi", "/assets")):
            found |= {(method, route.path) for method in (route.methods or ()) if method != "HEAD"}
    return sorted(found)


def filled(path: str, digits: str = "0" * 32) -> str:
    """The path with ids that were never issued."""
    return re.sub(r"\{(\w+)(:path)?\}", lambda name: WIRE[name[1]] + digits, path)


ALL = routes()
NO_PROPER_JSON = (b"{", b"", b"\xff", b"[" * 100_000, b'"\\ud800"', b"null", b"5", b'{"a":1e400}')


def test_the_routes_are_found() -> None:
    assert len(ALL) > 35
    assert ("POST", "/v1/responses") in ALL and ("POST", "/v1/conversations/{conversation_id}/fan_out") in ALL


@pytest.mark.parametrize(("method", "path"), ALL)
async def test_an_id_that_was_never_issued_is_404_or_a_refusal(api: Api, method: str, path: str) -> None:
    if "{" not in path:
        return
    response = await api.http.request(method, filled(path), json={} if method in ("POST", "PATCH") else None)
    assert response.status_code in (400, 404, 422), response.text
    require_error_shape(response.json())


@pytest.mark.parametrize(("method", "path"), [one for one in ALL if one[0] in ("POST", "PUT", "PATCH")])
async def test_a_body_that_is_no_proper_json_is_a_refusal(api: Api, method: str, path: str) -> None:
    for body in NO_PROPER_JSON:
        response = await api.http.request(
            method, filled(path), content=body, headers={"content-type": "application/json"}
        )
        what = f"{body[:20]!r}: {response.text}"
        assert 400 <= response.status_code < 500 or response.is_success, what
        if not response.is_success:
            require_error_shape(response.json(), what)


@pytest.mark.parametrize(("method", "path"), ALL)
async def test_without_its_key_every_route_but_health_is_401(api: Api, method: str, path: str) -> None:
    if (method, path) in OPEN_OPERATIONS:
        return
    locked = with_policy(api.world.application, needs_credentials=True)
    async with in_process(api.world, locked) as stranger:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": "wrong"}):
            response = await stranger.http.request(
                method, filled(path), json={} if method in ("POST", "PATCH") else None, headers=headers
            )
            assert response.status_code == 401, response.text
            if (body := response.json()).keys() == {"error"}:
                error = body["error"]
                assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
            require_error_shape(body)
            assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nowhere", 404, "unknown_url"),
        ("GET", "/v1", 404, "unknown_url"),
        ("GET", "/v1/responses", 405, "method_not_allowed"),
        ("PUT", "/v1/conversations", 405, "method_not_allowed"),
        ("GET", "/v1/models/nobody/nothing", 404, "model_not_found"),
        ("GET", "/v1/models/", 404, "unknown_url"),
        ("GET", "/v1/conversations/", 404, "unknown_url"),
    ],
)
async def test_what_is_not_served_says_so(api: Api, method: str, path: str, status: int, code: str) -> None:
    assert (await api.refused(method, path, status=status))["code"] == code


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions", "/v1/conversations"])
async def test_a_body_above_the_limit_is_413(api: Api, path: str) -> None:
    small = with_policy(api.world.application, max_body_bytes=1_000)
    async with in_process(api.world, small) as client:
        await client.refused("POST", path, {"input": "x" * 2_000}, status=413)


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/conversations"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
async def test_requests_from_elsewhere_are_refused(api: Api, path: str, headers: dict[str, str]) -> None:
    error = await api.refused("POST", path, {"model": ECHO, "input": "x"}, status=403, headers=headers)
    assert error["type"] == "permission_error"


# --- bodies nobody foresaw

FUZZ = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
FIELDS = {
    "/v1/responses": (
        "model",
        "input",
        "instructions",
        "previous_response_id",
        "conversation",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "truncation",
        "include",
        "max_output_tokens",
        "metadata",
        "store",
        "temperature",
        "top_logprobs",
        "stream_options",
        "antiphon",
        "service_tier",
        "prompt",
        "parallel_tool_calls",
    ),
    "/v1/responses/input_tokens": ("model", "input", "tools", "conversation", "text", "reasoning"),
    "/v1/responses/compact": ("model", "input", "previous_response_id", "instructions"),
    "/v1/chat/completions": (
        "model",
        "messages",
        "stream_options",
        "store",
        "metadata",
        "n",
        "tools",
        "tool_choice",
        "response_format",
        "stop",
        "max_tokens",
        "logprobs",
        "user",
        "seed",
    ),
    "/v1/conversations": ("items", "metadata", "title"),
}
part = st.one_of(
    json_values,
    st.fixed_dictionaries({"type": texts | st.sampled_from(["input_text", "text"]), "text": json_values}),
)
entry = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {},
        optional={
            "role": st.sampled_from(["user", "assistant", "system", "tool"]) | json_values,
            "type": st.sampled_from(["message", "function_call", "function_call_output", "reasoning"])
            | json_values,
            "content": texts | st.lists(part, max_size=2) | json_values,
            "tool_calls": json_values | st.lists(json_values, max_size=2),
            "call_id": json_values,
            "name": json_values,
            "arguments": json_values,
            "output": json_values,
            "id": json_values,
            "tool_call_id": json_values,
            "summary": json_values,
            "status": json_values,
        },
    ),
)
values = st.one_of(json_values, st.lists(entry, max_size=3))


@pytest.mark.parametrize("path", FIELDS)
async def test_no_body_makes_a_route_fail(api: Api, path: str) -> None:
    bodies: list[dict[str, Any]] = []

    @FUZZ
    @given(st.dictionaries(st.sampled_from(FIELDS[path]), values, max_size=4), st.booleans())
    def draw(body: dict[str, Any], stored: bool) -> None:
        bodies.append(body | ({"store": stored} if "chat" in path else {}))

    draw()
    for body in bodies:
        sent = {
            "model": ECHO,
            **({"messages": [{"role": "user", "content": "x"}]} if "chat" in path else {"input": "x"}),
        }
        if path == "/v1/conversations":
            sent = {}
        for whole in (body, sent | body):
            response = await api.http.post(path, json=whole)
            assert response.status_code < 500, f"{json.dumps(whole)[:500]} → {response.text[:300]}"

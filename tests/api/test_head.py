"""HEAD answers what GET would, without the body, and leaves nothing running (RFC 9110 §9.3.2)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.api.client import Api, over_sockets, reading
from tests.api.people_fixtures import Town
from tests.api.test_error_shape import ALL, filled
from tests.harness.people import carry
from tests.services.hand import HAND, PATIENCE_SECONDS, until
from tests.services.world import World

GETS = [path for method, path in ALL if method == "GET"]
OF_THE_MOMENT = frozenset({"x-request-id", "date", "transfer-encoding"})
CALLS: list[tuple[str, dict[str, str], int]] = [
    ("/", {"accept": "text/html"}, 200),
    ("/health", {}, 200),
    ("/health/live", {}, 200),
    ("/docs", {}, 200),
    ("/docs/assets/favicon.png", {}, 200),
    ("/openapi.json", {}, 200),
    ("/v1/models", {}, 200),
    ("/v1/models?include=zz", {}, 400),
    ("/v1/models/nobody/nothing", {}, 404),
    ("/v1/nowhere", {}, 404),
    ("/v1/conversations", {}, 200),
    ("/v1/conversations", {"host": "evil.example"}, 403),
    ("/v1/export", {}, 200),
    ("/v1/export?format=zip", {}, 200),
]


def told(response: httpx.Response) -> tuple[int, dict[str, str]]:
    """The status and the headers that do not change from request to request."""
    return response.status_code, {
        name: value for name, value in response.headers.items() if name not in OF_THE_MOMENT
    }


async def both(http: httpx.AsyncClient, path: str, headers: dict[str, str]) -> httpx.Response:
    """Ask for a head, and check it against a GET's."""
    head = await http.head(path, headers=headers)
    whole = await http.get(path, headers=headers)
    assert told(head) == told(whole) and head.content == b""
    assert "transfer-encoding" not in head.headers
    return head


async def test_a_head_is_that_of_get_on_one_connection(world: World) -> None:
    async with over_sockets(world) as (api, _):
        for path, headers, status in CALLS:
            head = await both(api.http, path, headers)
            assert head.status_code == status or path == "/", "the page may not be built"


async def test_every_route_answers_a_head_as_it_does_a_get(api: Api) -> None:
    for path in GETS:
        head, whole = [await api.http.request(method, filled(path)) for method in ("HEAD", "GET")]
        assert head.status_code == whole.status_code and head.content == b"", path


async def test_a_file_tells_its_length_and_its_ranges(world: World) -> None:
    async with over_sockets(world) as (api, _):
        form = {"file": ("a.txt", b"0123456789" * 100_000)}
        made = (await api.http.post("/v1/files", files=form, data={"purpose": "assistants"})).json()
        path = f"/v1/files/{made['id']}/content"
        head = await both(api.http, path, {})
        assert head.headers["content-length"] == "1000000"
        head = await both(api.http, path, {"range": "bytes=2-5"})
        assert (head.status_code, head.headers["content-length"]) == (206, "4")
        assert head.headers["content-range"] == "bytes 2-5/1000000"


async def test_a_head_of_a_stream_ends_at_once_and_leaves_nothing_running(world: World) -> None:
    async with over_sockets(world) as (api, _):
        begun = await api.post("/v1/responses", {"model": HAND, "input": "x", "background": True})
        call = await world.hand.next()
        answer, talk = begun["id"], begun["antiphon"]["conversation_id"]
        tasks = len(asyncio.all_tasks())
        events = {"accept": "text/event-stream"}
        for path in (f"/v1/responses/{answer}?stream=true", f"/v1/conversations/{talk}/events"):
            for _ in range(3):
                head = await api.http.head(path, headers=events)
                assert head.status_code == 200 and head.content == b""
                assert head.headers["content-type"].startswith("text/event-stream")
        await until(lambda: not len(world.application.followers))
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
        call.answer("still there")
        async with reading(api, "GET", f"/v1/responses/{answer}?stream=true") as reader:
            assert await reader.until("response.completed")


async def test_a_head_of_a_finished_stream_is_one_answer_and_those_behind_it_keep_their_order(
    world: World,
) -> None:
    async with over_sockets(world) as (api, port):
        said = await api.ask()
        body = json.dumps({"model": HAND, "input": "x"})
        requests = [
            f"HEAD /v1/responses/{said['id']}?stream=true HTTP/1.1\r\n\r\n",
            f"POST /v1/responses HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}",
            "GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n",
        ]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        named = [one.replace("HTTP/1.1\r\n", "HTTP/1.1\r\nHost: 127.0.0.1\r\n", 1) for one in requests]
        writer.write("".join(named).encode())
        call = await world.hand.next()
        await api.get("/health/live")  # by when the third would be answered, were it begun
        call.answer("second")
        async with asyncio.timeout(PATIENCE_SECONDS):
            answers = await reader.read()
        writer.close()
        first, second, third = answers.split(b"HTTP/1.1 200 ")[1:]
        assert b"event-stream" in first and first.endswith(b"\r\n\r\n")
        assert b'"second"' in second and third.endswith(b'{"status":"ok"}')


@pytest.mark.parametrize(
    ("path", "status", "allow"),
    [("/v1/responses", 405, "POST"), ("/token", 405, "POST"), ("/v1/models/", 404, None)],
)
async def test_what_has_no_get_has_no_head(api: Api, path: str, status: int, allow: str | None) -> None:
    response = await api.http.head(path)
    assert (response.status_code, response.headers.get("allow")) == (status, allow)
    assert response.content == b""


async def test_what_has_a_get_allows_a_head(api: Api) -> None:
    assert (await api.http.put("/v1/models")).headers["allow"] == "GET, HEAD"


async def test_a_head_needs_what_a_get_needs(town: Town) -> None:
    ada = await town.person("ada")
    answers: list[Any] = [await town.http.head("/v1/models")]
    for scope in ("read", "write"):
        headers = carry("bearer", await ada.key(scope))
        answers.append(await town.http.head("/v1/models", headers=headers))
    assert [one.status_code for one in answers] == [401, 200, 403]
    assert not any(one.content for one in answers)

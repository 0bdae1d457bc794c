"""Several answers in one stream: every event carries the id of its response."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from antiphon.api.http import Receive, Send, send_bytes
from antiphon.api.rate_limits import headers_of
from antiphon.api.sse import HEADERS, PING, REVOKED
from antiphon.api.v1.response_events import ResponseEvents
from antiphon.api.v1.response_objects import shows_results
from antiphon.api.v1.responses import answer_object, follower_of, wait_for
from antiphon.api.v1.wire_json import encode_object
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.services.runs.follow import Follower, Interrupted
from antiphon.services.turns import Begun

LAST_WORD_SECONDS = 1.0


async def send(
    application: Application, who: Principal, begun: list[Begun], send: Send, *, wait: bool
) -> None:
    """Answer with all responses, after their end if `wait`."""
    data = []
    for one in begun:
        if wait:
            await wait_for(application, who, one)
        if one.live is not None:
            found = application.answers.of_live(one.live)
        else:
            found = await application.answers.get(who, ids.RESPONSE + one.run_id, records=True)
        data.append(answer_object(found, results=shows_results(found.run)))
    body: dict[str, Any] = {"object": "response.fan_out", "data": data}
    await send_bytes(send, 200, encode_object(body), headers_of(begun[0].standings))


async def stream(
    application: Application, who: Principal, begun: list[Begun], receive: Receive, send: Send
) -> None:
    """Stream all answers together; `sequence_number` counts per response."""
    followers = [await follower_of(application, who, one) for one in begun]
    await send(
        {"type": "http.response.start", "status": 200, "headers": HEADERS + headers_of(begun[0].standings)}
    )
    lock = asyncio.Lock()

    async def write(body: bytes) -> None:
        async with lock:
            await send({"type": "http.response.body", "body": body, "more_body": True})

    tasks = [asyncio.create_task(_relay(follower, write)) for follower in followers]
    gone = asyncio.create_task(_gone(receive))
    release = application.credentials.watch(who, lambda: _stop(gone))
    try:
        pending: set[asyncio.Task[None]] = set(tasks)
        while pending and not gone.done():
            _, rest = await asyncio.wait({*pending, gone}, return_when=asyncio.FIRST_COMPLETED)
            pending = rest - {gone}
        if not pending:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif gone.cancelled():
            await _break_off(tasks, send)
    finally:
        release()
        for task in [*tasks, gone]:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, gone, return_exceptions=True)
        for follower in followers:
            follower.release()


def _stop(gone: asyncio.Task[None]) -> None:
    gone.cancel()


async def _break_off(tasks: list[asyncio.Task[None]], send: Send) -> None:
    """Say that the credential no longer holds, if the client still takes anything."""
    for task in tasks:
        task.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORD_SECONDS):
            await send({"type": "http.response.body", "body": REVOKED, "more_body": False})


async def _relay(follower: Follower, write: Any) -> None:
    encoder = ResponseEvents(follower.log, lambda: follower.run)
    mark = b'data: {"response_id":"%b",' % (ids.RESPONSE + follower.run.id).encode()
    try:
        while not follower.finished:
            end = follower.committed
            frames = encoder.frames(follower.cursor, end)
            follower.cursor = end
            if frames:
                await write(b"".join(frame.replace(b"data: {", mark, 1) for frame in frames))
            if not await follower.more():
                await write(PING)
    except Interrupted:
        return


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""A client that stalls while its answer ends gets every byte once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.api import sse
from antiphon.api.v1.response_events import ResponseEvents
from antiphon.domain.run_events import Op, RunLog
from antiphon.domain.runs import Run
from antiphon.domain.usage import Usage
from antiphon.services.runs.follow import Followers
from antiphon.services.runs.live import LiveRun

ID = "01a1fc674bc97d9d9bcf72c9cbce9650"


def ops(deltas: int, size: int) -> list[Op]:
    item = {"id": ID, "type": "message", "role": "assistant"}
    return [
        ("C",), ("P",), ("A", 0, 0, item), ("B", 0, "t", 0), *(f"{n}:" + "x" * size for n in range(deltas)),
        ("E", 0, "t", 0), ("F", 0, "t", 0), ("G", 0, "completed"), ("Z", ["stop"]),
    ]  # fmt: skip


@pytest.mark.parametrize("stall_at", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [10, 400, 30_000])
async def test_a_stalled_client_gets_every_byte_once(stall_at: int, size: int) -> None:
    run = Run(
        id=ID, owner_id=ID, slot=1, conversation_id=None, branch_id=None, author_id=ID, credential_id=None,
        surface="responses", parent=None, input_end=None, state="completed", background=False, stored=True,
        request={}, model="m", usage=Usage(), created_us=1, ended_us=2,
    )  # fmt: skip
    everything = ops(200 if size < 1000 else 4, size)
    live = LiveRun(run, RunLog(everything))
    followers = Followers(store=None)  # type: ignore[arg-type]
    follower = followers.follow_live(live)
    sent: list[bytes] = []
    gate = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if len(sent) > stall_at and not gate.is_set():
            await gate.wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    def encoder_of(log: RunLog) -> ResponseEvents:
        return ResponseEvents(log, lambda: follower.run)

    streaming = asyncio.create_task(
        sse.stream(follower, encoder_of, receive, send, headers=[], watch=lambda end: lambda: None)
    )
    await asyncio.sleep(0)
    live.close()
    text = live.log.outputs[0].part("t", 0)
    assert text.text, "joined, as the commit of an end leaves it"
    live.deliver(len(everything))
    await asyncio.sleep(0)  # a write that this very delivery began
    if not streaming.done():
        assert text._text == "", "a client that stalls behind its own answer keeps one copy of it"
    gate.set()
    await asyncio.wait_for(streaming, 5)
    whole, _ = encoder_of(RunLog(everything)).render(0, len(everything), 1 << 40)
    assert b"".join(sent) == whole


@pytest.mark.parametrize("stalls", [True, False])
async def test_a_stream_ends_with_its_credential_even_if_its_client_takes_nothing(stalls: bool) -> None:
    run = Run(
        id=ID, owner_id=ID, slot=1, conversation_id=None, branch_id=None, author_id=ID, credential_id=ID,
        surface="responses", parent=None, input_end=None, state="in_progress", background=False, stored=True,
        request={}, model="m", created_us=1,
    )  # fmt: skip
    live = LiveRun(run, RunLog(ops(200, 400)))
    live.deliver(100)
    follower = Followers(store=None).follow_live(live)  # type: ignore[arg-type]
    sent, ends, released, began = [], [], [], asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) > 1:
            began.set()
            if stalls:
                await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    def watch(end: Any) -> Any:
        ends.append(end)
        return lambda: released.append(True)

    streaming = asyncio.create_task(
        sse.stream(
            follower, lambda log: ResponseEvents(log, lambda: run), receive, send, headers=[], watch=watch
        )
    )
    await asyncio.wait_for(began.wait(), 5)
    ends[0]()
    await asyncio.wait_for(streaming, 5)
    assert released == [True]
    before = len(sent)
    live.deliver(200)
    await asyncio.sleep(0)
    assert len(sent) == before, "nothing is sent any more"
    if not stalls:
        assert sent[-1] == {"type": "http.response.body", "body": sse.REVOKED, "more_body": False}

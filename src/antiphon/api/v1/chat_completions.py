"""`/v1/chat/completions`: create, and the calls on stored completions."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from antiphon.api import sse
from antiphon.api.authentication import caller_and_body
from antiphon.api.caching import with_cache_use
from antiphon.api.errors import retry_after
from antiphon.api.http import Receive, Scope, Send, beside, direct_of, send_bytes
from antiphon.api.idempotency import key_of
from antiphon.api.v1.chat_events import ChatEvents, completion_object, error_answer, error_of
from antiphon.api.v1.chat_requests import parse_chat, stores, turn_request
from antiphon.api.v1.responses import answer_headers, follower_of, wait_or_abandon
from antiphon.api.v1.wire_json import encode_object
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.run_events import FILE_SEARCH, OPENING_OPS
from antiphon.services.answers import Answer
from antiphon.services.runs.follow import Follower, Interrupted
from antiphon.services.turn_plans import TurnRequest
from antiphon.services.turns import Begun

PATH = "/v1/chat/completions"


async def create(application: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Begin a completion; stream it or wait for it."""
    who, raw = await caller_and_body(application, scope, receive, application.policy.max_body_bytes)
    held = [raw]
    del raw  # it may be large, and what is made of it is larger
    streams, request = await beside(held, partial(_asked, application, who, scope))
    request = with_cache_use(application, scope, request)
    include_usage = bool(request.echo["include_usage"])
    begun = await application.turns.begin(who, request)
    del request  # a stream may stay open for long, and thousands beside it
    follower = await follower_of(application, who, begun)
    if streams and await _speaks(follower):
        encoder = ChatEvents(follower, include_usage=include_usage)
        await sse.stream(
            follower,
            lambda _: encoder,
            receive,
            send,
            headers=answer_headers(begun),
            watch=partial(application.credentials.watch, who),
            direct=direct_of(scope),
            on_gone=lambda: _abandon(application, begun),
        )
        return
    await wait_or_abandon(application, who, begun, follower, receive)
    await _send_completion(application, who, begun, send)


def _asked(application: Application, who: Principal, scope: Scope, raw: bytes) -> tuple[bool, TurnRequest]:
    """Return whether a create is to be streamed, and its turn."""
    body, params = parse_chat(raw)
    store = stores(body, application.policy.store_chat_completions)
    request = turn_request(who, body, params, store=store)
    key = key_of(scope, raw)
    return bool(body.stream), msgspec.structs.replace(request, key=key) if key is not None else request


async def _speaks(follower: Follower) -> bool:
    """Wait for the first output, so that a failure before it can be an HTTP error SDKs understand.

    A search is none, as nothing of it is shown here. After 15 silent seconds the stream
    begins all the same, to keep the line open.
    """
    news = True
    try:
        while news and not _has_begun(follower):
            follower.cursor = follower.committed
            if follower.finished:
                break
            news = await follower.more()
    except Interrupted:
        return True
    finally:
        follower.cursor = 0
    return error_of(follower.run) is None or follower.log.answered


def _has_begun(follower: Follower) -> bool:
    """Whether something can be shown that is not a search."""
    ops = follower.log.ops
    shown = (ops[at] for at in range(OPENING_OPS, follower.committed))
    return any(
        isinstance(op, str) or op[0] == "Z" or (op[0] == "A" and op[3]["type"] != FILE_SEARCH) for op in shown
    )


def _abandon(application: Application, begun: Begun) -> None:
    if begun.live is not None:
        application.answers.abandon(begun.live)


async def _send_completion(application: Application, who: Principal, begun: Begun, send: Send) -> None:
    if begun.live is not None:
        answer = application.answers.of_live(begun.live)
    else:
        answer = await application.answers.get(who, ids.CHAT_COMPLETION + begun.run_id, ids.CHAT_COMPLETION)
    error = error_of(answer.run)
    headers = answer_headers(begun)
    if error is not None:
        failure = begun.failure
        status, body = error_answer(error.code, error.message, failure)
        if failure is not None and failure.retry_after_seconds is not None:
            headers = [*headers, retry_after(failure.retry_after_seconds)]
        await send_bytes(send, status, encode_object(body), headers)
        return
    await send_bytes(send, 200, encode_object(completion_object(answer)), headers)


def stored_object(answer: Answer) -> dict[str, Any]:
    """Return a stored completion."""
    return completion_object(answer, with_metadata=True)

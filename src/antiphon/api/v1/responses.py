"""`/v1/responses`: create, follow, read, cancel, delete, count and compact."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec

from antiphon.api import sse
from antiphon.api.authentication import caller_and_body
from antiphon.api.caching import Headers, cache_header, with_cache_use
from antiphon.api.errors import decoding_error
from antiphon.api.http import REQUEST_ID, Direct, Receive, Scope, Send, beside, direct_of, header, send_bytes
from antiphon.api.idempotency import key_of
from antiphon.api.rate_limits import headers_of
from antiphon.api.v1.response_events import ResponseEvents
from antiphon.api.v1.response_objects import (
    RESULTS,
    known_includes,
    output_item,
    response_object,
    shows_results,
    usage_object,
)
from antiphon.api.v1.response_requests import (
    CreateResponse,
    conversation_of,
    decode_compact,
    decode_count,
    parse_create,
    turn_request,
)
from antiphon.api.v1.wire_json import encode_object
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.compaction import seal_compaction
from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.domain.inputs import InputItem, parse_input
from antiphon.domain.run_events import RunLog
from antiphon.domain.usage import Usage, estimate_tokens
from antiphon.services.answers import Answer, Retrieved, summary_of
from antiphon.services.runs.follow import Follower, Interrupted
from antiphon.services.tokens import refused
from antiphon.services.turn_plans import TurnRequest
from antiphon.services.turns import Begun

PATH = "/v1/responses"
NOTHING_ELSE = "Nothing was said before but the messages above."


def answer_object(answer: Answer, *, results: bool = False) -> dict[str, Any]:
    """Return an answer as a `response` object, on demand with what its searches found."""
    records = answer.records if results else {}
    outputs = [
        output_item(out.id, out.type, out.status, out.payload, records.get(out.id)) for out in answer.outputs
    ]
    return response_object(answer.run, outputs)


def retrieval_object(wire_id: str, found: Retrieved, names: Mapping[str, str | None]) -> dict[str, Any]:
    """Return how an answer's searches went; `names` are files' names by their ids."""
    searches = [
        {
            "id": ids.item_wire_id(one.type, one.id), "status": one.status, "queries": one.queries,
            "trace": _named(one.record["trace"], names) if one.record is not None else None,
        }
        for one in found.searches
    ]  # fmt: skip
    return {
        "object": "response.retrieval",
        "response_id": wire_id,
        "searches": searches,
        "citations": found.citations,
    }


def _named(trace: dict[str, Any], names: Mapping[str, str | None]) -> dict[str, Any]:
    """Return a trace, which others share, with the names of its passages' files."""
    passages = [{**one, "filename": names.get(one["file_id"])} for one in trace["passages"]]
    return {**trace, "passages": passages}


def wants_results(named: Sequence[str]) -> bool:
    """Whether an `include` asks for what searches found; raises InvalidRequest if it is none."""
    return RESULTS in known_includes(named)


async def create(application: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Begin an answer and stream it, wait for it, or leave it in the background."""
    who, raw = await caller_and_body(application, scope, receive, application.policy.max_body_bytes)
    held = [raw]
    del raw  # it may be large, and what is made of it is larger
    streams, request = await beside(held, partial(_asked, scope))
    request = with_cache_use(application, scope, request)
    waits = not request.background
    begun = await application.turns.begin(who, request)
    direct = direct_of(scope)
    del request, scope  # a stream may stay open for long, and thousands beside it
    if streams:
        await stream_begun(application, who, begun, receive, send, direct)
        return
    if waits:
        follower = await follower_of(application, who, begun)
        await wait_or_abandon(application, who, begun, follower, receive)
    await send_answer(application, who, begun, send)


def _asked(scope: Scope, raw: bytes) -> tuple[bool, TurnRequest]:
    """Return whether a create is to be streamed, and its turn."""
    body = parse_create(raw)
    request = turn_request(body)
    key = key_of(scope, raw)
    return bool(body.stream), msgspec.structs.replace(request, key=key) if key is not None else request


async def follower_of(application: Application, who: Principal, begun: Begun, after: int = -1) -> Follower:
    """Return a follower of a turn that has begun, here or under an earlier key."""
    if begun.live is not None:
        return application.followers.follow_live(begun.live, after, reader=who.actor_id)
    return await application.answers.follow(who, ids.RESPONSE + begun.run_id, after)


async def stream_begun(
    application: Application,
    who: Principal,
    begun: Begun,
    receive: Receive,
    send: Send,
    direct: Direct | None,
) -> None:
    """Stream an answer from its first event; an ephemeral one dies with its client."""
    follower = await follower_of(application, who, begun)
    live = begun.live
    on_gone = None
    if live is not None and not live.run.stored:
        on_gone = partial(application.answers.abandon, live)

    def encoder_of(log: RunLog) -> ResponseEvents:
        return ResponseEvents(log, lambda: follower.run)

    await sse.stream(
        follower, encoder_of, receive, send, headers=answer_headers(begun),
        watch=partial(application.credentials.watch, who), direct=direct, on_gone=on_gone,
    )  # fmt: skip


async def wait_or_abandon(
    application: Application, who: Principal, begun: Begun, follower: Follower, receive: Receive
) -> None:
    """Wait for an answer's end; an ephemeral one is stopped if its client goes.

    Raises Unauthenticated if the caller's credential ends first.
    """
    live = begun.live
    with _while_credential_holds(application, who, follower) as revoked:
        if live is None or live.run.stored:
            await _until_end(follower, revoked.is_set)
        else:
            async with sse.watching(receive, follower) as watcher:
                await _until_end(follower, lambda: watcher.done() or revoked.is_set())
                if not follower.finished:
                    application.answers.abandon(live)


@contextmanager
def _while_credential_holds(
    application: Application, who: Principal, follower: Follower
) -> Iterator[asyncio.Event]:
    """Nudge the follower when the caller's credential ends; then the block ends with Unauthenticated."""
    revoked = asyncio.Event()

    def end() -> None:
        revoked.set()
        follower.nudge()

    release = application.credentials.watch(who, end)
    try:
        yield revoked
    finally:
        release()
    if revoked.is_set():
        raise refused()


async def _until_end(follower: Follower, gone: Callable[[], bool]) -> None:
    try:
        while not follower.finished and not gone():
            follower.cursor = follower.committed
            if not follower.finished:
                await follower.more()
    except Interrupted:
        if follower.revoked:
            raise closed_to(follower) from None
    finally:
        follower.release()


def closed_to(follower: Follower) -> NotFound:
    """Return the error for an answer whose reader may not see it any more."""
    return NotFound(f"Response with id '{ids.RESPONSE}{follower.run.id}' not found.")


async def wait_for(application: Application, who: Principal, begun: Begun) -> None:
    """Wait until a stored answer has ended, or is lost to this process.

    Raises Unauthenticated if the caller's credential ends first.
    """
    follower = await follower_of(application, who, begun)
    with _while_credential_holds(application, who, follower) as revoked:
        await _until_end(follower, revoked.is_set)


async def send_answer(application: Application, who: Principal, begun: Begun, send: Send) -> None:
    """Answer with the response object as it is now: 200 once a run exists, whatever became of it."""
    if begun.live is not None:
        answer = application.answers.of_live(begun.live)
    else:
        answer = await application.answers.get(who, ids.RESPONSE + begun.run_id, records=True)
    body = answer_object(answer, results=shows_results(answer.run))
    await send_bytes(send, 200, encode_object(body), answer_headers(begun))


def request_id(run_id: str) -> Headers:
    """Return the id of a request that has a run: the run's own."""
    return [(REQUEST_ID, b"req_" + run_id.encode())]


def answer_headers(begun: Begun) -> Headers:
    """Return what an answer that was just begun says of itself."""
    return [*request_id(begun.run_id), *cache_header(begun), *headers_of(begun.standings)]


async def retrieve_stream(
    application: Application,
    who: Principal,
    wire_id: str,
    scope: Scope,
    receive: Receive,
    send: Send,
    after: int,
    *,
    results: bool = False,
) -> None:
    """Replay and follow an answer from the event after `after`; GET streams carry `id:` lines."""
    follower = await application.answers.follow(who, wire_id, after)

    def encoder_of(log: RunLog) -> ResponseEvents:
        return ResponseEvents(log, lambda: follower.run, with_ids=True, results=results)

    await sse.stream(
        follower, encoder_of, receive, send, headers=request_id(follower.run.id),
        watch=partial(application.credentials.watch, who), direct=direct_of(scope),
    )  # fmt: skip


def starting_after(query: str | None, scope: Scope) -> int:
    """Return the last event a client has seen, from the query or `Last-Event-ID`; -1 for none."""
    shown = query if query is not None else header(scope, b"last-event-id")
    if shown is None or shown == "":
        return -1
    if not shown.isascii() or not shown.isdigit() or len(shown) > 15:
        raise InvalidRequest(
            "'starting_after' is the sequence number of an event.",
            code="invalid_value",
            param="starting_after",
        )
    return int(shown)


async def count_input(application: Application, who: Principal, raw: bytes) -> dict[str, Any]:
    """Return the estimated input tokens of a request."""
    try:
        body = decode_count(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise decoding_error(error) from None
    named = ("model", "input", "instructions", "tools", "tool_choice", "text", "reasoning")
    fields = {name: getattr(body, name) for name in named}
    create_body = CreateResponse(
        **fields, previous_response_id=body.previous_response_id, conversation=conversation_of(body)
    )
    request = turn_request(create_body)
    tokens = await application.turns.count(who, request)
    return {"object": "response.input_tokens", "input_tokens": tokens}


async def compact(application: Application, who: Principal, raw: bytes) -> dict[str, Any]:
    """Return a shorter input that stands for a longer one: the user's words and one compaction item."""
    try:
        body = decode_compact(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise decoding_error(error) from None
    application.turns.require_model(body.model)
    items = [*await application.turns.resolved(who, parse_input(body.input))]
    if body.previous_response_id is not None:
        before = await application.answers.asked(who, body.previous_response_id)
        answered = await application.answers.get(who, body.previous_response_id)
        items = (
            [InputItem(type=i.type, role=i.role, status=i.status, payload=i.body()) for i in before]
            + [
                InputItem(type=out.type, role=out.payload.get("role"), payload=out.payload)
                for out in answered.outputs
            ]
            + items
        )
    if not items:
        raise InvalidRequest(
            "Missing required parameter: 'input'.", param="input", code="missing_required_parameter"
        )
    kept = [item for item in items if _is_kept(item)]
    summary = summary_of([item for item in items if not _is_kept(item)]) or NOTHING_ELSE
    output = [output_item(ids.new_id(who.slot), item.type, item.status, item.payload) for item in kept]
    content = {"type": "compaction", "encrypted_content": seal_compaction(summary)}
    output.append(output_item(ids.new_id(who.slot), "compaction", "completed", content))
    usage = Usage(sum(estimate_tokens(str(item.payload)) for item in items), estimate_tokens(summary))
    return {
        "id": ids.RESPONSE + ids.new_id(who.slot),
        "object": "response.compaction",
        "created_at": application.answers.now_seconds(),
        "output": output,
        "usage": usage_object(usage),
    }


def _is_kept(item: InputItem) -> bool:
    """Whether a compaction leaves an item as it is."""
    return item.type == "message" and item.role != "assistant"

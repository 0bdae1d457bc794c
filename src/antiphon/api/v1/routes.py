"""The framework's view of models, responses and chat completions.

The two creates are plain ASGI handlers (`responses.create`, `chat_completions.create`); here
they are only documented and reachable by routing as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from starlette.exceptions import HTTPException

from antiphon.api.dependencies import After, App, AsgiResponse, Caller, JsonRoute, Limit, Purge
from antiphon.api.http import Handler, Receive, Scope, Send
from antiphon.api.v1 import chat_completions, responses
from antiphon.api.v1.chat_stored_messages import message_objects
from antiphon.api.v1.conversation_bodies import Body, Metadata
from antiphon.api.v1.conversation_objects import purged_counts
from antiphon.api.v1.pages import Order, answer, included, page_object
from antiphon.api.v1.response_objects import PLACE, known_includes, stored_item, usage_line_object
from antiphon.api.v1.schemas import body_of
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.errors import InvalidRequest, NotFound

router = APIRouter(prefix="/v1", route_class=JsonRoute)

Terms = Annotated[list[str] | None, Query(description="`antiphon`: window, price, which is the default.")]


class NewMetadata(Body):
    """The whole of the new metadata."""

    metadata: Metadata | None


def _bind(handler: Any, application: Application) -> Handler:
    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        await handler(application, scope, receive, send)

    return handle


@router.get("/models", summary="List models", tags=["models"])
async def list_models(application: App, who: Caller, request: Request, include: Terms = None) -> Response:
    """List the models of all providers; on demand with their windows, prices and which is the default."""
    told = _teller(application, included(request, include))
    return answer({"object": "list", "data": [told(info) for info in await application.models.list()]})


def _teller(application: Application, include: Sequence[str]) -> Callable[[Any], dict[str, Any]]:
    """Return what shows a model as an `include` wants it; raises InvalidRequest for what it may not name."""
    if not known_includes(include, of=(PLACE,)):
        return lambda info: model_object(info.id, info.provider, info.created)
    default = application.models.resolve(None).id
    return lambda info: (
        model_object(info.id, info.provider, info.created)
        | {"antiphon": _terms(application, info.id, default)}
    )


def _terms(application: Application, model: str, default: str) -> dict[str, Any] | None:
    """Return what is known of a model beside its name; prices in units of money for a million tokens."""
    try:
        route = application.models.resolve(model)
    except NotFound:
        return None  # an embedding model: no chat is had with it
    price = {"input": route.price.input_per_million / 10**6, "output": route.price.output_per_million / 10**6}
    return {"context_tokens": route.context_tokens, "price": price, "default": route.id == default}


@router.get("/models/{model:path}", summary="Retrieve a model", tags=["models"])
async def retrieve_model(
    application: App, who: Caller, request: Request, model: str, include: Terms = None
) -> Response:
    """Return the model that a name means; on demand with window, price and whether it is the default."""
    if not model:  # `/models/` is no list, as nowhere else; no name would mean the default
        raise HTTPException(404)
    told = _teller(application, included(request, include))
    return answer(told(await application.models.get(model)))


def model_object(identifier: str, provider: str, created: int) -> dict[str, Any]:
    """Return a model; `created` in seconds since 1970."""
    return {"id": identifier, "object": "model", "created": created, "owned_by": provider}


@router.post(
    "/responses", summary="Create a response", tags=["responses"], openapi_extra=body_of("CreateResponse")
)
async def create_response(application: App, who: Caller, request: Request) -> Response:
    """Answer an input; streamed, waited for, or in the background."""
    return AsgiResponse(_bind(responses.create, application))


@router.post(
    "/responses/input_tokens", summary="Count input tokens", tags=["responses"],
    openapi_extra=body_of("CountInput"),
)  # fmt: skip
async def count_input(application: App, who: Caller, request: Request) -> Response:
    """Estimate the tokens of an input."""
    return answer(await responses.count_input(application, who, await request.body()))


@router.post(
    "/responses/compact", summary="Compact an input", tags=["responses"], openapi_extra=body_of("Compact")
)
async def compact(application: App, who: Caller, request: Request) -> Response:
    """Return a shorter input that stands for a longer one."""
    return answer(await responses.compact(application, who, await request.body()))


@router.get("/responses/{response_id}", summary="Retrieve a response", tags=["responses"])
async def retrieve_response(
    application: App,
    who: Caller,
    request: Request,
    response_id: str,
    stream: bool = False,
    starting_after: Annotated[str | None, Query(description="The last sequence number seen.")] = None,
    include: Annotated[list[str] | None, Query(description="`file_search_call.results`.")] = None,
) -> Response:
    """Return a response, or replay and follow its stream from any event, live or long after the end."""
    results = responses.wants_results(included(request, include))
    if not stream:
        found = await application.answers.get(who, response_id, records=results)
        return answer(responses.answer_object(found, results=results))
    after = responses.starting_after(starting_after, request.scope)

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        await responses.retrieve_stream(
            application, who, response_id, scope, receive, send, after, results=results
        )

    return AsgiResponse(handle)


@router.get("/responses/{response_id}/retrieval", summary="Explain a response's searches", tags=["tree"])
async def retrieve_retrieval(application: App, who: Caller, response_id: str) -> Response:
    """Return how a response's sources were found: queries, ranks of both legs, what was left out and why."""
    found = await application.answers.retrieval(who, response_id)
    names = found.filenames()
    unnamed = [file_id for file_id, name in names.items() if name is None]
    names |= await application.files.names(who, unnamed)
    return answer(responses.retrieval_object(response_id, found, names))


@router.get("/responses/{response_id}/usage", summary="What a response used", tags=["tree"])
async def retrieve_usage(application: App, who: Caller, response_id: str) -> Response:
    """Return tokens, model, time and, to who pays and who owns it, the price of a response."""
    return answer(usage_line_object(response_id, await application.usage.of_response(who, response_id)))


@router.delete("/responses/{response_id}", summary="Delete a response", tags=["responses"])
async def delete_response(application: App, who: Caller, response_id: str, purge: Purge = False) -> Response:
    """Cancel a response if it runs, then make it invisible; with `purge` erase it."""
    deleted, purged = await application.answers.delete(who, response_id, purge=purge)
    gone = {"id": ids.RESPONSE + deleted, "object": "response", "deleted": True}
    return answer(gone | purged_counts(purged))


@router.post("/responses/{response_id}/cancel", summary="Cancel a response", tags=["responses"])
async def cancel_response(application: App, who: Caller, response_id: str) -> Response:
    """Stop a background response; harmless if it has ended."""
    return answer(responses.answer_object(await application.answers.cancel(who, response_id)))


@router.get("/responses/{response_id}/input_items", summary="List input items", tags=["responses"])
async def list_input_items(
    application: App,
    who: Caller,
    request: Request,
    response_id: str,
    after: After = None,
    limit: Limit = 20,
    order: Order = "desc",
    include: Annotated[
        list[str] | None, Query(description="OpenAI's list; adds nothing to an input.")
    ] = None,
) -> Response:
    """List a response's own input."""
    known_includes(included(request, include))
    page = await application.answers.input_items(
        who, response_id, after=after, limit=limit, descending=order == "desc"
    )
    return answer(page_object([stored_item(item) for item in page.data], has_more=page.has_more))


@router.post(
    "/chat/completions", summary="Create a chat completion", tags=["chat"],
    openapi_extra=body_of("CreateChatCompletion"),
)  # fmt: skip
async def create_chat_completion(application: App, who: Caller, request: Request) -> Response:
    """Answer a list of messages; stored only if asked."""
    return AsgiResponse(_bind(chat_completions.create, application))


@router.get("/chat/completions", summary="List stored completions", tags=["chat"])
async def list_chat_completions(
    application: App,
    who: Caller,
    request: Request,
    after: After = None,
    limit: Limit = 20,
    order: Order = "asc",
    model: str | None = None,
) -> Response:
    """List stored completions; `metadata[key]=value` filters."""
    page = await application.answers.page(
        who, surface="chat", after=after, limit=limit, descending=order == "desc", model=model,
        metadata=_metadata_filter(request),
    )  # fmt: skip
    data = [chat_completions.stored_object(one) for one in page.data]
    return answer(page_object(data, has_more=page.has_more))


def _metadata_filter(request: Request) -> dict[str, str]:
    return {
        name[9:-1]: value
        for name, value in request.query_params.items()
        if name.startswith("metadata[") and name.endswith("]")
    }


@router.get("/chat/completions/{completion_id}", summary="Retrieve a stored completion", tags=["chat"])
async def retrieve_chat_completion(application: App, who: Caller, completion_id: str) -> Response:
    """Return a stored completion."""
    found = await application.answers.get(who, completion_id, ids.CHAT_COMPLETION)
    return answer(chat_completions.stored_object(found))


@router.post("/chat/completions/{completion_id}", summary="Update a stored completion", tags=["chat"])
async def update_chat_completion(
    application: App, who: Caller, completion_id: str, body: NewMetadata
) -> Response:
    """Replace the metadata of a stored completion."""
    metadata = msgspec.json.encode(body.metadata or {}).decode()
    found = await application.answers.set_metadata(who, completion_id, metadata, ids.CHAT_COMPLETION)
    return answer(chat_completions.stored_object(found))


@router.delete("/chat/completions/{completion_id}", summary="Delete a stored completion", tags=["chat"])
async def delete_chat_completion(
    application: App, who: Caller, completion_id: str, purge: Purge = False
) -> Response:
    """Make a stored completion invisible; with `purge` erase it."""
    deleted, purged = await application.answers.delete(who, completion_id, ids.CHAT_COMPLETION, purge=purge)
    gone = {"object": "chat.completion.deleted", "id": ids.CHAT_COMPLETION + deleted, "deleted": True}
    return answer(gone | purged_counts(purged))


@router.get("/chat/completions/{completion_id}/messages", summary="List its messages", tags=["chat"])
async def list_chat_messages(
    application: App,
    who: Caller,
    completion_id: str,
    after: After = None,
    limit: Limit = 20,
    order: Order = "asc",
) -> Response:
    """List the messages that a stored completion answered."""
    asked = await application.answers.asked(who, completion_id, ids.CHAT_COMPLETION)
    messages = message_objects(completion_id, asked)
    if order == "desc":
        messages.reverse()
    if after is not None:
        at = next((index for index, one in enumerate(messages) if one["id"] == after), None)
        if at is None:
            raise InvalidRequest(f"Invalid cursor '{after}'.", code="invalid_cursor", param="after")
        messages = messages[at + 1 :]
    return answer(page_object(messages[:limit], has_more=len(messages) > limit))

"""The ASGI application: routes, error shapes, documentation, lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from antiphon import __version__
from antiphon.api import dialects, documentation, health, metrics, page
from antiphon.api.dependencies import wants_caller
from antiphon.api.dialects.dialect import refusal
from antiphon.api.dialects.mounting import Mounted
from antiphon.api.errors import describe, error_object, field_problem
from antiphon.api.front import Front
from antiphon.api.http import Handler, Receive, Scope, Send, request_id_of
from antiphon.api.v1 import (
    api_keys,
    auth,
    branches,
    chat_completions,
    collection_files,
    collection_search,
    collections,
    conversations,
    embeddings,
    exports,
    external_logins,
    feeds,
    feeds_websocket,
    files,
    imports,
    limits,
    members,
    provider_keys,
    ratings,
    responses,
    responses_websocket,
    routes,
    search,
    shares,
    uploads,
)
from antiphon.api.v1.admin import groups, operations, runs, users
from antiphon.api.v1.pages import answer
from antiphon.api.v1.schemas import ERRORS, SCHEMES, components
from antiphon.application import Application
from antiphon.domain.errors import AntiphonError

ROUTERS = (
    health.router, metrics.router, auth.token_router, auth.router, api_keys.router, users.router,
    groups.router, operations.router, runs.router, routes.router, ratings.router, conversations.router,
    conversations.folders, branches.router, feeds.router, feeds.typing, exports.router, members.router,
    shares.router, shares.public, limits.router, provider_keys.router, external_logins.router,
    embeddings.router, files.router, imports.router, uploads.router, collections.router,
    collection_files.router, collection_search.router, collections.standing, search.router,
    documentation.router,
)  # fmt: skip

Opened = Callable[[], AbstractAsyncContextManager[Application]]
"""Opens the application for the time the server runs."""


def create_app(opened: Opened, spoken: Collection[str] = dialects.NAMES) -> Front:
    """Return the ASGI application; nothing is opened before its lifespan begins.

    `spoken` are the names of the dialects that are served beside `/v1`.
    """
    others = dialects.mounted(spoken)

    @asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        async with opened() as application:
            front.application = application
            yield

    api = FastAPI(
        title="Antiphon",
        version=__version__,
        description="A self-hosted conversation server that speaks OpenAI's API.",
        lifespan=lifespan,
        openapi_tags=others.tags,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    front = Front(api, _hot_routes(lambda: front.application), others.respell, others.refusing)
    api.state.front = front
    api.state.dialects = others.dialects
    # Taken as they are: `include_router` builds each route a second time, at the first request that
    # passes it, and those requests held the event loop for 0.1 to 0.3 s.
    for router in (page.router, *ROUTERS, *others.routers):  # a dialect may answer programs where the page is
        api.router.routes += router.routes
    api.state.open = _open_operations((*ROUTERS, *others.routers))
    api.add_api_websocket_route("/v1/responses", responses_websocket.serve)
    api.add_api_websocket_route(feeds_websocket.PATH, feeds_websocket.serve)
    _shape_errors(api, others)
    api.openapi = lambda: _document(api)  # type: ignore[method-assign]
    return front


def _open_operations(routers: Collection[APIRouter]) -> set[tuple[str, str]]:
    """Return the operations that ask for no credential, where it is the framework that asks."""
    found = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    return {
        (method, route.path_format)
        for route in found
        if route.path != metrics.PATH and not wants_caller(route.dependant)
        for method in route.methods or ()
    }


def _hot_routes(application: Callable[[], Application | None]) -> dict[tuple[str, str], Handler]:
    def bound(handler: Any) -> Handler:
        def handle(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            return handler(application(), scope, receive, send)  # type: ignore[no-any-return]

        return handle

    return {
        ("POST", responses.PATH): bound(responses.create),
        ("POST", chat_completions.PATH): bound(chat_completions.create),
    }


def _shape_errors(api: FastAPI, others: Mounted) -> None:
    async def named(request: Request, error: Exception) -> Response:
        status, body, headers = describe(error, request_id_of(request.scope))
        shown = {key.decode(): value.decode() for key, value in headers}
        if body["error"]["code"] == "invalid_credentials":
            body |= others.refusal_of(request.scope)
        return answer(body, status=status, headers=shown)

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
        if isinstance(error.__cause__, AntiphonError):
            return await named(request, error.__cause__)
        if error.status_code == 405:
            allow = ", ".join(sorted(_methods(request, others)))
            error.headers = {**(error.headers or {}), "allow": allow}
            shape = others.shape_of(request.scope)
            if shape is not None:
                return refusal(error, shape)
        body = error_object(error.status_code, str(error.detail), param=None, code=_code(error.status_code))
        shown = {name.lower(): value for name, value in (error.headers or {}).items()}
        return answer(body, status=error.status_code, headers=shown)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
        if request.method != "GET" and "json" not in request.headers.get("content-type", ""):
            message = "Send the body as JSON, with 'Content-Type: application/json'."
            return answer(error_object(400, message, param=None, code="invalid_content_type"), status=400)
        return answer(_validation_error(error), status=400)

    api.add_exception_handler(Exception, named)
    api.add_exception_handler(HTTPException, framework)
    api.add_exception_handler(RequestValidationError, invalid)
    api.add_exception_handler(AntiphonError, named)


def _methods(request: Request, others: Mounted) -> set[str]:
    """Return the methods of all routes of a path; the framework names those of the first only.

    A path that is written out is not also an id in the place of a parameter.
    """
    routers = (*ROUTERS, *others.routers)
    everything = [route for router in routers for route in router.routes if isinstance(route, Route)]
    literal = [route for route in everything if route.path == request.scope["path"]]
    matching = [route for route in everything if route.matches(request.scope)[0] is not Match.NONE]
    found = {method for route in literal or matching for method in route.methods or ()}
    return found | {"HEAD"} if "GET" in found else found


def _code(status: int) -> str | None:
    return {404: "unknown_url", 405: "method_not_allowed"}.get(status)


def _validation_error(error: RequestValidationError) -> dict[str, Any]:
    """Name the first wrong field."""
    message, param, code = field_problem(error.errors()[0])
    return error_object(400, message, param=param, code=code)


def _document(api: FastAPI) -> dict[str, Any]:
    if api.openapi_schema is None:
        document = get_openapi(
            title=api.title, version=api.version, description=api.description, routes=api.routes,
            tags=api.openapi_tags,
        )  # fmt: skip
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(components())
        document["components"]["securitySchemes"] = SCHEMES
        _open(api, document)
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                operation["responses"] = {**ERRORS, **operation["responses"]}
        api.openapi_schema = document
    return api.openapi_schema


def _open(api: FastAPI, document: dict[str, Any]) -> None:
    """Say of the operations that ask for no credential that they do not."""
    for method, path in api.state.open:
        operation = document["paths"].get(path, {}).get(method.lower())
        if operation is not None:
            operation["security"] = []

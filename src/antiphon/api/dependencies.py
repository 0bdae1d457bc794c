"""What every framework route shares: the application, the caller, bodies read by our decoder."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from antiphon.api.authentication import caller_and_body, principal_of
from antiphon.api.errors import field_problem
from antiphon.api.forwarding import client_address
from antiphon.api.http import Handler, decode_json, header, read_body, request_id_of, send_error
from antiphon.application import Application
from antiphon.domain.accounts import Principal, Visit
from antiphon.domain.errors import InvalidRequest, Unprocessable

SMALL_BYTES = 64 * 1024

MAX_FIELDS: Final = 64
MAX_ENTRIES: Final = 4096
"""Of the body itself, and of each of its fields; what lies deeper is not validated one by one."""


class _JsonRequest(Request):
    """A request whose body is bounded and decoded by msgspec, whatever its nesting."""

    most_bytes: int | None = None
    closed = False
    """Whether the route asks who calls."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            application = application_of(self)
            limit = self.most_bytes or application.policy.max_body_bytes
            if self.closed:
                _, self._body = await caller_and_body(application, self.scope, self.receive, limit)
            else:
                self._body = await read_body(self.scope, self.receive, limit)
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = decode_json(await self.body())
            _require_modest(self._json)
        return self._json


def _require_modest(value: Any) -> None:
    """Raise InvalidRequest for more fields or elements than any body here has.

    The validator makes an error of every wrong one before we can choose the first: a million
    unknown fields took 4.5 s and 1.3 GB.
    """
    if isinstance(value, dict):
        many = next(
            (k for k, v in value.items() if isinstance(v, list | dict) and len(v) > MAX_ENTRIES), None
        )
        if len(value) > MAX_FIELDS or many is not None:
            raise InvalidRequest("There are too many values.", code="array_above_max_length", param=many)
    elif isinstance(value, list) and len(value) > MAX_ENTRIES:
        raise InvalidRequest("The body must be an object.", code="invalid_type")


def application_of(request: Request) -> Application:
    """Return the running application."""
    application: Application = request.app.state.front.application
    return application


async def _running(request: Request) -> Application:
    """Return the running application as a parameter: what is no coroutine goes by another thread and back."""
    return application_of(request)


async def caller_of(request: Request) -> Principal:
    """Return who asks; raises Unauthenticated and Forbidden.

    A route with a body asks before it reads it, so that nothing of a stranger's is read, and again
    after a slow one.
    """
    return await principal_of(application_of(request), request.scope)


def wants_caller(dependant: Dependant) -> bool:
    """Whether a route or what it depends on asks who calls."""
    return any(one.call is caller_of or wants_caller(one) for one in dependant.dependencies)


def forget_frames(error: Exception) -> None:
    """Free what the framework's frames hold that made this error.

    They keep it and the body in variables: a cycle, which held every refused body until the collector's
    next round, hundreds of requests later. Other errors are not of its making, and may be known to
    frames that still wait for something. The lines of a traceback stay.
    """
    if isinstance(error, RequestValidationError | HTTPException):
        traceback.clear_frames(error.__traceback__)


class JsonRoute(APIRoute):
    """A route whose requests are `_JsonRequest`s."""

    reads: type[_JsonRequest] = _JsonRequest

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the framework's handler."""
        handler, closed = super().get_route_handler(), wants_caller(self.dependant)

        async def handle(request: Request) -> Response:
            if closed:
                await caller_of(request)
            read = self.reads(request.scope, request.receive)
            read.closed = closed
            try:
                return await handler(read)
            except Exception as error:
                forget_frames(error)
                raise

        return handle


class _SmallRequest(_JsonRequest):
    most_bytes = SMALL_BYTES


class IdentityRoute(JsonRoute):
    """A route about people and their rights: small bodies, and fields it does not know are 422."""

    reads = _SmallRequest

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of all JSON routes."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                message, param, code = field_problem(error.errors()[0])
                raise Unprocessable(message, param=param, code=code) from None

        return handle


class AsgiResponse(Response):
    """Hands the connection to a plain ASGI handler; errors before its start become answers."""

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the handler."""
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._handler(scope, receive, sending)
        except Exception as error:
            if started:
                raise
            await send_error(send, error, request_id_of(scope))


async def visit_of(request: Request) -> Visit:
    """Return where a request came from; forwarding headers are believed of trusted proxies alone."""
    address = client_address(request.scope, application_of(request).policy.trusted_proxies)
    return Visit(address, header(request.scope, b"user-agent") or "")


App = Annotated[Application, Depends(_running)]
Caller = Annotated[Principal, Depends(caller_of)]
Visitor = Annotated[Visit, Depends(visit_of)]
Limit = Annotated[int, Query(ge=1, le=100, description="How many entries a page holds.")]
Purge = Annotated[bool, Query(description="Erase the content too; the answer counts what went.")]
After = Annotated[str | None, Query(description="The id of the entry after which the page begins.")]

"""What every dialect is made of: a name, routes, its shape of errors, and claims on shared paths.

A dialect is another wire format over the services that `/v1` uses. It holds no rule of its own: what is
wrong with a request, who may do what and what a call does are decided where `/v1` has it decided too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from antiphon.api.dependencies import JsonRoute
from antiphon.api.errors import describe
from antiphon.api.http import ClientGone
from antiphon.api.v1.pages import answer
from antiphon.application import Application
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import AntiphonError, InvalidRequest

Operation = tuple[str, str]
"""A method and a path as it stands in the OpenAPI document."""

Detail = str | list[dict[str, Any]]
"""A sentence; for a 422 the list of what is wrong with which field, as FastAPI has it."""

Shape = Callable[[Detail], dict[str, Any]]
"""Makes the body of an error."""

INTERNAL: Final = "Internal Server Error"
"""What is told of an error that nobody foresaw; the log has the rest."""

UNAUTHENTICATED: Final = (
    "Not authenticated. Send 'Authorization: Bearer …' with an API key, or with a token:"
    " POST /token gives one for a name and password."
)

ERROR: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "An error: a sentence, or for a 422 a list of what is wrong with which field.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["detail"],
                    "properties": {
                        "detail": {
                            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]
                        }
                    },
                }
            }
        },
    }
}
"""The error every operation of a dialect may answer, for the OpenAPI document."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request on a path that several dialects share; body and query are one mapping, the body wins.

    A field that none of them knows is left out, so it decides nothing; but a body of nothing else is shown.
    """

    application: Application
    who: Principal
    request: Request
    fields: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a dialect answers on a path that others have too; the first claim that fits decides.

    `accepts` tells a caller whose request nobody fits what would have, `knows` are the fields it looks at.
    """

    operation: Operation
    knows: frozenset[str]
    accepts: str
    fits: Callable[[Asked], bool]
    answer: Callable[[Asked], Awaitable[Response]]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One older surface: its routes, its tag in the OpenAPI document and what of it asks for no credential.

    `name` is its word in the setting `DIALECTS`. `health` returns what it has `/health` tell besides,
    `refusals` what its clients look for where a path of `/v1`'s refuses a login, beside the error there.
    """

    name: str
    tag: str
    description: str
    router: APIRouter
    shape: Shape
    claims: tuple[Claim, ...] = ()
    open_operations: frozenset[Operation] = frozenset()
    health: Callable[[Application], Awaitable[dict[str, Any]]] | None = None
    refusals: Mapping[Operation, dict[str, Any]] = field(default_factory=dict)


def detail_only(detail: Detail) -> dict[str, Any]:
    """Return an error's body as FastAPI makes it."""
    return {"detail": detail}


class DialectRoute(JsonRoute):
    """A route that answers errors in FastAPI's shape; see `route_of` for others."""

    @staticmethod
    def shape(detail: Detail) -> dict[str, Any]:
        """Return the body of an error."""
        return detail_only(detail)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of all JSON routes."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except ClientGone:
                raise
            except Exception as error:
                return refusal(error, self.shape)

        return handle


def route_of(form: Shape) -> type[DialectRoute]:
    """Return the class of routes whose errors have another shape."""

    class Shaped(DialectRoute):
        @staticmethod
        def shape(detail: Detail) -> dict[str, Any]:
            return form(detail)

    return Shaped


def router_of(tag: str, shape: Shape = detail_only, prefix: str = "") -> APIRouter:
    """Return a dialect's empty router."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=route_of(shape), responses=ERROR)


def refusal(error: Exception, shape: Shape) -> Response:
    """Return any exception as an answer in a dialect's shape."""
    if isinstance(error, RequestValidationError):
        found = [
            {"type": one["type"], "loc": list(one["loc"]), "msg": one["msg"]} for one in error.errors()[:20]
        ]
        return answer(shape(found), status=422)  # never what was sent: it may be a password
    if isinstance(error, HTTPException):
        if not isinstance(error.__cause__, AntiphonError):
            return answer(shape(str(error.detail)), status=error.status_code, headers=_lower(error.headers))
        error = error.__cause__
    status, body, headers = describe(error)
    shown = {key.decode(): value.decode() for key, value in headers}
    message: str = body["error"]["message"]
    if status == 500:
        return answer(shape(INTERNAL), status=500)
    if status == 401 and body["error"]["code"] != "invalid_credentials":
        return answer(shape(UNAUTHENTICATED), status=401, headers=shown)
    if isinstance(error, InvalidRequest):
        place = ["body", *([error.param] if error.param else [])]
        fault = [{"type": error.code or "value_error", "loc": place, "msg": message}]
        return answer(shape(fault), status=422, headers=shown)
    return answer(shape(message), status=status, headers=shown)


def _lower(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}

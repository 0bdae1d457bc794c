"""Putting the dialects that are on beside `/v1`: routes, shared paths, and both spellings of every path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.routing import Match, Route, WebSocketRoute, compile_path

from antiphon.api.dependencies import App, Caller
from antiphon.api.dialects.dialect import (
    Asked,
    Claim,
    Dialect,
    DialectRoute,
    Operation,
    Shape,
    refusal,
    route_of,
    router_of,
)
from antiphon.api.dialects.fields import fields_of
from antiphon.domain.errors import InvalidRequest

SHARED_TAG = "shared paths"
CORE_PATHS = ("/token", "/health", "/docs", "/redoc")
"""Paths of the server's own that the old systems' clients ask for as well."""


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """The dialects of one application. `respell` returns a path as it is declared."""

    dialects: tuple[Dialect, ...]
    routers: tuple[APIRouter, ...]
    respell: Callable[[str], str]

    @property
    def tags(self) -> list[dict[str, str]]:
        """The dialects' entries in the OpenAPI document."""
        return [{"name": one.tag, "description": one.description} for one in self.dialects]

    def shape_of(self, scope: Any) -> Shape | None:
        """Return the shape of errors on a path that only dialects have, None on any other."""
        for router in self.routers:
            for route in router.routes:
                if isinstance(route, DialectRoute) and route.matches(scope)[0] is not Match.NONE:
                    return type(route).shape
        return None

    def refusing(self, scope: Any, error: Exception) -> Response | None:
        """Return the refusal of a request before it is routed; None on a path that not only dialects have."""
        shape = self.shape_of({**scope, "path": self.respell(scope["path"])})
        return refusal(error, shape) if shape is not None else None

    def refusal_of(self, scope: Any) -> dict[str, Any]:
        """Return what the refusal of a login on a path of `/v1`'s holds beside its error."""
        operation = (scope["method"], scope["path"])
        found: dict[str, Any] = {}
        for one in self.dialects:
            found |= one.refusals.get(operation, {})
        return found


def mount(dialects: Sequence[Dialect]) -> Mounted:
    """Return what the given dialects, in order of precedence, add to an application."""
    shared = _shared_router(dialects)
    routers = (*([shared] if shared.routes else []), *(one.router for one in dialects))
    kinds = (Route, WebSocketRoute)
    paths = [route.path for router in routers for route in router.routes if isinstance(route, kinds)]
    if dialects:
        paths += CORE_PATHS
    return Mounted(dialects=tuple(dialects), routers=routers, respell=_respelling(paths))


def _respelling(paths: Iterable[str]) -> Callable[[str], str]:
    """Return how a path is brought to the declared one of its two spellings, with and without a slash.

    Redirects would lose old clients: `curl` without `-L` shows an empty answer. A spelling that is
    declared itself stays as it is.
    """
    patterns = [compile_path(path)[0].pattern for path in paths]
    if not patterns:
        return lambda path: path
    unnamed = (re.sub(r"\(\?P<\w+>", "(?:", pattern) for pattern in patterns)
    known = re.compile("|".join(unnamed)).match

    def respell(path: str) -> str:
        if path.startswith("/v1/") or path == "/" or known(path):
            return path
        other = path[:-1] if path.endswith("/") else f"{path}/"
        return other if known(other) else path

    return respell


# --- paths that several dialects share


def _shared_router(dialects: Sequence[Dialect]) -> APIRouter:
    """Return one route for each operation that is claimed; the first claim that fits a request answers."""
    claims = [(claim, one) for one in dialects for claim in one.claims]
    router = router_of(SHARED_TAG)
    by_operation = sorted(claims, key=lambda pair: pair[0].operation)  # stable: precedence is kept
    for operation, group in groupby(by_operation, key=lambda pair: pair[0].operation):
        _add_shared(router, operation, list(group))
    return router


def _add_shared(router: APIRouter, operation: Operation, claimed: list[tuple[Claim, Dialect]]) -> None:
    method, path = operation
    claims = list(dict.fromkeys(claim for claim, _ in claimed))  # two may have the same call
    tags: list[str | Enum] = list(dict.fromkeys(one.tag for _, one in claimed))
    known = frozenset[str]().union(*(claim.knows for claim in claims))

    async def decide(application: App, who: Caller, request: Request) -> Response:
        fields = await _known_fields(request, known)
        asked = Asked(application=application, who=who, request=request, fields=fields)
        for claim in claims:
            if claim.fits(asked):
                return await claim.answer(asked)
        accepted = "; ".join(claim.accepts for claim in claims)
        raise InvalidRequest(f"This call takes one of: {accepted}.", code="unknown_shape")

    widest = claimed[-1][1].shape  # each later dialect's has more keys
    description = "Takes one of:\n\n" + "\n".join(f"* {claim.accepts}" for claim in claims)
    body = {"content": {"application/json": {"schema": {"type": "object"}}}}
    router.add_api_route(
        path, decide, methods=[method], tags=tags, summary=f"{method} {path}", description=description,
        openapi_extra={"requestBody": body}, responses={201: {"description": "Successful Response"}},
        route_class_override=route_of(widest),
    )  # fmt: skip


async def _known_fields(request: Request, known: frozenset[str]) -> dict[str, Any]:
    """Return the fields that say which call a request is.

    A body of unknown fields alone stays: it is no empty one, and is refused.
    """
    fields = await fields_of(request)
    found = {name: value for name, value in fields.items() if name in known}
    return found or {name: value for name, value in fields.items() if name not in request.query_params}

"""Lists that the older surfaces show whole: the newest hundred, oldest first, with a way to the others."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from antiphon.api.v1.pages import answer
from antiphon.domain.errors import NotFound

T = TypeVar("T")

MOST: Final = 100

Newest = Annotated[int, Query(ge=1, le=MOST, description="How many entries at most, the newest ones.")]
Before = Annotated[str | None, Query(description="The id of an entry: those before it are listed.")]


def listed(request: Request, entries: Sequence[dict[str, Any]], key: str, *, has_more: bool) -> Response:
    """Return a bare list; a `Link` header leads to the entries before it, if there are any."""
    headers = {}
    if has_more and entries:
        query = {**request.query_params, "after": str(entries[0][key])}
        headers["link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
    return answer(list(entries), headers=headers)


async def still_there(entries: Iterable[Awaitable[T]]) -> list[T]:
    """Return what entries tell, one after the other, without those that went since they were listed."""
    found = []
    for one in entries:
        try:
            found.append(await one)
        except NotFound:
            continue
    return found

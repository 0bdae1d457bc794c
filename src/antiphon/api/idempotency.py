"""The `Idempotency-Key` header."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from antiphon.api.http import Scope, header
from antiphon.application import Application
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import Conflict, InvalidRequest
from antiphon.services.idempotency import MAX_KEY_LENGTH, Key, fingerprint
from antiphon.services.kept_answers import KeptAnswers


def key_of(scope: Scope, body: bytes, render: Callable[[Any], bytes] | None = None) -> Key | None:
    """Return the request's key with its fingerprint, None if it sent none."""
    name = header(scope, b"idempotency-key")
    if name is None:
        return None
    if not 1 <= len(name) <= MAX_KEY_LENGTH:
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} characters.", code="invalid_idempotency_key"
        )
    return Key(name, fingerprint(scope["method"], scope["path"], body), render)


async def once(
    application: Application,
    who: Principal,
    key: Key | None,
    render: Callable[[Any], bytes],
    create: Callable[[], Awaitable[Any]],
    *,
    within: str | None = None,
    kept: KeptAnswers | None = None,
) -> bytes:
    """Run a plain creation, or return the answer of the first one under the same key.

    `within` is the conversation it is made in: who has no access to it any more is told nothing.
    `kept` holds the key of a creation in knowledge.
    """
    if key is None:
        return render(await create())
    keys = application.idempotency if kept is None else kept
    if await keys.taken(who, key) is None:
        try:
            return render(await create())
        except Conflict as lost:
            if lost.message != "PutKey":
                raise
    if within is not None:
        await application.conversations.get(who, within)
    return await keys.finished(who, key)

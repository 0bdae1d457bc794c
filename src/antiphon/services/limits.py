"""Setting limits, for administrators. A scope on the wire is `everyone`, or a wire id of whom it names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from antiphon.domain import ids
from antiphon.domain.accounts import GROUP, KEY, USER, Principal, Visit
from antiphon.domain.errors import Conflict, InvalidRequest, Unprocessable
from antiphon.domain.limits import EVERYONE, LIMIT, MAX_AMOUNT, Limit, Metric, Period, new_limit
from antiphon.ports import quota_writes as qw
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.access import not_found
from antiphon.services.audit_lines import audit
from antiphon.services.paging import Page
from antiphon.services.quotas import Quotas

KINDS: Final = {USER: "user", GROUP: "group", KEY: "key"}
_PREFIX: Final = {kind: prefix for prefix, kind in KINDS.items()}


class Limits:
    """The limits of a server; `changed` is called after each change, `defaults` come from configuration."""

    def __init__(
        self, storage: Storage, quotas: Quotas, clock: Clock, changed: Callable[[], Awaitable[None]]
    ) -> None:
        self._storage = storage
        self._quotas = quotas
        self._clock = clock
        self._changed = changed

    async def set(
        self,
        who: Principal,
        scope: str,
        metric: Metric,
        period: Period,
        amount: int,
        *,
        model: str = "",
        visit: Visit | None = None,
    ) -> Limit:
        """Set a limit, in the place of an earlier one on the same thing; raises Unprocessable, NotFound."""
        if not 0 <= amount <= MAX_AMOUNT:
            raise Unprocessable(f"An amount is 0 to {MAX_AMOUNT}.", code="invalid_value", param="amount")
        limit = new_limit(parse_scope(scope), metric, period, amount, model)
        now = self._clock.now_us()
        if not await self._storage.quotas.knows(limit.scope):
            not_found("The scope", scope, param="scope")
        await self._storage.unit_of_work.commit(
            qw.SetLimit(limit=limit, created_us=now),
            audit(
                who, "limit.set", now, target=LIMIT + limit.id, visit=visit, scope=scope, metric=metric,
                period=period, amount=amount, model=model,
            ),
        )  # fmt: skip
        await self._apply()
        return limit

    async def delete(self, who: Principal, wire_id: str, visit: Visit | None = None) -> str:
        """Delete a limit and return its id; raises NotFound, Unprocessable for a configured one."""
        identifier = ids.parse(wire_id, LIMIT)
        target, now = LIMIT + (identifier or ""), self._clock.now_us()
        try:
            await self._storage.unit_of_work.commit(
                qw.DeleteLimit(limit_id=identifier or ""),
                audit(who, "limit.delete", now, target=target, visit=visit),
            )
        except Conflict:
            if any(limit.id == identifier for limit in self._quotas.defaults):
                raise Unprocessable(
                    "This limit comes from the server's configuration; set another in its place.",
                    code="limit_configured",
                ) from None
            not_found("Limit", wire_id)
        await self._apply()
        return identifier or ""

    async def page(self, scope: str | None, *, after: str | None, limit: int) -> Page[Limit]:
        """Return a page of limits, configured ones among them unless another is set in their place."""
        wanted = parse_scope(scope) if scope is not None else None
        cursor = ids.parse(after, LIMIT) if after is not None else ""
        if cursor is None:
            raise InvalidRequest(f"Invalid cursor '{after}'.", code="invalid_cursor", param="after")
        stored = await self._storage.quotas.limits(wanted, after=cursor, limit=limit + 1)
        known = {one.id for one in stored}
        configured = self._quotas.defaults if wanted in (None, EVERYONE) else ()
        found = [*stored, *(one for one in configured if one.id > cursor and one.id not in known)]
        found.sort(key=lambda one: one.id)
        return Page(found[:limit], len(found) > limit)

    async def _apply(self) -> None:
        self._quotas.forget()
        await self._changed()


def parse_scope(shown: str) -> str:
    """Return the scope that `everyone` or a wire id names; raises Unprocessable."""
    if shown == "everyone":
        return EVERYONE
    for prefix, kind in KINDS.items():
        identifier = ids.parse(shown, prefix) if shown.startswith(prefix) else None
        if identifier is not None:
            return f"{kind}:{identifier}"
    raise Unprocessable(
        "A scope is 'everyone' or the id of a user, group or API key.", code="invalid_value", param="scope"
    )


def shown_scope(scope: str) -> str:
    """Return a scope as callers know it."""
    kind, _, identifier = scope.partition(":")
    return "everyone" if scope == EVERYONE else _PREFIX[kind] + identifier

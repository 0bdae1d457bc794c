"""What was used, from the ledger: by day and model, or by user."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import USER, Principal
from antiphon.domain.errors import InvalidRequest, Unprocessable
from antiphon.domain.limits import DAY_US, Limit
from antiphon.domain.usage import UsageSum, UserUsage
from antiphon.ports.clock import Clock
from antiphon.ports.quotas import Counter
from antiphon.ports.storage import Storage
from antiphon.services.access import not_found
from antiphon.services.paging import Page
from antiphon.services.quotas import Quotas

MAX_DAYS: Final = 400
USUAL_DAYS: Final = 30
_EPOCH: Final = date(1970, 1, 1)


class Days(msgspec.Struct, frozen=True):
    """Days in UTC, from the first to the last, both included, counted from 1970."""

    first: int
    last: int

    @property
    def since_us(self) -> int:
        """When they begin."""
        return self.first * DAY_US

    @property
    def until_us(self) -> int:
        """When they have ended."""
        return (self.last + 1) * DAY_US


class Usage:
    """Reads of the ledger."""

    def __init__(self, storage: Storage, quotas: Quotas, clock: Clock) -> None:
        self._storage = storage
        self._quotas = quotas
        self._clock = clock

    def days(self, first: date | None, last: date | None) -> Days:
        """Return the days a caller asks for, the last 30 by default; raises Unprocessable."""
        end = last or datetime.fromtimestamp(self._clock.now_us() / 1_000_000, UTC).date()
        begin = first or max(end - timedelta(days=USUAL_DAYS - 1), _EPOCH)
        days = Days((begin - _EPOCH).days, (end - _EPOCH).days)
        if days.first < 0 or not 0 <= days.last - days.first < MAX_DAYS:
            raise Unprocessable(
                f"Ask for 1 to {MAX_DAYS} days, the first before the last.",
                code="invalid_value",
                param="start",
            )
        return days

    async def own(self, who: Principal, days: Days, *, after: str | None, limit: int) -> Page[UsageSum]:
        """Return a page of the caller's use by day and model."""
        return await self._page(who.actor_id, days, after, limit)

    async def total(self, who: Principal, days: Days) -> list[UsageSum]:
        """Return what the caller used of each model in all these days."""
        return await self._storage.ledger.by_model(who.actor_id, days.since_us, days.until_us)

    async def user(self, wire_id: str) -> Principal:
        """Return the user a wire id names, to look at its use; raises NotFound."""
        identifier = ids.parse(wire_id, USER)
        if identifier is None or not await self._storage.quotas.knows(f"user:{identifier}"):
            not_found("User", wire_id, param="user")
        return Principal(identifier, ids.slot_of(identifier), "")

    async def by_user(self, days: Days, *, after: str | None, limit: int) -> Page[UserUsage]:
        """Return a page of users with what they used of each model."""
        cursor = ids.parse(after, USER) if after is not None else None
        if after is not None and cursor is None:
            raise _invalid_cursor(after)
        found = await self._storage.ledger.by_user(
            days.since_us, days.until_us, after=cursor, limit=limit + 1
        )
        return Page(found[:limit], len(found) > limit)

    async def standing(self, who: Principal) -> list[tuple[Limit, Counter, float]]:
        """Return every limit of the caller with its use and the seconds until it resets."""
        return await self._quotas.standing(await self._quotas.limited(who))

    async def _page(self, account_id: str, days: Days, after: str | None, limit: int) -> Page[UsageSum]:
        found = await self._storage.ledger.by_day(
            account_id, days.since_us, days.until_us, after=_cursor(after), limit=limit + 1
        )
        return Page(found[:limit], len(found) > limit)


def sum_id(one: UsageSum) -> str:
    """Return what names a line of use, e.g. `2026-11-21:openai/gpt-5`."""
    return f"{day_of(one.day)}:{one.model}"


def day_of(day: int) -> date:
    """Return a day counted from 1970 as a date."""
    return _EPOCH + timedelta(days=day)


def _cursor(after: str | None) -> tuple[int, str] | None:
    if after is None:
        return None
    day, _, model = after.partition(":")
    try:
        return (date.fromisoformat(day) - _EPOCH).days, model
    except ValueError:
        raise _invalid_cursor(after) from None


def _invalid_cursor(after: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid cursor '{after}'.", code="invalid_cursor", param="after")

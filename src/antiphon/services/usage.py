"""What was used, from the ledger: by day and model, or by user."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import USER, Principal
from antiphon.domain.errors import InvalidRequest, Unprocessable
from antiphon.domain.limits import DAY_US, Limit
from antiphon.domain.run_events import FILE_SEARCH
from antiphon.domain.runs import Run
from antiphon.domain.usage import UsageBucket, UsageLine, UsageSum, UserUsage
from antiphon.ports.clock import Clock
from antiphon.ports.quotas import Counter
from antiphon.ports.storage import Storage
from antiphon.services.access import Access, not_found
from antiphon.services.paging import Page
from antiphon.services.quotas import Quotas

MAX_DAYS: Final = 400
USUAL_DAYS: Final = 30
MAX_DAYS_BY_HOUR: Final = 31

Bucket = Literal["hour", "day"]
BUCKETS_US: Final[dict[Bucket, int]] = {"hour": DAY_US // 24, "day": DAY_US}
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


class ResponseUsage(msgspec.Struct, frozen=True):
    """What an answer used; `line` is None while it is made, `cost` None for whom the price is no matter.

    `searched` tells whether it has a trace of searches.
    """

    run: Run
    line: UsageLine | None
    cost: int | None
    searched: bool


class Usage:
    """Reads of the ledger."""

    def __init__(self, storage: Storage, access: Access, quotas: Quotas, clock: Clock) -> None:
        self._storage = storage
        self._access = access
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

    async def of_response(self, who: Principal, wire_id: str) -> ResponseUsage:
        """Return what an answer used; its price for who paid it and who owns it. Raises NotFound."""
        run = (await self._access.run(who, wire_id, ids.RESPONSE, ids.CHAT_COMPLETION)).run
        line = await self._storage.ledger.line(run.owner_id, run.id)
        outputs = await self._storage.runs.outputs(run) if run.is_terminal else []
        searched = any(item.type == FILE_SEARCH for item in outputs)
        is_theirs = line is not None and who.actor_id in (line.author_id, run.owner_id)
        return ResponseUsage(run, line, line.cost if line is not None and is_theirs else None, searched)

    async def series(
        self, who: Principal | None, days: Days, bucket: Bucket, *, model: str | None, after: str | None,
        limit: int, together: bool = False,
    ) -> Page[UsageBucket]:  # fmt: skip
        """Return use over time by model, of an account or of all; raises Unprocessable and InvalidRequest.

        With `together` the models are added up, so that a stretch of time is one entry.
        """
        if bucket == "hour" and days.last - days.first >= MAX_DAYS_BY_HOUR:
            raise Unprocessable(
                f"By hours, ask for at most {MAX_DAYS_BY_HOUR} days.", code="invalid_value", param="bucket"
            )
        found = await self._storage.ledger.series(
            who.actor_id if who is not None else None, days.since_us, days.until_us,
            bucket_us=BUCKETS_US[bucket], model=model, after=_bucket_cursor(after), limit=limit + 1,
            together=together,
        )  # fmt: skip
        return Page(found[:limit], len(found) > limit)

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


def bucket_id(one: UsageBucket) -> str:
    """Return what names a stretch of use, e.g. `1795734000:openai/gpt-5`."""
    return f"{one.start_us // 1_000_000}:{one.model}"


def _bucket_cursor(after: str | None) -> tuple[int, str] | None:
    if after is None:
        return None
    seconds, _, model = after.partition(":")
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 11):
        raise _invalid_cursor(after)
    return int(seconds) * 1_000_000, model


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

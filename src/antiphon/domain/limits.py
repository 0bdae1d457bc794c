"""Limits on use: what is counted, over which time, for whom.

A limit's `scope` says whose use is added up: `everyone:` (each account by itself), `user:<account>`,
`key:<key>` or `group:<group>` (all its members together). `model` narrows it to one model's id.
Times are integer microseconds UTC; months and days are those of the calendar in UTC.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

Metric = Literal["requests", "tokens", "cost"]
Period = Literal["minute", "day", "month"]

MINUTE_US: Final = 60_000_000
DAY_US: Final = 24 * 3600 * 1_000_000
EVERYONE: Final = "everyone:"
LIMIT: Final = "lim_"
MONEY: Final = 1_000_000
"""Micro-units in one unit of money."""
MAX_AMOUNT: Final = 10**15

_SPEC = re.compile(r"(requests|tokens|cost)/(minute|day|month)(?:@(\S+))?=(\d{1,12}(?:\.\d{1,6})?)")


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """At most `amount` of a metric in a period; cost in micro-units of money."""

    id: str
    scope: str
    metric: Metric
    period: Period
    amount: int
    model: str = ""

    @property
    def is_rate(self) -> bool:
        """Whether it is kept by the rate limiter, over a moving minute, and not by counters."""
        return self.metric == "requests" and self.period == "minute"

    def applies_to(self, model: str) -> bool:
        """Whether use of `model` (as `provider/model`) counts."""
        return self.model in ("", model)

    def counter(self, account_id: str) -> str:
        """Return the name of the counter this limit is checked on."""
        scope = f"user:{account_id}" if self.scope == EVERYONE else self.scope
        return f"{scope}|{self.model}|{self.metric}|{self.period}"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a caller stands with a limit: what it allows, what is left, and when more comes free."""

    limit: Limit
    remaining: int
    reset_seconds: float


def new_limit(scope: str, metric: Metric, period: Period, amount: int, model: str = "") -> Limit:
    """Return a limit; its id follows from what it limits, so setting it twice is setting it anew."""
    digest = hashlib.sha256("\0".join((scope, metric, period, model)).encode()).hexdigest()
    return Limit(id=digest[:32], scope=scope, metric=metric, period=period, amount=amount, model=model)


def parse_limits(text: str) -> tuple[Limit, ...]:
    """Return the limits for everyone that `metric/period[@model]=amount, …` names; raises ValueError."""
    found: dict[str, Limit] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _SPEC.fullmatch(part)
        if match is None or (match[1] != "cost" and "." in match[4]):
            raise ValueError(f"'{part}' is no limit; write e.g. requests/minute=60 or cost/month=10.50")
        whole, _, rest = match[4].partition(".")
        amount = int(whole) * MONEY + int(rest.ljust(6, "0")) if match[1] == "cost" else int(whole)
        made = new_limit(EVERYONE, match[1], match[2], amount, match[3] or "")  # type: ignore[arg-type]
        found[made.id] = made
    return tuple(found.values())


def applying(stored: Iterable[Limit], defaults: Iterable[Limit]) -> tuple[Limit, ...]:
    """Return which of the limits found for a caller hold.

    A stored limit for everyone takes the place of the configured one, and the user's own that of
    everyone's; those of its group and key hold besides.
    """
    ranked = [(0, limit) for limit in defaults]
    ranked += [(1 if limit.scope == EVERYONE else 2, limit) for limit in stored]
    held: dict[tuple[str, str, str, str], Limit] = {}
    for _, limit in sorted(ranked, key=lambda entry: entry[0]):
        own = limit.scope == EVERYONE or limit.scope.startswith("user:")
        held["" if own else limit.scope, limit.metric, limit.period, limit.model] = limit
    return tuple(held.values())


def tightest(standings: Iterable[Standing]) -> dict[str, Standing]:
    """Return, of each metric, the standing with the least left."""
    found: dict[str, Standing] = {}
    for one in standings:
        known = found.get(one.limit.metric)
        if known is None or one.remaining < known.remaining:
            found[one.limit.metric] = one
    return found


def window_start(period: Period, now_us: int) -> int:
    """Return when the period that holds `now_us` began."""
    if period == "minute":
        return now_us - now_us % MINUTE_US
    if period == "day":
        return now_us - now_us % DAY_US
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC)
    return int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp()) * 1_000_000


def window_end(period: Period, now_us: int) -> int:
    """Return when the period that holds `now_us` ends."""
    start = window_start(period, now_us)
    if period == "minute":
        return start + MINUTE_US
    if period == "day":
        return start + DAY_US
    return window_start("month", start + 32 * DAY_US)

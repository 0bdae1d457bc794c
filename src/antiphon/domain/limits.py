"""Limits on use: what is counted, over which time, for whom.

A limit's `scope` says whose use is added up: `everyone:` (each account by itself), `user:<account>`,
`key:<key>` or `group:<group>` (all its members together). `model` narrows it to one model's id.
Times are integer microseconds UTC; months and days are those of the calendar in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

Metric = Literal["requests", "tokens", "cost"]
Period = Literal["minute", "day", "month"]

MINUTE_US: Final = 60_000_000
DAY_US: Final = 24 * 3600 * 1_000_000
EVERYONE: Final = "everyone:"


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """At most `amount` of a metric in a period; cost in micro-units of money."""

    id: str
    scope: str
    metric: Metric
    period: Period
    amount: int
    model: str = ""

    def applies_to(self, model: str) -> bool:
        """Whether use of `model` (as `provider/model`) counts."""
        return self.model in ("", model)

    def counter(self, account_id: str) -> str:
        """Return the name of the counter this limit is checked on."""
        scope = f"user:{account_id}" if self.scope == EVERYONE else self.scope
        return f"{scope}|{self.model}|{self.metric}|{self.period}"


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

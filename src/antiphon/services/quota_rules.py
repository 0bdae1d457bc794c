"""How much a run must reserve on each counter, and what to say if that is not left: pure rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from antiphon.domain.errors import RateLimited
from antiphon.domain.limits import DAY_US, MINUTE_US, MONEY, Limit, Standing, window_end
from antiphon.domain.usage import Price, Usage
from antiphon.ports import quota_writes as qw
from antiphon.ports.quotas import Counter
from antiphon.services.model_routes import ModelRoute

LEAST_ANSWER: Final = 64
"""Tokens below which a rest is not worth an answer."""

HELD_SECONDS: Final = 5.0
"""When to come back if only running answers hold what is missing."""

KEPT_US: Final = {"minute": 60 * MINUTE_US, "day": 40 * DAY_US, "month": 400 * DAY_US}
"""How long the counters of past windows stay."""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What one run asks for: tokens in, and of each of its `choices` tokens out."""

    route: ModelRoute
    input_tokens: int
    answer_tokens: int
    choices: int

    @property
    def least_answer(self) -> int:
        """The shortest answer worth beginning."""
        return min(self.answer_tokens, LEAST_ANSWER)


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """A limit with its counter's present window."""

    limit: Limit
    counter: str
    window_start: int
    reset_seconds: float

    def price(self, route: ModelRoute) -> Price | None:
        """Return the highest prices of the models this limit counts, None if it counts none of them."""
        found = [one.price for one in (route, *route.fallbacks) if self.limit.applies_to(one.id)]
        if not found:
            return None
        return Price(
            max(price.input_per_million for price in found), max(price.output_per_million for price in found)
        )

    def bounds_answer(self, route: ModelRoute) -> bool:
        """Whether it limits how long an answer may be."""
        price = self.price(route)
        if price is None or self.limit.metric == "requests":
            return False
        return self.limit.metric == "tokens" or price.output_per_million > 0

    def standing(self, remaining: int) -> Standing:
        """Return how a caller stands with it."""
        return Standing(limit=self.limit, remaining=max(remaining, 0), reset_seconds=self.reset_seconds)


def amount(need: Need, one: Counted, answer_tokens: int) -> int:
    """Return what a run with answers of that length must reserve on a counter, 0 if it is not counted."""
    price = one.price(need.route)
    if price is None:
        return 0
    if one.limit.metric == "requests":
        return 1
    tokens = Usage(need.input_tokens, answer_tokens * need.choices)
    return tokens.total_tokens if one.limit.metric == "tokens" else price.cost(tokens)


def fits(need: Need, one: Counted, left: int) -> bool:
    """Whether all that is asked for is left."""
    return amount(need, one, need.answer_tokens) <= left


def answer_within(need: Need, counted: Sequence[Counted], left: Mapping[str, int]) -> int | None:
    """Return the longest answer that all counters leave room for, None if that is too short."""
    answer = need.answer_tokens
    for one in counted:
        room = left[one.counter]
        if fits(need, one, room):
            continue
        if amount(need, one, need.least_answer) > room:
            return None
        if one.limit.metric == "tokens":
            answer = min(answer, (room - need.input_tokens) // need.choices)
        elif (price := one.price(need.route)) is not None:
            rest = room * MONEY - need.input_tokens * price.input_per_million
            answer = min(answer, rest // price.output_per_million // need.choices)
    return answer


def reservations(
    run_id: str, need: Need, answer_tokens: int, counted: Sequence[Counted], now_us: int
) -> Iterator[qw.Reserve]:
    """Yield the commands that reserve for a run; what costs nothing needs none."""
    for one in counted:
        wanted = amount(need, one, answer_tokens)
        if wanted > 0:
            yield qw.Reserve(
                run_id=run_id,
                counter=one.counter,
                window_start=one.window_start,
                metric=one.limit.metric,
                model=one.limit.model,
                amount=wanted,
                limit=one.limit.amount,
                now_us=now_us,
                forget_before=one.window_start - KEPT_US[one.limit.period],
            )


def refusal(
    need: Need,
    counted: Sequence[Counted],
    counters: Sequence[Counter],
    left: Mapping[str, int],
    rates: Sequence[Standing],
    now_us: int,
) -> RateLimited:
    """Return the error that names the limit which lets the caller wait longest."""
    least = [
        (one, amount(need, one, need.least_answer), used) for one, used in zip(counted, counters, strict=True)
    ]
    short = [entry for entry in least if entry[1] > left[entry[0].counter]]
    one, wanted, state = max(short, key=lambda entry: entry[0].reset_seconds)
    limit = one.limit
    held = wanted <= limit.amount - state.used
    wait = min(one.reset_seconds, HELD_SECONDS) if held else one.reset_seconds
    reset = datetime.fromtimestamp(window_end(limit.period, now_us) // 1_000_000, UTC)
    about = f" for {limit.model}" if limit.model else ""
    if wanted > limit.amount:
        reason = f"This request needs at least {_quantity(limit, wanted)} of them."
    elif held:
        reason = "The rest is held by answers that are being made; try again when they have ended."
    else:
        reason = f"{_quantity(limit, max(limit.amount - state.used, 0))} of them are left."
    return RateLimited(
        f"You are limited to {_named(limit)} per {limit.period}{about}; the limit resets at"
        f" {reset:%Y-%m-%d %H:%M} UTC. {reason}",
        retry_after_seconds=wait,
        code="rate_limit_exceeded" if limit.period == "minute" else "insufficient_quota",
        standings=(*rates, *(each.standing(left[each.counter]) for each in counted)),
    )


def _named(limit: Limit) -> str:
    number = _quantity(limit, limit.amount)
    return f"a cost of {number}" if limit.metric == "cost" else f"{number} {limit.metric}"


def _quantity(limit: Limit, value: int) -> str:
    return f"{value / MONEY:.6f}".rstrip("0").rstrip(".") if limit.metric == "cost" else str(value)

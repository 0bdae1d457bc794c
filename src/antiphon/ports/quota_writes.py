"""Commands on limits, and on the counters that hold runs to them.

A run reserves what it may use at most in the commit that begins it, and settles what it used in
the one that ends it. Counter = used + reserved, checked when something is reserved.
"""

from __future__ import annotations

from typing import ClassVar

from antiphon.domain.limits import Limit, Metric
from antiphon.ports.write_sets import Command


class SetLimit(Command, frozen=True, kw_only=True):
    """Store a limit, in the place of an earlier one on the same thing."""

    limit: Limit
    created_us: int


class DeleteLimit(Command, frozen=True, kw_only=True):
    """Delete a limit; lost if there is none."""

    GUARD: ClassVar[bool] = True
    limit_id: str


class Reserve(Command, frozen=True, kw_only=True):
    """Reserve `amount` on a counter for a run; lost if used and reserved would exceed `limit`.

    Of a limit on one model only use of `model` is settled. The counter's windows that began before
    `forget_before` are erased, unless something is still reserved there.
    """

    GUARD: ClassVar[bool] = True
    run_id: str
    counter: str
    window_start: int
    metric: Metric
    model: str
    amount: int
    limit: int
    now_us: int
    forget_before: int


class Settle(Command, frozen=True, kw_only=True):
    """Turn what a run reserved into what it used; nothing happens the second time.

    `model` is the one that answered, as `provider/model`; cost in micro-units of money.
    """

    run_id: str
    model: str
    tokens: int
    cost: int


class Release(Command, frozen=True, kw_only=True):
    """Give back what a run reserved; nothing happens if it reserved nothing or has settled."""

    run_id: str

"""Limits and counters as SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from antiphon.ports import quota_writes as qw
from antiphon.storage.sql.steps import Compiler, Step

SET_LIMIT: Final = (
    "INSERT INTO limits (id,scope,model,metric,period,amount,created) VALUES (?,?,?,?,?,?,?)"
    " ON CONFLICT (id) DO UPDATE SET amount=excluded.amount"
)


def _set_limit(c: qw.SetLimit) -> Iterator[Step]:
    n = c.limit
    yield SET_LIMIT, (n.id, n.scope, n.model, n.metric, n.period, n.amount, c.created_us), None


def _delete_limit(c: qw.DeleteLimit) -> Iterator[Step]:
    yield "DELETE FROM limits WHERE id=?", (c.limit_id,), 1


def forget_scope(scope: str, condition: str = "", *values: str) -> Iterator[Step]:
    """Delete a scope's limits and counters, under a condition; reservations end with their runs.

    A counter is named by its scope, a bar and what is counted. The brace comes next after the bar.
    """
    yield f"DELETE FROM limits WHERE scope=? {condition}", (scope, *values), None
    yield (
        f"DELETE FROM quota_counters WHERE counter>=? AND counter<? {condition}",
        (scope + "|", scope + "}", *values),
        None,
    )


# The first condition guards the first reservation in a window, the second all later ones.
RESERVE: Final = (
    "INSERT INTO quota_counters (counter,window_start,used,reserved)"
    " SELECT ?,?,0,? WHERE CAST(? AS BIGINT)<=?"
    " ON CONFLICT (counter,window_start) DO UPDATE SET reserved=quota_counters.reserved+excluded.reserved"
    " WHERE quota_counters.used+quota_counters.reserved+excluded.reserved<=?"
)
PUT_RESERVATION: Final = (
    "INSERT INTO quota_reservations (run_id,counter,window_start,metric,model,amount,created)"
    " VALUES (?,?,?,?,?,?,?)"
)
FORGET_WINDOWS: Final = "DELETE FROM quota_counters WHERE counter=? AND window_start<? AND reserved=0"


def _reserve(c: qw.Reserve) -> Iterator[Step]:
    yield RESERVE, (c.counter, c.window_start, c.amount, c.amount, c.limit, c.limit), 1
    yield (
        PUT_RESERVATION,
        (c.run_id, c.counter, c.window_start, c.metric, c.model, c.amount, c.now_us),
        1,
    )
    yield FORGET_WINDOWS, (c.counter, c.forget_before), None


SETTLE: Final = (
    "UPDATE quota_counters SET reserved=quota_counters.reserved-r.amount, used=quota_counters.used+CASE"
    " WHEN r.model NOT IN ('',?) THEN 0 WHEN r.metric='tokens' THEN CAST(? AS BIGINT)"
    " WHEN r.metric='cost' THEN CAST(? AS BIGINT) ELSE 1 END"
    " FROM quota_reservations r WHERE r.run_id=? AND quota_counters.counter=r.counter"
    " AND quota_counters.window_start=r.window_start"
)
RELEASE: Final = (
    "UPDATE quota_counters SET reserved=quota_counters.reserved-r.amount FROM quota_reservations r"
    " WHERE r.run_id=? AND quota_counters.counter=r.counter AND quota_counters.window_start=r.window_start"
)
DROP_RESERVATIONS: Final = "DELETE FROM quota_reservations WHERE run_id=?"


def _settle(c: qw.Settle) -> Iterator[Step]:
    yield SETTLE, (c.model, c.tokens, c.cost, c.run_id), None
    yield DROP_RESERVATIONS, (c.run_id,), None


def _release(c: qw.Release) -> Iterator[Step]:
    yield RELEASE, (c.run_id,), None
    yield DROP_RESERVATIONS, (c.run_id,), None


COMPILERS: Final[dict[type, Compiler]] = {
    qw.SetLimit: _set_limit, qw.DeleteLimit: _delete_limit, qw.Reserve: _reserve, qw.Settle: _settle,
    qw.Release: _release,
}  # fmt: skip

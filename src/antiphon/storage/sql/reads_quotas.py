"""Reads of limits, counters and the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from antiphon.domain.limits import DAY_US, EVERYONE, Limit
from antiphon.domain.usage import UsageSum, UserUsage
from antiphon.ports.quotas import Counter, CounterKey
from antiphon.storage.sql.database import Db

LIMIT: Final = "id,scope,model,metric,period,amount"
# What came from the response cache used no tokens.
SUMS: Final = (
    "COUNT(*),CAST(SUM((1-cached)*tokens_in) AS BIGINT),CAST(SUM((1-cached)*tokens_out) AS BIGINT),"
    "CAST(SUM((1-cached)*tokens_cached) AS BIGINT),CAST(SUM((1-cached)*tokens_reasoning) AS BIGINT),"
    "CAST(SUM(cost) AS BIGINT)"
)
COUNTERS: Final = "SELECT counter,window_start,used,reserved FROM quota_counters WHERE "
COUNTER: Final = "counter=? AND window_start=?"
ABANDONED: Final = (
    "SELECT DISTINCT q.run_id FROM quota_reservations q LEFT JOIN runs r ON r.id=q.run_id"
    " WHERE q.run_id>? AND q.created<? AND (r.id IS NULL OR r.state NOT IN ('queued','in_progress'))"
    " ORDER BY q.run_id LIMIT ?"
)
USAGE: Final = (
    f"SELECT created/{DAY_US} AS day,model,{SUMS} FROM ledger WHERE author_id=? AND created>=? AND created<?"
)
# A limit set on what is about to go, or never comes back, would be there for nobody.
_HOLDER: Final = {
    "user": "SELECT 1 FROM accounts WHERE deleted IS NULL AND id=?",
    "group": "SELECT 1 FROM groups WHERE id=?",
    "key": "SELECT 1 FROM api_keys WHERE revoked IS NULL AND id=?",
}


def _limit(row: Any) -> Limit:
    return Limit(id=row[0], scope=row[1], model=row[2], metric=row[3], period=row[4], amount=row[5])


def limits_for(db: Db, scopes: Sequence[str]) -> list[Limit]:
    """See port `Quotas.limits_for`."""
    marks = ",".join("?" * len(scopes))
    found = db.execute(f"SELECT {LIMIT} FROM limits WHERE scope IN ({marks}) ORDER BY id", tuple(scopes))
    return [_limit(row) for row in found]


def limits(db: Db, scope: str | None, after: str | None, limit: int) -> list[Limit]:
    """See port `Quotas.limits`."""
    where = " AND scope=?" if scope is not None else ""
    found = db.execute(
        f"SELECT {LIMIT} FROM limits WHERE id>?{where} ORDER BY id LIMIT ?",
        (after or "", *([scope] if scope is not None else []), limit),
    )
    return [_limit(row) for row in found]


def knows(db: Db, scope: str) -> bool:
    """See port `Quotas.knows`."""
    if scope == EVERYONE:
        return True
    kind, _, identifier = scope.partition(":")
    return db.execute(_HOLDER[kind], (identifier,)).fetchone() is not None


def counters(db: Db, keys: Sequence[CounterKey]) -> list[Counter]:
    """See port `Quotas.counters`."""
    if not keys:
        return []
    # One statement, so that all of them are of one moment.
    rows = db.execute(
        COUNTERS + " OR ".join([COUNTER] * len(keys)), tuple(part for key in keys for part in key)
    )
    found = {(row[0], row[1]): Counter(row[2], row[3]) for row in rows}
    return [found.get((key[0], key[1]), Counter()) for key in keys]


def abandoned(db: Db, before_us: int, after: str, limit: int) -> list[str]:
    """See port `Quotas.abandoned`."""
    return [row[0] for row in db.execute(ABANDONED, (after, before_us, limit))]


def _sum(day: int, row: Any) -> UsageSum:
    model, requests, tokens_in, tokens_out, cached, reasoning, cost = row
    return UsageSum(
        day=day, model=model, requests=requests, input_tokens=tokens_in, output_tokens=tokens_out,
        cached_tokens=cached, reasoning_tokens=reasoning, cost=cost,
    )  # fmt: skip


def by_day(
    db: Db, author_id: str, since_us: int, until_us: int, after: tuple[int, str] | None, limit: int
) -> list[UsageSum]:
    """See port `Ledger.by_day`."""
    day, model = after or (since_us // DAY_US, "")
    found = db.execute(
        f"{USAGE} AND (created/{DAY_US},model)>(?,?) GROUP BY 1,2 ORDER BY 1,2 LIMIT ?",
        (author_id, max(since_us, day * DAY_US), until_us, day, model, limit),
    )
    return [_sum(row[0], row[1:]) for row in found]


def by_user(db: Db, since_us: int, until_us: int, after: str | None, limit: int) -> list[UserUsage]:
    """See port `Ledger.by_user`."""
    accounts = db.execute(
        "SELECT id,name FROM accounts WHERE id>? ORDER BY id LIMIT ?", (after or "", limit)
    ).fetchall()
    return [
        UserUsage(account_id=identifier, name=name, models=by_model(db, identifier, since_us, until_us))
        for identifier, name in accounts
    ]


def by_model(db: Db, author_id: str, since_us: int, until_us: int) -> list[UsageSum]:
    """See port `Ledger.by_model`."""
    found = db.execute(
        f"SELECT model,{SUMS} FROM ledger WHERE author_id=? AND created>=? AND created<?"
        " GROUP BY 1 ORDER BY 1",
        (author_id, since_us, until_us),
    )
    return [_sum(since_us // DAY_US, row) for row in found]

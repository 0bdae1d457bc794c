"""Reads of the ledger over time, and of single lines; see port `Ledger`."""

from __future__ import annotations

from typing import Any, Final

from antiphon.domain.usage import Usage, UsageBucket, UsageLine
from antiphon.storage.sql.database import Db

LINE: Final = (
    "run_id,author_id,provider,model,state,tokens_in,tokens_out,tokens_cached,tokens_reasoning,estimated,cost,"
    "cached,created,latency"
)
OF_ONE: Final = "SELECT l.* FROM ledger l WHERE l.author_id=? AND l.created>=? AND l.created<?"
AUTHORS: Final = (
    "w(id) AS (SELECT MIN(author_id) FROM ledger UNION ALL"
    " SELECT (SELECT MIN(n.author_id) FROM ledger n WHERE n.author_id>w.id) FROM w WHERE w.id IS NOT NULL),"
)
"""All who are in the ledger, found one after the other by its index."""

OF_ALL: Final = (
    "SELECT l.* FROM w CROSS JOIN ledger l WHERE l.author_id=w.id AND l.created>=? AND l.created<?"
)
# What came from the response cache used no tokens.
SERIES: Final = (
    "WITH RECURSIVE {authors} lines AS ({lines}{model}), ranked AS (SELECT {bucket} AS bucket,"
    "{named} AS model,state,cached,tokens_in,tokens_out,tokens_cached,tokens_reasoning,cost,latency,"
    "ROW_NUMBER() OVER (PARTITION BY {bucket}{apart} ORDER BY latency) AS place,"
    "COUNT(*) OVER (PARTITION BY {bucket}{apart}) AS many FROM lines)"
    " SELECT bucket,model,COUNT(*),CAST(SUM(CASE WHEN state='failed' THEN 1 ELSE 0 END) AS BIGINT),"
    "CAST(SUM((1-cached)*tokens_in) AS BIGINT),CAST(SUM((1-cached)*tokens_out) AS BIGINT),"
    "CAST(SUM((1-cached)*tokens_cached) AS BIGINT),CAST(SUM((1-cached)*tokens_reasoning) AS BIGINT),"
    "CAST(SUM(cost) AS BIGINT),MIN(CASE WHEN place*100>=many*50 THEN latency END),"
    "MIN(CASE WHEN place*100>=many*95 THEN latency END)"
    " FROM ranked WHERE (bucket,model)>(?,?) GROUP BY bucket,model ORDER BY bucket,model LIMIT ?"
)


def line(db: Db, owner_id: str, run_id: str) -> UsageLine | None:
    """See port `Ledger.line`."""
    row = db.execute(
        f"SELECT {LINE} FROM ledger WHERE owner_id=? AND run_id=?", (owner_id, run_id)
    ).fetchone()
    if row is None:
        return None
    return UsageLine(
        run_id=row[0], author_id=row[1], provider=row[2], model=row[3], state=row[4],
        usage=Usage(row[5], row[6], row[7], row[8], bool(row[9])), cost=row[10], cached=bool(row[11]),
        created_us=row[12], latency_us=row[13],
    )  # fmt: skip


def series(
    db: Db, author_id: str | None, since_us: int, until_us: int, bucket_us: int, model: str | None,
    after: tuple[int, str] | None, limit: int, together: bool,
) -> list[UsageBucket]:  # fmt: skip
    """See port `Ledger.series`: percentiles by nearest rank."""
    first, seen = after or (since_us // bucket_us * bucket_us, "")
    since_us = max(since_us, first)
    statement = SERIES.format(
        authors="" if author_id is not None else AUTHORS,
        lines=OF_ALL if author_id is None else OF_ONE,
        model=" AND l.model=?" if model is not None else "",
        bucket=f"created/{bucket_us}",
        named="''" if together else "model",
        apart="" if together else ",model",
    )
    values: list[Any] = [] if author_id is None else [author_id]
    values += [since_us, until_us, *([] if model is None else [model])]
    # All models together have the name "", which is after no name: the first page begins a stretch earlier.
    values += [first // bucket_us - (together and after is None), seen, limit]
    return [
        UsageBucket(
            start_us=row[0] * bucket_us, model=row[1], requests=row[2], errors=row[3], input_tokens=row[4],
            output_tokens=row[5], cached_tokens=row[6], reasoning_tokens=row[7], cost=row[8], p50_us=row[9],
            p95_us=row[10],
        )
        for row in db.execute(statement, tuple(values))
    ]  # fmt: skip

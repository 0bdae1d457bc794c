"""Statements of a write set that go to PostgreSQL together, in one round trip.

Of a turn's processor time a statement's way there and back is the larger part. Statements of one group are
the parts of one `WITH`, which PostgreSQL runs on one snapshot and in no promised order
(https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING). So a group holds only
what cannot tell: no statement of it changes or reads what another one before it has changed. Only inserts of
given values may go into the same table.

Write sets that share no key (see `postgres_locks`) are lanes: what stands at the same place of each goes
together, for they change the same tables but never the same rows of those in `OWN`.

A group that was refused tells not whose guard it was; it is undone, and its set written one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Final

import msgspec

from antiphon.storage.sql.postgres_pool import Session
from antiphon.storage.sql.postgres_text import bound, translated
from antiphon.storage.sql.steps import Step

MOST: Final = 12
"""Statements of a lane's group: a set of many items would make a form of its own for each number of them."""
MOST_OF_LANES: Final = 32
"""Statements of a group of several lanes."""

OWN: Final = frozenset(
    {
        "branches",
        "conversation_changes",
        "conversations",
        "items",
        "journal",
        "ledger",
        "run_chunks",
        "runs",
        "segments",
    }
)
"""Tables each row of which belongs to one conversation, run or server."""

SHAPES: Final = 1_024

_WRITES: Final = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)")
_TABLE: Final = re.compile(r"\b(?:FROM|JOIN|USING)\s+(\w+)")
_PLACE: Final = re.compile(r"\$(\d+)")


class Refused(Exception):
    """A statement of a group touched fewer rows than it must."""


class Look(msgspec.Struct, frozen=True):
    """What a statement changes and reads; `alone` if it goes with no other."""

    writes: str
    reads: frozenset[str]
    inserts: bool
    alone: bool


@lru_cache(SHAPES)
def look(text: str) -> Look:
    """Look at a statement in PostgreSQL's form."""
    found = _WRITES.match(text)
    if found is None or "RETURNING" in text:
        return Look("", frozenset(), False, True)
    rest = text[found.end() :]
    reads = frozenset(_TABLE.findall(rest))
    inserts = found[1] == "INSERT INTO" and not reads and "ON CONFLICT" not in rest
    return Look(found[2], reads if inserts else reads | {found[2]}, inserts, False)


def grouped(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Yield steps in groups, in their order."""
    group: list[Step] = []
    written: dict[str, bool] = {}  # by table, whether by inserts alone
    for step in steps:
        seen = look(translated(step[0]).text)
        shared = written.get(seen.writes)
        fits = (
            not seen.alone
            and len(group) < MOST
            and (shared is None or (shared and seen.inserts))
            and seen.reads.isdisjoint(written)
        )
        if group and not fits:
            yield group
            group, written = [], {}
        group.append(step)
        if seen.alone:
            yield group
            group = []
        else:
            written[seen.writes] = seen.inserts
    if group:
        yield group


def side_by_side(lanes: Iterable[Iterable[Step]]) -> Iterator[list[Step]]:
    """Yield the steps of lanes in groups; each lane's are in its order."""
    for stage in zip_longest(*(grouped(lane) for lane in lanes), fillvalue=()):
        group: list[Step] = []
        written: dict[str, bool] = {}  # as above, of tables that lanes share
        # In one order, so that the same statements make the same form whoever comes first.
        for part in sorted(filter(None, stage), key=_texts):
            seen = [look(translated(step[0]).text) for step in part]
            if group and not _fit(seen, written, MOST_OF_LANES - len(group)):
                yield group
                group, written = [], {}
            group += part
            written |= {one.writes: one.inserts for one in seen if one.writes not in OWN}
            if seen[0].alone:
                yield group
                group, written = [], {}
        if group:
            yield group


def _texts(part: Sequence[Step]) -> list[str]:
    return [step[0] for step in part]


def _fit(seen: Sequence[Look], written: dict[str, bool], room: int) -> bool:
    if len(seen) > room or seen[0].alone:
        return False
    return all(
        (one.writes not in written or (one.inserts and written[one.writes]))
        and (one.reads - OWN).isdisjoint(written)
        for one in seen
    )


@lru_cache(SHAPES)
def combined(texts: tuple[str, ...]) -> str:
    """Return the statement that runs several and answers with the rows each has touched."""
    parts, first = [], 0
    for number, text in enumerate(texts):
        most = max(map(int, _PLACE.findall(text)), default=0)
        moved = _PLACE.sub(lambda place, first=first: f"${int(place[1]) + first}", text)  # type: ignore[misc]
        parts.append(f"w{number} AS ({moved} RETURNING 1)")
        first += most
    counts = ",".join(f"(SELECT COUNT(*) FROM w{number})" for number in range(len(texts)))
    return f"WITH {','.join(parts)} SELECT {counts}"


async def run_group(connection: Session, group: list[Step]) -> None:
    """Run the steps of a group; raises Refused, or what the driver raises."""
    forms = [translated(statement) for statement, _, _ in group]
    values: list[Any] = []
    for form, (_, parameters, _) in zip(forms, group, strict=True):
        values += bound(form, parameters)
    (counts,) = await connection.fetch(combined(tuple(form.text for form in forms)), *values)
    for rows, (_, _, expect) in zip(counts, group, strict=True):
        if expect is not None and rows < expect:
            raise Refused

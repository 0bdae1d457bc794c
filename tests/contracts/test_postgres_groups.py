"""Which statements may go to PostgreSQL together: only such as cannot tell."""

from __future__ import annotations

import pytest

from antiphon.storage.sql.postgres_groups import MOST, MOST_OF_LANES, combined, grouped, side_by_side
from antiphon.storage.sql.postgres_writer import lanes_of
from antiphon.storage.sql.steps import Step

INSERT_A = "INSERT INTO a (x) VALUES (?)"
INSERT_B = "INSERT INTO b (x) VALUES (?)"
UPSERT_A = "INSERT INTO a (x) VALUES (?) ON CONFLICT (x) DO NOTHING"
UPDATE_A = "UPDATE a SET x=? WHERE id=?"
UPDATE_B_BY_A = "UPDATE b SET x=? WHERE EXISTS (SELECT 1 FROM a WHERE a.id=b.id)"
DELETE_B_BY_A = "DELETE FROM b WHERE id IN (SELECT c.id FROM c JOIN a ON a.id=c.id)"
FILL_B_FROM_A = "INSERT INTO b (x) SELECT x FROM a WHERE id=?"
RETURNING = "UPDATE c SET x=? WHERE id=? RETURNING x"


def groups_of(*statements: str) -> list[int]:
    steps: list[Step] = [(statement, (), None) for statement in statements]
    found = list(grouped(steps))
    assert [step for group in found for step in group] == steps
    return [len(group) for group in found]


@pytest.mark.parametrize(
    ("statements", "sizes"),
    [
        ((INSERT_A, INSERT_B), [2]),
        ((INSERT_A, INSERT_A), [2]),
        ((INSERT_A, UPDATE_A), [1, 1]),
        ((UPDATE_A, INSERT_A), [1, 1]),
        ((UPDATE_A, UPDATE_A), [1, 1]),
        ((UPSERT_A, UPSERT_A), [1, 1]),
        ((UPDATE_A, UPDATE_B_BY_A), [1, 1]),
        ((INSERT_A, DELETE_B_BY_A), [1, 1]),
        ((INSERT_A, FILL_B_FROM_A), [1, 1]),
        ((UPDATE_B_BY_A, UPDATE_A), [2]),
        ((FILL_B_FROM_A, INSERT_B), [1, 1]),
        ((INSERT_A, RETURNING, INSERT_B), [1, 1, 1]),
        ((INSERT_A,) * (MOST + 1), [MOST, 1]),
        ((), []),
    ],
)
def test_no_statement_of_a_group_sees_what_one_before_it_changed(
    statements: tuple[str, ...], sizes: list[int]
) -> None:
    assert groups_of(*statements) == sizes


def test_places_are_numbered_on() -> None:
    text = combined(("INSERT INTO a (x,y) VALUES ($1,$2)", "UPDATE b SET x=$2 WHERE y=$1 OR z=$1"))
    assert text == (
        "WITH w0 AS (INSERT INTO a (x,y) VALUES ($1,$2) RETURNING 1),"
        "w1 AS (UPDATE b SET x=$4 WHERE y=$3 OR z=$3 RETURNING 1)"
        " SELECT (SELECT COUNT(*) FROM w0),(SELECT COUNT(*) FROM w1)"
    )


OPEN = "INSERT INTO runs (id) VALUES (?)"
PUT = "INSERT INTO items (id) VALUES (?) ON CONFLICT (id) DO NOTHING"
MOVE = "UPDATE branches SET run_id=? WHERE id=? AND EXISTS (SELECT 1 FROM runs r WHERE r.id=?)"
COUNT = "UPDATE counters SET used=used+? WHERE id=?"
TURN = (OPEN, PUT, MOVE)


@pytest.mark.parametrize(
    ("lanes", "groups"),
    [
        ([TURN], [[OPEN, PUT], [MOVE]]),
        ([TURN, TURN], [[OPEN, PUT, OPEN, PUT], [MOVE, MOVE]]),
        ([TURN, ()], [[OPEN, PUT], [MOVE]]),
        ([(PUT,), (OPEN,)], [[PUT, OPEN]]),
        ([(OPEN,), (PUT,)], [[PUT, OPEN]]),
        ([(COUNT,), (COUNT, OPEN)], [[COUNT], [COUNT, OPEN]]),
        ([(RETURNING, OPEN), (PUT,)], [[PUT], [RETURNING], [OPEN]]),
        ([(OPEN,)] * (MOST_OF_LANES + 1), [[OPEN] * MOST_OF_LANES, [OPEN]]),
        ([], []),
    ],
)
def test_lanes_go_side_by_side_but_for_the_rows_they_share(
    lanes: list[tuple[str, ...]], groups: list[list[str]]
) -> None:
    """Same statements make the same groups whoever comes first, and each lane keeps its order."""
    found = side_by_side([(statement, (), None) for statement in lane] for lane in lanes)
    assert [[step[0] for step in group] for group in found] == groups


def test_sets_that_share_a_key_follow_each_other() -> None:
    steps: list[list[Step]] = [[(f"INSERT INTO t{n} (x) VALUES (?)", (n,), None)] for n in range(5)]
    sets = [({"a"}, steps[0]), ({"b"}, steps[1]), (set[str](), steps[2]), ({"c"}, steps[3])]
    joined = [*sets, ({"b", "c"}, steps[4])]
    assert lanes_of(sets) == steps[:4]
    assert lanes_of(joined) == [steps[0], [*steps[1], *steps[3], *steps[4]], steps[2]]
    # What joined two lanes is known of both from then on.
    assert lanes_of([*joined, ({"c"}, steps[0])])[1] == [*steps[1], *steps[3], *steps[4], *steps[0]]

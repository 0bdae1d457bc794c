"""Which statements may go to PostgreSQL together: only such as cannot tell."""

from __future__ import annotations

import pytest

from antiphon.storage.sql.postgres_groups import MOST, combined, grouped
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

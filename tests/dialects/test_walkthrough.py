"""The runner of documented commands would notice what is missing, of another type, or in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.dialects.walkthrough import Walk, differences, examples, steps_of

PAGE = """# A page

```sh
make serve
```

```sh
curl -X POST localhost:8000/things \\
  -d '{"name": "it'"'"'s"}'
```

```json 201
{"id": "abc-1", "made": "2023-12-04T17:28:52.678004Z"}
```

Later:

```sh
curl -N localhost:8000/things/abc-1
```

```text
words
```

```sh
curl localhost:8000/nothing
```
"""


def test_commands_are_found_with_their_answers(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    steps = steps_of(tmp_path / "page.md")
    assert [step.status for step in steps] == [201, 200, 200]
    assert [step.is_text for step in steps] == [False, True, False]
    assert steps[0].answer["id"] == "abc-1" and steps[2].answer is None
    assert [step.line for step in steps] == [8, 19, 27]


@pytest.mark.parametrize(
    ("documented", "actual", "count"),
    [
        ({"a": 1}, {"a": 2, "b": 3}, 0),
        ({"a": 1}, {"b": 3}, 1),
        ({"a": 1}, {"a": "1"}, 1),
        ({"a": 1}, {"a": True}, 1),
        ({"a": 1}, {"a": 1.5}, 0),
        ({"a": None}, {"a": [1]}, 0),
        ({"a": None}, {}, 1),
        ([], [1], 0),
        ([{"a": 1}], [], 1),
        ([{"a": 1}], [{"a": 2}, {}], 1),
        ({}, [], 1),
        ({"t": "2023-12-04T17:28:52.678004Z"}, {"t": "2026-01-01T00:00:00.000001Z"}, 0),
        ({"t": "2023-12-04T17:28:52.678004Z"}, {"t": "2026-01-01T00:00:00.000Z"}, 1),
        ({"t": "2023-12-04T17:28:52.678004Z"}, {"t": "2026-01-01 00:00:00.000001Z"}, 1),
    ],
)
def test_what_is_not_as_documented_is_told(documented: Any, actual: Any, count: int) -> None:
    assert len(list(differences(documented, actual))) == count


def test_only_ids_and_tokens_are_examples() -> None:
    documented = {
        "id": "x",
        "user_id": "y",
        "access_token": "t",
        "name": "n",
        "list": [{"id": "z"}],
        "grid": "g",
    }
    actual = {"id": "1", "user_id": "2", "access_token": "3", "name": "4", "list": [{"id": "5"}], "grid": "6"}
    assert dict(examples(documented, actual)) == {"x": "1", "y": "2", "t": "3", "z": "5"}


def test_a_server_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    with pytest.raises(AssertionError, match=r"page\.md:8"):
        Walk(9).take(steps_of(tmp_path / "page.md")[0])

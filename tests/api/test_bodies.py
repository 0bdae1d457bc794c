"""Reading a body: at most so many bytes and values, however it comes; commas in texts are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.api.http import MAX_VALUES, read_body
from antiphon.domain.errors import TooLarge

LIMIT = 1 << 24
PIECES = (1000, 65_536, LIMIT)


async def read(body: bytes, piece: int) -> tuple[bytes, int]:
    """What is read of a body that comes in pieces, and how many bytes were asked for."""
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)] or [b""]
    given = 0

    async def receive() -> dict[str, Any]:
        nonlocal given
        one = pieces[given]
        given += 1
        return {"type": "http.request", "body": one, "more_body": given < len(pieces)}

    return await read_body({"headers": []}, receive, LIMIT), given


FINE = {
    "nothing": b"",
    "as many as there may be": json.dumps(list(range(MAX_VALUES - 1))).encode(),
    "a table in a text": json.dumps({"input": "1,2,3\n" * 500_000}).encode(),
    "JSON in a text": json.dumps({"input": json.dumps([{"a": 1}] * 200_000)}).encode(),
    "backslashes in a text": json.dumps({"input": ',"\\' * 300_000}).encode(),
    "brackets in a text": json.dumps({"input": "[{" * 500_000}).encode(),
    "broken": b'{"a": "' + b"," * 1_000_000,
}
MANY = MAX_VALUES + 1
TOO_MANY = {
    "elements": b"[" + b"1," * MANY + b"1]",
    "objects": b"[" + b"{}," * MANY + b"{}]",
    "nested": b"[" + b"[[[]]]," * (MANY // 3) + b"1]",
    "fields": json.dumps({str(number): "" for number in range(MANY)}).encode(),
    "after a text full of commas": json.dumps(["," * 3_000_000, *[0] * MANY]).encode(),
    "between texts full of commas": json.dumps(["," * 200_000, *[0] * MANY, "," * 3_000_000]).encode(),
    "between texts that end in backslashes": json.dumps(["\\", '\\"'] * MANY).encode(),
}


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("name", FINE)
async def test_what_is_read_is_what_came(name: str, piece: int) -> None:
    assert (await read(FINE[name], piece))[0] == FINE[name]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("name", TOO_MANY)
async def test_too_many_values_are_refused(name: str, piece: int) -> None:
    with pytest.raises(TooLarge) as refused:
        await read(TOO_MANY[name], piece)
    assert refused.value.code == "too_many_values"

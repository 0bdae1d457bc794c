"""What makes a streamed answer is closed at its end, whoever wants the rest of it or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from antiphon.api.downloads import ClosingResponse

SCOPE = {"type": "http", "asgi": {"spec_version": "2.4"}}


async def silent() -> dict[str, Any]:
    raise AssertionError("nothing is asked of the client")


async def test_a_client_that_leaves_has_it_closed_at_once() -> None:
    at_the_end: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            for _ in range(10):
                yield b"piece"
        finally:
            at_the_end.append("closed")

    async def gone(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the client has gone")

    made = pieces()  # held here, so that no collector closes it
    with pytest.raises(ClientDisconnect):
        await ClosingResponse(made)(SCOPE, silent, gone)  # type: ignore[arg-type]
    assert at_the_end == ["closed"]

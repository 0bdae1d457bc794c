"""A parser as the server has it, and one call that reads a document to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from antiphon.domain.collections import Chunking
from antiphon.domain.passages import NewPassage
from antiphon.parsers.process import ConfinedParser
from antiphon.ports.document_parser import Event, Limits, Parsed, Passages, Progress, TextSlice
from tests.parsers import watch


class Reading(msgspec.Struct):
    """All that reading one document gave."""

    text: str
    passages: list[NewPassage]
    parsed: Parsed
    progress: list[Progress]


Read = Callable[..., Awaitable[Reading]]


def gather(events: list[Event]) -> Reading:
    text = ""
    passages: list[NewPassage] = []
    for event in events:
        if isinstance(event, TextSlice):
            assert event.start == len(text)
            text += event.text
        elif isinstance(event, Passages):
            passages += event.passages
    parsed = events[-1]
    assert isinstance(parsed, Parsed)
    return Reading(text, passages, parsed, [event for event in events if isinstance(event, Progress)])


@pytest.fixture(autouse=True)
def _no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are counted from here on."""
    monkeypatch.setattr(watch, "others", frozenset(watch.children()))


@pytest.fixture
async def parser() -> AsyncIterator[ConfinedParser]:
    made = ConfinedParser(fast_pdf=False)
    yield made
    await made.close()


@pytest.fixture
def read(parser: ConfinedParser, tmp_path: Path) -> Read:
    """Read a document given as its bytes, and check what every reading promises."""

    async def reading(
        data: bytes,
        filename: str = "file",
        chunking: Chunking = Chunking(),
        limits: Limits = Limits(),
        by: ConfinedParser = parser,
    ) -> Reading:
        path = tmp_path / "document"
        path.write_bytes(data)
        found = gather([event async for event in by.parse(path, filename, chunking, limits)])
        assert found.parsed.characters == len(found.text)
        assert found.parsed.passages == len(found.passages)
        for ordinal, passage in enumerate(found.passages):
            assert passage.ordinal == ordinal
            assert found.text[passage.start : passage.end] == passage.text
        return found

    return reading

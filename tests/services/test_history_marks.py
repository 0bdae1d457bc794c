"""Marks of several servers: what one had not indexed when it died another reads, and reads once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.ports.passage_index import IndexScopes
from antiphon.services.history_marks import AT_WORK_US, BEYOND, DEAD_US, EVERYTHING, HistoryMarks, Span
from tests.contracts.index_world import sqlite


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.us = 1_800_000_000_000_000

    def now_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return self.us / 1_000_000


@pytest.fixture
async def scopes(tmp_path: Path) -> AsyncIterator[IndexScopes]:
    async with sqlite(tmp_path / "data") as world:
        yield world.scopes


async def test_the_first_server_reads_everything_and_later_ones_only_what_is_left(
    scopes: IndexScopes,
) -> None:
    time = Time()
    one, two = HistoryMarks(scopes, time, "1"), HistoryMarks(scopes, time, "2")
    assert await one.begin() == [Span(EVERYTHING, BEYOND)]
    await one.write("5", (Span("2", "3"),))
    assert await two.begin() == []
    assert await two.take_over("9", ()) == [], "the other lives"
    assert await HistoryMarks(scopes, time, "1").begin() == [Span("5", BEYOND), Span("2", "3")], "a restart"


async def test_what_a_dead_server_left_is_taken_by_one_and_not_lost_with_that_one(
    scopes: IndexScopes,
) -> None:
    time = Time()
    dead, one, two = (HistoryMarks(scopes, time, name) for name in ("0", "1", "2"))
    await dead.write("5", (Span("2", "3"),))
    time.us += DEAD_US + 1
    await two.write("8", ())
    left = [Span("5", BEYOND), Span("2", "3")]
    assert await one.take_over("9", (Span("a", "b"),)) == left
    assert await two.take_over("8", ()) == []
    time.us += DEAD_US + 1
    assert await two.take_over("8", ()) == [Span("9", BEYOND), Span("a", "b"), *left], "that one died, too"


async def test_what_a_command_commits_is_read_once_it_has_ended(scopes: IndexScopes) -> None:
    time = Time()
    command, server = HistoryMarks(scopes, time, "c"), HistoryMarks(scopes, time, "s")
    await server.write("1", ())
    await command.stand_in()
    time.us += 2 * DEAD_US
    await server.write("1", ())
    assert await server.take_over("1", ()) == [], "it is at work"
    await command.hand_over()
    (span,) = await server.take_over("1", ())
    assert span.before == BEYOND and span.first > "0"
    await command.stand_in()
    time.us += AT_WORK_US + DEAD_US + 1
    assert len(await server.take_over("1", ())) == 1, "it was killed"

"""A reading is given again while nothing it tells of was or is being written, for a minute at most."""

from __future__ import annotations

import pytest

from antiphon.services.changes import Changes
from antiphon.services.readings import KEPT_SECONDS, Reading, Readings


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def now_us(self) -> int:
        return int(self.now * 1e6)

    def monotonic(self) -> float:
        return self.now


class Stage:
    """Readings whose loads are counted; `during` is called while one is loaded."""

    def __init__(self, **fields: int) -> None:
        self.changes, self.clock, self.loads = Changes(), Clock(), 0
        self.readings = Readings(self.changes, self.clock, **fields)
        self.during = lambda: None

    async def read(self, key: str = "k", of: tuple[str, ...] = ("c",), ends_us: int | None = None) -> bytes:
        async def load() -> Reading:
            self.loads += 1
            self.during()
            return Reading(b"%d" % self.loads, of, ends_us)

        return (await self.readings.read(key, load)).body

    def change(self, *touched: str) -> None:
        self.changes.begin(touched)
        self.changes.end(touched)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_the_second_reading_is_the_first(stage: Stage) -> None:
    assert [await stage.read() for _ in range(3)] == [b"1"] * 3
    assert (stage.readings.hits, stage.readings.misses) == (2, 1)


async def test_a_change_of_what_it_tells_of_ends_it_and_no_other_does(stage: Stage) -> None:
    await stage.read()
    stage.change("another")
    assert await stage.read() == b"1"
    stage.change("c", "another")
    assert await stage.read() == b"2"


async def test_it_is_not_given_while_a_change_is_under_way(stage: Stage) -> None:
    await stage.read()
    stage.changes.begin(["c"])
    assert [await stage.read(), await stage.read()] == [b"2", b"3"]
    stage.changes.end(["c"])
    assert [await stage.read(), await stage.read()] == [b"4", b"4"]


async def test_a_reading_that_a_change_overtook_is_not_kept(stage: Stage) -> None:
    stage.during = lambda: stage.change("c")
    assert [await stage.read(), await stage.read()] == [b"1", b"2"]


async def test_it_ends_after_a_minute_or_with_what_it_tells_of(stage: Stage) -> None:
    await stage.read()
    stage.clock.now += KEPT_SECONDS
    assert await stage.read() == b"2"
    await stage.read("ending", ends_us=stage.clock.now_us() + 5_000_000)
    stage.clock.now += 5
    assert await stage.read("ending") == b"4"


async def test_what_tells_of_nothing_is_not_kept(stage: Stage) -> None:
    assert [await stage.read(of=()), await stage.read(of=())] == [b"1", b"2"]


async def test_the_longest_unused_goes_first() -> None:
    stage = Stage(max_bytes=1_100)  # two of them
    for key in ("a", "b", "a", "c"):
        await stage.read(key)
    assert await stage.read("a") == b"1"
    assert await stage.read("b") == b"4"


def test_changes_that_are_forgotten_count_as_changes() -> None:
    changes = Changes(most=2)
    number = changes.now
    for one in ("a", "b", "c"):
        changes.begin([one])
        changes.end([one])
    assert not changes.unchanged_since(number, ["a"]), "it may have been any"
    assert changes.unchanged_since(changes.now, ["a", "b"])


def test_a_listener_hears_of_its_conversation_until_it_is_released() -> None:
    changes, heard = Changes(), []
    release = changes.listen("c", lambda: heard.append(1))
    for touched in ("c", "d", "c"):
        changes.begin([touched])
        changes.end([touched])
    release()
    release()
    changes.begin(["c"])
    changes.end(["c"])
    assert len(heard) == 2

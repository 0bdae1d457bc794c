"""Rounds of housekeeping: all that is due goes in one, with rests; what cannot be done spins for nobody."""

from __future__ import annotations

import pytest

from antiphon.domain.errors import Conflict
from antiphon.ports.account_writes import ForgetSessions
from antiphon.services import pacing
from antiphon.services.pacing import Round, erase_slices

MOST = 50


class Watch:
    """A clock that stands still but for what work and rests take."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.rests: list[float] = []

    def now_us(self) -> int:
        return int(self.seconds * 1e6)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.seconds += seconds


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    made = Watch()
    monkeypatch.setattr(pacing.asyncio, "sleep", made.sleep)
    return made


class Due:
    """What is due: it goes when it is worked on, unless it is among the `firm` or the `broken`."""

    def __init__(self, watch: Watch, count: int) -> None:
        self.watch = watch
        self.left = list(range(count))
        self.firm: set[int] = set()
        self.broken: set[int] = set()
        self.worked = 0

    async def find(self) -> list[int]:
        return self.left[:MOST]

    async def work(self, one: int) -> None:
        self.watch.seconds += 1.0
        self.worked += 1
        if one in self.broken:
            raise ValueError(one)
        if one not in self.firm:
            self.left.remove(one)


async def test_a_round_does_all_that_is_due_and_half_of_its_time_is_rest(watch: Watch) -> None:
    due = Due(watch, 1_500)
    await Round(watch).work_off(due.find, due.work, MOST)
    assert (due.left, due.worked) == ([], 1_500)
    assert watch.rests == [50.0] * 30


async def test_what_does_not_go_is_tried_once_a_round(watch: Watch) -> None:
    due = Due(watch, 120)
    due.firm = {0, 7, 60}
    await Round(watch).work_off(due.find, due.work, MOST)
    assert (due.left, due.worked) == ([0, 7, 60], 120)


async def test_a_batch_of_which_nothing_goes_ends_the_round(watch: Watch) -> None:
    due = Due(watch, 120)
    due.firm = set(range(MOST))
    await Round(watch).work_off(due.find, due.work, MOST)
    assert due.worked == MOST


async def test_what_fails_holds_up_nothing_else_and_is_told_at_the_end(watch: Watch) -> None:
    due, later = Due(watch, 120), Due(watch, 3)
    due.broken = {0, 60}
    this = Round(watch)
    await this.work_off(due.find, due.work, MOST)
    await this.work_off(later.find, later.work, MOST)
    assert (due.left, later.left) == ([0, 60], [])
    with pytest.raises(ValueError, match=r"^0$"):
        this.finish()


async def test_where_everything_fails_the_round_ends(watch: Watch) -> None:
    due = Due(watch, 120)
    due.broken = set(range(120))
    await Round(watch).work_off(due.find, due.work, MOST)
    assert due.worked == MOST


@pytest.mark.parametrize("count", [0, 1, 499, 500, 1_499, 1_500])
async def test_slices_go_until_none_is_full(watch: Watch, count: int) -> None:
    left = count

    async def commit(one: ForgetSessions) -> None:
        nonlocal left
        if one.full and left < one.limit:
            raise Conflict("ForgetSessions")
        watch.seconds += 2.0
        left -= min(left, one.limit)

    await erase_slices(commit, ForgetSessions(before_us=1, limit=500), Round(watch))
    assert (left, watch.rests) == (0, [2.0] * (count // 500))

"""An answer is ended once, also when its end meets a seal or is refused."""

from __future__ import annotations

from typing import Any

from antiphon.domain.errors import Conflict
from antiphon.ports.write_sets import FinishRun
from antiphon.services.runs.live import Finish, LiveRun
from antiphon.services.turns import Begun
from tests.services.hand import HAND, until
from tests.services.tree_rules import tree_problems
from tests.services.world import World


def live_of(begun: Begun) -> LiveRun:
    assert begun.live is not None
    return begun.live


async def test_a_run_that_ends_while_its_record_waits_for_a_seal_is_ended_once(world: World) -> None:
    begun = await world.begin("u1", model=HAND)
    call, live = await world.hand.next(), live_of(begun)
    ends: list[str] = []

    def note(worker_id: str, tick: int, ops: bytes, sets: Any) -> None:
        ends.extend(command.run.id for one in sets for command in one if isinstance(command, FinishRun))

    world.storage.journal.before_tick = note
    journal = world.application.journal
    async with journal._committing:  # as a seal holds it
        call.say("one")
        await until(lambda: bool(journal._committing._waiters))
        call.end()
        await until(lambda: live.finish is not None)
    await world.ended(begun)
    other = await world.turn("u2")  # a record later than any that could hold the end again
    assert ends == [begun.run_id, other.run.id]
    assert not live.lost and not journal.orphans


async def test_a_refused_end_is_made_anew_and_its_neighbours_are_not(world: World) -> None:
    runs = [await world.begin(f"u{number}", model=HAND) for number in range(3)]
    calls = [await world.hand.next() for _ in runs]
    made: list[tuple[str, bool]] = []
    tried: list[int] = []

    def before(worker_id: str, tick: int, ops: bytes, sets: Any) -> None:
        tried.append(len(sets))
        if len(sets) == 3 and tried.count(3) == 1:
            raise Conflict("PutItems", param="1")

    async with world.application.journal._committing:  # all three end in one record
        for call in calls:
            call.answer("whole")
        for live in map(live_of, runs):
            await until(lambda live=live: live.finish is not None)
            finish = live.finish
            assert finish is not None

            def noted(fresh: bool, live: LiveRun = live, finish: Finish = finish) -> Any:
                made.append((live.run.id, fresh))
                return finish(fresh)

            live.finish = noted
        world.storage.journal.before_tick = before
    answers = [await world.ended(begun) for begun in runs]
    assert {answer.run.state for answer in answers} == {"completed"}
    assert tried.count(3) == 2
    first = [(begun.run_id, False) for begun in runs]
    assert sorted(made[:3]) == sorted(first)
    assert [fresh for _, fresh in made[3:]] == [True]
    assert tree_problems(world.directory, at_rest=True) == []

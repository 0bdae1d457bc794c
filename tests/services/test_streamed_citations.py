"""Citations while an answer streams: cancelled, cut, with several choices, and too many of them."""

from __future__ import annotations

import pytest

from antiphon.domain.citations import claim_of
from antiphon.ports.model_provider import Finish, TextDelta
from tests.harness.library import Library
from tests.services.cited import HONEY, annotations, said, search
from tests.services.hand import HAND, until
from tests.services.world import World


@pytest.fixture
async def docs(world: World) -> str:
    library = Library(world)
    made = await library.collection()
    await library.add(made, "bees.txt", HONEY)
    return made


async def test_a_marker_before_its_statement_waits_for_it(world: World, docs: str) -> None:
    begun = await world.begin("What of honey, and of the queen?", model=HAND, search=search(docs))
    call = await world.hand.next()
    numbers = {source.text.split(".")[0]: source.number for source in call.request.sources}
    whole = next(number for text, number in numbers.items() if text.startswith("Bees"))
    call.say(f"As [{whole}] says, one queen lays")
    call.say(" the eggs.")
    call.say(f"\n\nBut: [{whole}] adds that wasps hunt other insects")
    call.end()
    answer = await world.ended(begun)
    assert said(answer) == "As says, one queen lays the eggs.\n\nBut: adds that wasps hunt other insects"
    quotes = [(one["index"], one["antiphon"]["quote"]) for one in annotations(answer)]
    assert [index for index, _ in quotes] == [2, 39]
    assert "She lays the eggs." in quotes[0][1] and "They hunt other insects." in quotes[1][1]


async def test_what_was_held_back_is_shown_before_anything_else(world: World, docs: str) -> None:
    begun = await world.begin("Who makes honey?", model=HAND, search=search(docs))
    call = await world.hand.next()
    call.say("Bees make it [1")
    call.call("f", "{}", "call_1")
    call.end("tool_calls")
    answer = await world.ended(begun)
    assert [out.type for out in answer.outputs] == ["file_search_call", "message", "function_call"]
    assert said(answer) == "Bees make it [1"


async def test_a_cancelled_answer_keeps_its_citations(world: World, docs: str) -> None:
    begun = await world.begin("Who makes honey?", model=HAND, search=search(docs))
    call = await world.hand.next()
    live = begun.live
    assert live is not None
    call.say("Bees make honey [1]. And wasps [2")
    await until(lambda: "wasps" in str(live.log.ops[: live.committed]))
    world.application.answers.engine.cancel(live)
    answer = await world.ended(begun)
    assert answer.run.state == "cancelled" and said(answer) == "Bees make honey. And wasps [2"
    assert [one["index"] for one in annotations(answer)] == [15]


async def test_every_choice_has_citations_of_its_own(world: World, docs: str) -> None:
    begun = await world.begin("Who makes honey?", model=HAND, search=search(docs), params={"n": 2})
    call = await world.hand.next()
    call.put(TextDelta(0, "Bees make honey ["), TextDelta(1, "Some bees [1"), TextDelta(0, "1] indeed."))
    call.put(TextDelta(1, "]."), Finish(0, "stop"), Finish(1, "stop"))
    call._queue.put_nowait(None)
    answer = await world.ended(begun)
    messages = [out.payload["content"][0] for out in answer.outputs if out.type == "message"]
    assert [part["text"] for part in messages] == ["Bees make honey indeed.", "Some bees."]
    assert [[note["index"] for note in part["annotations"]] for part in messages] == [[15], [9]]


async def test_too_many_citations_are_left_out_and_counted(
    world: World, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.services.runs.citations.MAX_CITATIONS", 3)
    begun = await world.begin("Who makes honey?", model=HAND, search=search(docs))
    call = await world.hand.next()
    call.answer(" ".join(f"Bees make honey {number} times [1][1]." for number in range(5)))
    answer = await world.ended(begun)
    assert len(annotations(answer)) == 3 and "[" not in said(answer)
    assert world.application.counters.citations["too_many"] == 2


async def test_a_flood_of_markers_in_one_place_costs_one_look_and_one_citation(
    world: World, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def look(text: str) -> str:
        looks.append(text)
        return claim_of(text)

    monkeypatch.setattr("antiphon.domain.citations.claim_of", look)
    begun = await world.begin("Who makes honey?", model=HAND, search=search(docs))
    call = await world.hand.next()
    call.answer("[1]" * 30_000 + " says that bees make honey." + "[1]" * 30_000)
    answer = await world.ended(begun)
    assert said(answer) == "says that bees make honey."
    assert [one["index"] for one in annotations(answer)] == [0, 26]
    assert len(looks) == 2

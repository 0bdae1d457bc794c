"""What a provider says of its tokens goes with the text it belongs to, and opens nothing by itself."""

from __future__ import annotations

from antiphon.domain import ids
from antiphon.domain.run_events import RunLog
from antiphon.ports.model_provider import ProviderEvent, ReasoningDelta, TextDelta, ToolCallDelta
from antiphon.services.runs.emitter import Emitter

FIRST = {"token": "\ufffd", "logprob": -0.5, "bytes": [195], "top_logprobs": []}
SECOND = {"token": "\ufffd", "logprob": -0.25, "bytes": [169], "top_logprobs": []}


def emitted(*events: ProviderEvent) -> RunLog:
    log = RunLog()
    emitter = Emitter(log, ids.new_slot())
    for event in events:
        emitter.take((event,))
    emitter.close("completed")
    return log


def test_a_token_without_a_text_opens_no_text() -> None:
    nothing = TextDelta(0, "", [FIRST])
    assert not emitted(nothing).outputs
    called = emitted(nothing, ToolCallDelta(0, 0, "c", "f", "{}"), nothing)
    assert [output.type for output in called.outputs] == ["function_call"]
    thought = emitted(ReasoningDelta(0, "a"), nothing, ReasoningDelta(0, "b"))
    assert [output.type for output in thought.outputs] == ["reasoning"]
    assert thought.outputs[0].payload()["content"][0]["text"] == "ab"


def test_the_tokens_of_one_character_all_stand_by_its_text() -> None:
    log = emitted(
        TextDelta(0, "a"), TextDelta(0, "", [FIRST]), TextDelta(0, "é", [SECOND]), TextDelta(0, "b")
    )
    (part,) = log.outputs[0].payload()["content"]
    assert (part["text"], part["logprobs"]) == ("aéb", [FIRST, SECOND])


def test_a_text_that_follows_a_dropped_token_still_opens_its_part() -> None:
    log = emitted(TextDelta(0, "", [FIRST]), TextDelta(0, "a"))
    assert log.outputs[0].payload()["content"][0]["text"] == "a"

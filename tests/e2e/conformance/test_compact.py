"""POST /responses/compact."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.conformance.requests import MODEL, create, said
from tests.e2e.conformance.shapes import CompactedResponse, Compaction, ErrorBody, Message, parse

TALK = [
    said("user", "We agreed to launch on Tuesday and notify support first."),
    said("assistant", "Understood. The launch is Tuesday, with support notified beforehand."),
]


def compact(http: httpx.Client, **body: Any) -> CompactedResponse:
    answer = http.post("/responses/compact", json={"model": MODEL, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    found: CompactedResponse = parse(answer.content, CompactedResponse)
    return found


def test_a_short_talk(http: httpx.Client) -> None:
    compacted = compact(http, input=TALK, prompt_cache_key="compact-test")

    assert [type(item) for item in compacted.output].count(Compaction) == 1
    kept = [item for item in compacted.output if isinstance(item, Message)]
    assert all(item.content for item in kept)
    assert compacted.usage.input_tokens > 0


def test_a_stored_response_is_compacted_with_its_history(http: httpx.Client) -> None:
    first = create(http, model="scripted/echo", input="The code word is slate.")
    second = create(http, model="scripted/echo", input="Next.", previous_response_id=first.id)
    answer = http.post("/responses/compact", json={"model": MODEL, "previous_response_id": second.id})
    window = answer.json()["output"]
    parse(answer.content, CompactedResponse)

    again = create(http, model="scripted/echo", input=[*window, said("user", "recall 1")])
    assert again.output[0].content[0].text == "The code word is slate."


def test_the_answer_is_no_response_to_continue(http: httpx.Client) -> None:
    compacted = compact(http, input=TALK)

    assert http.get(f"/responses/{compacted.id}").status_code == 404
    body = {"model": MODEL, "input": "Go on.", "previous_response_id": compacted.id}
    assert http.post("/responses", json=body).status_code == 400


def test_a_string_is_an_input_too(http: httpx.Client) -> None:
    assert compact(http, input="Just this.").output


def test_a_model_is_required(http: httpx.Client) -> None:
    answer = http.post("/responses/compact", json={"input": TALK})
    assert answer.status_code in (400, 422)
    assert parse(answer.content, ErrorBody).error.param == "model"


@pytest.mark.parametrize("content", ["not ours", "", "AAAA"])
def test_a_forged_compaction_is_no_server_error(http: httpx.Client, content: str) -> None:
    forged = {"type": "compaction", "id": "cmp_" + "0" * 32, "encrypted_content": content}
    answer = http.post("/responses", json={"model": MODEL, "input": [forged, said("user", "Hello")]})

    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        parse(answer.content, ErrorBody)

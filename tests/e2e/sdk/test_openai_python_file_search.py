"""The official Python SDK from a file to a citation: upload, vector store, search, `file_search`."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

SENTENCE = "The lighthouse keeper counts 451 ships."
TEXT = f"{SENTENCE} Nobody counts the gulls.\n\nThe harbour master sleeps."
QUESTION = "How many ships does the lighthouse keeper count?"
CITES = "scripted/cites"


@pytest.fixture(scope="module")
def store(client: OpenAI) -> Iterator[str]:
    """A vector store with one file in it."""
    made = client.vector_stores.create(name="harbour")
    added = client.vector_stores.files.upload_and_poll(
        vector_store_id=made.id, file=("harbour.md", TEXT.encode()), attributes={"kind": "tale"}
    )
    assert added.status == "completed", added
    yield made.id
    client.vector_stores.delete(made.id)


def test_a_vector_store_is_searched_by_itself(client: OpenAI, store: str) -> None:
    page = client.vector_stores.search(store, query=QUESTION, max_num_results=3)
    found = list(page)
    assert found[0].filename == "harbour.md" and found[0].attributes == {"kind": "tale"}
    assert SENTENCE in found[0].content[0].text and 0 < found[0].score <= 1
    nothing = client.vector_stores.search(
        store, query=[QUESTION, "ships"], filters={"type": "eq", "key": "kind", "value": "song"}
    )
    assert list(nothing) == []


def test_an_answer_cites_the_file(client: OpenAI, store: str) -> None:
    response = client.responses.create(
        model=CITES, input=QUESTION, tools=[{"type": "file_search", "vector_store_ids": [store]}],
        include=["file_search_call.results"],
    )  # fmt: skip
    search, message = response.output
    assert search.type == "file_search_call" and search.status == "completed"
    assert search.results is not None and search.results[0].filename == "harbour.md"
    assert message.type == "message" and message.content[0].type == "output_text"
    (note,) = message.content[0].annotations
    assert note.type == "file_citation" and note.filename == "harbour.md"
    assert response.output_text[: note.index].endswith(SENTENCE)
    place = note.model_extra["antiphon"] if note.model_extra else {}
    assert place["quote"] == SENTENCE and TEXT[place["start"] : place["end"]] == SENTENCE


def test_the_stream_accumulates_to_the_same(client: OpenAI, store: str) -> None:
    kinds: list[str] = []
    with client.responses.stream(
        model=CITES, input=QUESTION, tools=[{"type": "file_search", "vector_store_ids": [store]}]
    ) as stream:
        for event in stream:
            kinds.append(event.type)
        final = stream.get_final_response()
    order = ["in_progress", "searching", "completed"]
    assert [kind.rpartition(".")[2] for kind in kinds if "file_search_call" in kind] == order
    assert "response.output_text.annotation.added" in kinds
    assert final.output_text == SENTENCE
    again = client.responses.retrieve(final.id)
    for kept, shown in zip(again.output, final.output, strict=True):
        assert kept.id == shown.id and kept.type == shown.type
    message, streamed = again.output[1], final.output[1]
    assert message.type == "message" and streamed.type == "message"
    part, shown_part = message.content[0], streamed.content[0]
    assert part.type == "output_text" and shown_part.type == "output_text"
    assert [note.to_dict() for note in part.annotations] == [
        note.to_dict() for note in shown_part.annotations
    ]


def test_an_unknown_vector_store_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.responses.create(
            model=CITES, input="x", tools=[{"type": "file_search", "vector_store_ids": ["vs_" + "0" * 32]}]
        )
    assert "Vector store with id" in str(refused.value)

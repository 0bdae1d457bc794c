"""`file_search` on the wire: OpenAI's events in OpenAI's order, and what this server adds to them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import connect

from antiphon.bootstrap import SystemClock
from antiphon.providers.offline import Offline
from antiphon.services.models import Models
from tests.api.client import Api, Event, front_of, in_process, over_sockets, reading
from tests.api.searching import CITES, QUESTION, SENTENCE, asking, tool
from tests.harness.library import Library
from tests.services.hand import HAND, until
from tests.services.world import World, open_world

SEARCH_EVENTS = [
    "response.created", "response.in_progress", "response.output_item.added",
    "response.file_search_call.in_progress", "response.file_search_call.searching",
    "response.file_search_call.completed", "response.output_item.done",
]  # fmt: skip


async def streamed(api: Api, docs: str, **fields: Any) -> list[Event]:
    return await api.stream("POST", "/v1/responses", asking(docs, stream=True, **fields))


async def test_the_events_of_a_search_are_openais_in_openais_order(api: Api, docs: str) -> None:
    events = await streamed(api, docs)
    names = [event.name for event in events]
    assert names[:7] == SEARCH_EVENTS
    rest = [name for name in names[7:] if not name.endswith("output_text.delta")]
    assert rest == [
        "response.output_item.added", "response.content_part.added", "response.output_text.annotation.added",
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        "response.completed",
    ]  # fmt: skip
    assert [event.data["sequence_number"] for event in events] == list(range(len(events)))
    added, done = events[2].data["item"], events[6].data["item"]
    identifier = added["id"]
    assert identifier.startswith("fs_")
    assert added == {
        "id": identifier, "type": "file_search_call", "status": "in_progress", "queries": [], "results": None,
    }  # fmt: skip
    assert done == {**added, "status": "completed", "queries": [QUESTION]}
    for event in events[3:6]:
        assert event.data == {
            "type": event.name, "item_id": identifier, "output_index": 0,
            "sequence_number": event.data["sequence_number"],
        }  # fmt: skip
    assert events[-1].data["response"]["output"][0] == done


async def test_a_citation_has_openais_fields_and_the_place_in_the_document(api: Api, docs: str) -> None:
    events = await streamed(api, docs)
    (cited,) = [event.data for event in events if event.name.endswith("annotation.added")]
    note = cited["annotation"]
    assert (cited["output_index"], cited["content_index"], cited["annotation_index"]) == (1, 0, 0)
    assert note["index"] == len(SENTENCE) and note["filename"] == "bees.txt"
    assert note["file_id"].startswith("file-")
    assert note["antiphon"] == {
        "version": 1, "start": 0, "end": len(SENTENCE), "quote": SENTENCE, "page": 1, "heading": "bees.txt",
        "collection_id": docs,
    }  # fmt: skip
    message = events[-1].data["response"]["output"][1]
    assert message["content"][0]["text"] == SENTENCE and message["content"][0]["annotations"] == [note]


async def test_results_are_shown_where_they_are_asked_for(api: Api, docs: str) -> None:
    include = {"include": ["file_search_call.results"]}
    answer = await api.post("/v1/responses", asking(docs, **include))
    (result,) = answer["output"][0]["results"]
    assert result["text"] == f"{SENTENCE} They sting." and result["attributes"] == {"topic": "insects"}
    assert 0 < result["score"] <= 1 and result["filename"] == "bees.txt"
    events = await streamed(api, docs, **include)
    assert (
        events[6].data["item"]["results"] == [result] == events[-1].data["response"]["output"][0]["results"]
    )
    plain = await api.get(f"/v1/responses/{answer['id']}")
    assert plain["output"][0]["results"] is None
    for name in ("include", "include[]"):
        shown = await api.get(f"/v1/responses/{answer['id']}", **{name: "file_search_call.results"})
        assert shown["output"][0]["results"] == [result]
    path = f"/v1/conversations/{answer['antiphon']['conversation_id']}/items"
    assert "They sting" not in json.dumps(await api.get(path))
    for name in ("include", "include[]"):
        asked = {name: ["antiphon", "file_search_call.results"]}
        found = {item["type"]: item for item in (await api.get(path, order="asc", **asked))["data"]}
        assert found["file_search_call"]["results"] == [result] and "results" not in found["message"]
        assert found["file_search_call"]["antiphon"]["response"]["id"] == answer["id"]
        one = await api.get(f"{path}/{answer['output'][0]['id']}", **{name: "file_search_call.results"})
        assert one["results"] == [result] and "antiphon" not in one


async def test_what_an_include_may_not_name_is_refused_wherever_there_is_one(api: Api, docs: str) -> None:
    answer = await api.post("/v1/responses", asking(docs))
    items = f"/v1/conversations/{answer['antiphon']['conversation_id']}/items"
    response = f"/v1/responses/{answer['id']}"
    new = {"items": [{"type": "message", "role": "user", "content": "x"}]}
    reads = [("GET", response, None), ("GET", f"{response}/input_items", None), ("GET", items, None)]
    for method, path, body in [*reads, ("POST", items, new)]:
        for name in ("include", "include[]"):
            error = await api.refused(method, path, body, status=400, params={name: "zz"})
            assert (error["param"], error["code"]) == ("include", "invalid_value"), path
        await api.call(method, path, body, params={"include": "reasoning.encrypted_content"})
    assert len((await api.get(items))["data"]) == 4, "what was refused was not added"


async def test_a_replay_is_the_stream_again_byte_for_byte_from_any_event(api: Api, docs: str) -> None:
    body = asking(docs, stream=True, include=["file_search_call.results"])
    first = await api.http.post("/v1/responses", json=body)
    frames = first.content.split(b"\n\n")[:-1]
    identifier = json.loads(frames[0].split(b"data: ")[1])["response"]["id"]
    for after in range(-1, len(frames)):
        path = f"/v1/responses/{identifier}?stream=true" + (f"&starting_after={after}" if after >= 0 else "")
        again = (await api.http.get(path)).content.split(b"\n\n")[:-1]
        assert [frame.split(b"\n", 1)[1] for frame in again] == frames[after + 1 :]


async def test_a_follower_that_joins_in_the_middle_of_a_search_sees_all_of_it(
    world: World, docs: str, library: Library
) -> None:
    library.index.held = asyncio.Event()
    async with over_sockets(world) as (api, _):
        begun = await api.post("/v1/responses", asking(docs, background=True))
        assert begun["status"] == "queued"
        await until(lambda: library.index.asked)
        path = f"/v1/responses/{begun['id']}?stream=true&starting_after=2"
        async with reading(api, "GET", path) as reader:
            seen = await reader.until("response.file_search_call.searching")
            shown = await api.get(f"/v1/responses/{begun['id']}")
            assert [item["status"] for item in shown["output"]] == ["in_progress"]
            library.index.held.set()
            seen += await reader.until("response.completed")
    assert [event.data["sequence_number"] for event in seen] == list(range(3, 3 + len(seen)))


async def test_the_official_client_follows_a_search(world: World, docs: str) -> None:
    transport = httpx.ASGITransport(front_of(world))
    async with httpx.AsyncClient(transport=transport) as http:
        client = AsyncOpenAI(base_url="http://testserver/v1", api_key="none", http_client=http)
        kinds: list[str] = []
        async with client.responses.stream(**asking(docs, include=["file_search_call.results"])) as stream:
            async for event in stream:
                kinds.append(event.type)
            final = await stream.get_final_response()
        search, message = final.output
        assert search.type == "file_search_call" and search.queries == [QUESTION]
        assert search.results is not None and search.results[0].filename == "bees.txt"
        assert message.type == "message"
        part = message.content[0]
        assert part.type == "output_text" and part.annotations[0].type == "file_citation"
        assert part.annotations[0].index == len(SENTENCE) == len(final.output_text)
        assert "response.file_search_call.searching" in kinds
        again = await client.responses.retrieve(final.id, include=["file_search_call.results"])
        assert again.output[0] == search
        sent_back = await client.responses.create(
            model="scripted/echo",
            input=[*[item.model_dump() for item in final.output], {"role": "user", "content": "ok"}],
        )  # type: ignore[call-overload]
        assert sent_back.output_text == "ok"


# --- what is asked


@pytest.mark.parametrize(
    ("choice", "searched"),
    [
        ("none", False),
        ("auto", True),
        ("required", True),
        ({"type": "file_search"}, True),
        ({"type": "function", "name": "f"}, False),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "file_search"}]}, True),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}, False),
    ],
)
async def test_the_tool_choice_decides(api: Api, docs: str, choice: Any, searched: bool) -> None:
    function = {"type": "function", "name": "f", "parameters": {}}
    body = asking(docs, tool_choice=choice) | {"tools": [tool(docs), function]}
    answer = await api.post("/v1/responses", body)
    assert (answer["output"][0]["type"] == "file_search_call") is searched
    assert answer["tool_choice"] == choice
    assert answer["tools"][0] == tool(
        docs, filters=None, max_num_results=20, ranking_options={"ranker": "auto", "score_threshold": 0.0}
    )


async def test_the_tool_itself_never_reaches_the_model(world: World, api: Api, docs: str) -> None:
    asked = asyncio.create_task(api.post("/v1/responses", asking(docs, model=HAND, tool_choice="required")))
    call = await world.hand.next()
    assert call.request.params.keys().isdisjoint({"tools", "tool_choice"})
    call.answer("x")
    await asked


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"vector_store_ids": []}, "tools[0].vector_store_ids"),
        ({"vector_store_ids": None}, "tools[0].vector_store_ids"),
        ({"vector_store_ids": [1]}, "tools[0].vector_store_ids"),
        ({"max_num_results": 0}, "tools[0].max_num_results"),
        ({"max_num_results": 51}, "tools[0].max_num_results"),
        ({"max_num_results": True}, "tools[0].max_num_results"),
        ({"filters": {"type": "like"}}, "tools[0].filters.type"),
        ({"ranking_options": {"ranker": "best"}}, "tools[0].ranking_options.ranker"),
        ({"ranking_options": {"score_threshold": 2}}, "tools[0].ranking_options.score_threshold"),
        ({"ranking_options": {"hybrid_search": {"text_weight": -1}}},
         "tools[0].ranking_options.hybrid_search.text_weight"),
        ({"ranking_options": {"hybrid_search": {"text_weight": 0, "embedding_weight": 0}}},
         "tools[0].ranking_options.hybrid_search"),
        ({"more": 1}, "tools[0].more"),
    ],
)  # fmt: skip
async def test_a_wrong_tool_is_refused_by_field(api: Api, docs: str, fields: Any, param: str) -> None:
    error = await api.refused(
        "POST", "/v1/responses", asking(docs) | {"tools": [tool(docs) | fields]}, status=400
    )
    assert error["param"] == param


async def test_what_is_unknown_and_what_is_no_tool_is_refused(api: Api, docs: str) -> None:
    for wire_id in ("vs_" + "0" * 32, "nonsense"):
        error = await api.refused("POST", "/v1/responses", asking(wire_id), status=404)
        assert error["message"] == f"Vector store with id '{wire_id}' not found."
    twice = asking(docs) | {"tools": [tool(docs), tool(docs)]}
    await api.refused("POST", "/v1/responses", twice, status=400)
    without = {"model": CITES, "input": "x", "tool_choice": {"type": "file_search"}}
    error = await api.refused("POST", "/v1/responses", without, status=400)
    assert error["message"] == "Tool choice 'file_search' not found in 'tools' parameter."


# --- other ways to answer


async def test_chat_completions_cite_too(api: Api, docs: str) -> None:
    question = {"role": "user", "content": QUESTION}
    answer = await api.chat(question, model=CITES, tools=[tool(docs)])
    message = answer["choices"][0]["message"]
    assert message["content"] == SENTENCE
    (note,) = message["annotations"]
    assert note["antiphon"]["quote"] == SENTENCE and note["index"] == len(SENTENCE)
    body = {"model": CITES, "messages": [question], "tools": [tool(docs)], "stream": True, "store": True}
    events = await api.stream("POST", "/v1/chat/completions", body)
    deltas = [event.data["choices"][0]["delta"] for event in events[:-1]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == SENTENCE
    assert [delta["annotations"] for delta in deltas if "annotations" in delta] == [[note]]
    assert events[-1].data == "[DONE]"
    stored = await api.get(f"/v1/chat/completions/{events[0].data['id']}")
    assert stored["choices"][0]["message"]["annotations"] == [note]
    thanks = [question, {"role": "assistant", "content": SENTENCE}, {"role": "user", "content": "Thanks"}]
    again = await api.chat(*thanks, model=CITES, store=True)
    asked = await api.get(f"/v1/chat/completions/{again['id']}/messages")
    assert [one["content"] for one in asked["data"]] == [QUESTION, SENTENCE, "Thanks"]
    listed = await api.get("/v1/conversations")
    assert len(listed["data"]) == 1  # the resent history was recognised behind the search


async def test_a_chat_that_fails_after_its_search_is_an_http_error(api: Api, docs: str) -> None:
    body = {
        "model": "scripted/fail-before", "messages": [{"role": "user", "content": "honey status=500"}],
        "tools": [tool(docs)], "stream": True,
    }  # fmt: skip
    await api.refused("POST", "/v1/chat/completions", body, status=502)


async def test_regenerate_edit_and_fan_out_search_as_well(api: Api, docs: str) -> None:
    conversation = await api.conversation()
    first = await api.post("/v1/responses", asking(docs, conversation=conversation))
    message = first["output"][1]["id"]
    path = f"/v1/conversations/{conversation}"
    again = await api.post(f"{path}/items/{message}/regenerate", {"model": CITES, "tools": [tool(docs)]})
    assert [item["type"] for item in again["output"]] == ["file_search_call", "message"]
    assert again["output"][1]["content"][0]["annotations"]
    both = await api.post(
        f"{path}/fan_out",
        {
            "models": [CITES, "scripted/cites-split"], "input": QUESTION, "tools": [tool(docs)],
            "include": ["file_search_call.results"],
        },
    )  # fmt: skip
    for one in both["data"]:
        assert one["output"][0]["results"] and one["output"][1]["content"][0]["annotations"]


async def test_a_websocket_shows_the_same_events(world: World, docs: str) -> None:
    async with (
        over_sockets(world) as (api, port),
        connect(f"ws://127.0.0.1:{port}/v1/responses", proxy=None) as connection,
    ):
        for store in (True, False):
            await connection.send(json.dumps({"type": "response.create", **asking(docs, store=store)}))
            events: list[Any] = []
            while not events or events[-1]["type"] != "response.completed":
                events.append(json.loads(await connection.recv()))
            assert [event["type"] for event in events][:7] == SEARCH_EVENTS
            assert events[-1]["response"]["output"][1]["content"][0]["annotations"]
        replay = f"/v1/responses/{events[-1]['response']['id']}"
        await api.refused("GET", replay, status=404)
        previous = events[-1]["response"]["id"]
        body = {
            "model": "scripted/echo",
            "input": "recall 1",
            "previous_response_id": previous,
            "store": False,
        }
        await connection.send(json.dumps({"type": "response.create", **body}))
        events = []
        while not events or events[-1]["type"] != "response.completed":
            events.append(json.loads(await connection.recv()))
        assert events[-1]["response"]["output"][0]["content"][0]["text"] == QUESTION


async def test_offline_answers_from_the_documents_and_says_what_it_is(tmp_path: Path) -> None:
    models = Models({Offline.name: Offline()}, clock=SystemClock())
    world = await open_world(tmp_path / "offline", models=models)
    library = Library(world)
    made = await library.collection()
    await library.add(made, "bees.txt", f"{SENTENCE} See [1] for more of it.")
    async with in_process(world) as api:
        answer = await api.post("/v1/responses", asking(made, model="offline/extractive"))
    await world.close()
    part = answer["output"][1]["content"][0]
    assert f"“{SENTENCE}”" in part["text"] and "built-in offline model" in part["text"]
    assert [one["antiphon"]["quote"] for one in part["annotations"]] == [SENTENCE]


# --- standing collections


async def test_standing_collections_are_set_listed_and_ended(api: Api, docs: str) -> None:
    conversation = await api.conversation()
    for path in ("/v1/me/vector_stores", f"/v1/conversations/{conversation}/vector_stores"):
        empty = await api.get(path)
        assert empty == {"object": "vector_store.standing", "vector_store_ids": []}
        made = await api.call("PUT", path, {"vector_store_ids": [docs, docs]})
        assert made["vector_store_ids"] == [docs] and await api.get(path) == made
        fields = {"conversation": conversation, "model": CITES}
        answer = await api.ask(QUESTION, **fields)
        assert answer["output"][0]["type"] == "file_search_call"
        quiet = await api.ask(QUESTION, tool_choice="none", **fields)
        assert quiet["output"][0]["type"] == "message"
        await api.call("PUT", path, {"vector_store_ids": []})
        assert (await api.ask(QUESTION, **fields))["output"][0]["type"] == "message"
        unknown = "vs_" + "0" * 32
        error = await api.refused("PUT", path, {"vector_store_ids": [unknown]}, status=404)
        assert error["message"] == f"Vector store with id '{unknown}' not found."


async def test_what_was_searched_and_cited_is_counted(api: Api, docs: str) -> None:
    await api.post("/v1/responses", asking(docs))
    text = (await api.http.get("/metrics")).text
    assert 'antiphon_searches_total{outcome="completed"} 1.0' in text
    assert 'antiphon_citations_total{outcome="cited"} 1.0' in text

"""`GET /v1/responses/{id}/retrieval`: how the sources of an answer were found."""

from __future__ import annotations

from tests.api.client import Api
from tests.api.searching import QUESTION, asking, tool
from tests.harness.library import Library


async def test_the_trace_explains_the_search(api: Api, docs: str) -> None:
    answer = await api.post("/v1/responses", asking(docs))
    found = await api.get(f"/v1/responses/{answer['id']}/retrieval")
    (search,) = found["searches"]
    assert search["id"] == answer["output"][0]["id"] and search["status"] == "completed"
    trace = search["trace"]
    assert trace["mode"] == "lexical" and trace["collections"] == [docs] and trace["queries"] == [QUESTION]
    (passage,) = trace["passages"]
    assert passage["lexical"]["rank"] == 1 and passage["dense"] is None
    assert (passage["outcome"], passage["source"]) == ("used", 1) and passage["score"] > 0.7
    assert passage["filename"] == "bees.txt"
    assert {"index", "passages", "files"} <= trace["times_ms"].keys()
    assert found["citations"] == {"cited": 1, "unknown": 0, "unverified": 0, "too_many": 0}
    plain = await api.ask("x")
    nothing = await api.get(f"/v1/responses/{plain['id']}/retrieval")
    assert (nothing["searches"], nothing["citations"]) == ([], None)
    await api.refused("GET", "/v1/responses/resp_" + "0" * 32 + "/retrieval", status=404)


async def test_the_trace_names_the_files_of_all_candidates_that_are_still_there(
    api: Api, library: Library, docs: str
) -> None:
    for name in ("wasps.txt", "gone.txt"):
        text = f"In a long account of other things {name} has a word on honey, once, and no more."
        gone = await library.add(docs, name, text)
    answer = await api.post("/v1/responses", {**asking(docs), "tools": [tool(docs, max_num_results=1)]})
    await library.forget(gone)
    found = await api.get(f"/v1/responses/{answer['id']}/retrieval")
    told = {one["filename"]: one["outcome"] for one in found["searches"][0]["trace"]["passages"]}
    assert told == {"bees.txt": "used", "wasps.txt": "above the limit", None: "above the limit"}

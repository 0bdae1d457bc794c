"""`antiphon eval --answers`: whether every quote of an answer stands where its citation says, word for word.

What is compared with is read anew through the API: the text of the version that is cited.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import typer

from antiphon.cli.api_client import ApiError, Json
from antiphon.cli.users import Server, connected, fail


@dataclass
class Groundedness:
    """What was found. A citation without a quote proves nothing and is none of the exact ones."""

    answers: int = 0
    without_citations: int = 0
    citations: int = 0
    exact: int = 0
    wrong: list[Json] = field(default_factory=list)


def run_groundedness(
    named: Sequence[str], *, url: str | None, key: str | None, data_dir: Path | None, json_output: bool
) -> None:
    """Check answers, named by id or in files of JSON; ends with 1 if a quote is not exact."""
    found = Groundedness()
    with connected(url, key, data_dir) as server:
        for name in named:
            for answer in _answers(server, name):
                check(server, answer, found)
    if json_output:
        sys.stdout.write(json.dumps(asdict(found), ensure_ascii=False, indent=2) + "\n")
    else:
        _show(found)
    if found.wrong or not found.answers:
        raise typer.Exit(1)


def check(server: Server, answer: Json, found: Groundedness) -> None:
    """Add an answer's citations to what was found."""
    citations = list(_citations(answer))
    found.answers += 1
    found.without_citations += not citations
    for citation in citations:
        found.citations += 1
        problem = _problem(server, citation)
        if problem is None:
            found.exact += 1
        else:
            found.wrong.append({"response": answer.get("id"), "problem": problem, "citation": citation})


def _problem(server: Server, citation: Json) -> str | None:
    """Return why a quote is not exact, None if it is."""
    place = citation.get("antiphon")
    if not isinstance(place, dict) or not isinstance(place.get("quote"), str) or not place["quote"]:
        return "it has no quote"
    start, end = place["start"], place["end"]
    path = f"/v1/files/{citation['file_id']}/versions/{place['version']}/text"
    try:
        text = server.get(path, start=start, end=end)["text"]
    except ApiError as error:
        return f"its text cannot be read: {error}"
    return None if text == place["quote"] else f"at its place stands {text!r}"


def _citations(answer: Json) -> Iterator[Json]:
    for item in answer.get("output", ()):
        for part in item.get("content") or ():
            for annotation in part.get("annotations") or ():
                if annotation.get("type") == "file_citation":
                    yield annotation


def _answers(server: Server, name: str) -> Iterator[Json]:
    """Return the response of an id, or those in a file: one object, a list, or one a line."""
    path = Path(name)
    if not path.is_file():
        yield server.get(f"/v1/responses/{name}")
        return
    text = path.read_text()
    try:
        whole: Any = json.loads(text)
    except ValueError:
        whole = _lines(name, text)
    for one in whole if isinstance(whole, list) else [whole]:
        response = one.get("response", one) if isinstance(one, dict) else None
        if not isinstance(response, dict) or "output" not in response:
            fail(f"'{name}' holds something that is no response")
        yield response


def _lines(name: str, text: str) -> list[Any]:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        fail(f"'{name}' is no JSON: {error}")


def _show(found: Groundedness) -> None:
    print(
        f"{found.answers} answers, {found.without_citations} of them without citations;"
        f" {found.citations} citations, {found.exact} exact"
    )
    for one in found.wrong:
        print(f"{one['response']}: {one['citation'].get('filename')}: {one['problem']}")

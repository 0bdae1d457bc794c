"""What tests of answers from documents look at."""

from __future__ import annotations

from typing import Any

from antiphon.domain.file_search import FileSearch
from antiphon.services.answers import Answer

HONEY = (
    "Bees make honey in summer. They store it in combs.\n\nA hive has one queen. She lays the eggs.\n\n"
    "Wasps do not make honey. They hunt other insects."
)
RIVERS = "The Weser flows through Bremen. It is 451 km long.\n\nThe Elbe flows through Hamburg."
CITES = "scripted/cites"


def search(*collection_ids: str, **fields: Any) -> FileSearch:
    return FileSearch(collection_ids=collection_ids, **fields)


def annotations(answer: Answer) -> list[Any]:
    return [
        one
        for output in answer.outputs
        if output.type == "message"
        for part in output.payload["content"]
        for one in part["annotations"]
    ]


def said(answer: Answer) -> str:
    return "".join(
        part["text"] for out in answer.outputs if out.type == "message" for part in out.payload["content"]
    )

"""A question that a document answers, and asking it."""

from __future__ import annotations

from typing import Any

CITES = "scripted/cites"
QUESTION = "Who makes honey?"
SENTENCE = "Bees make honey in summer."


def tool(*collection_ids: str, **fields: Any) -> dict[str, Any]:
    return {"type": "file_search", "vector_store_ids": list(collection_ids), **fields}


def asking(docs: str, **fields: Any) -> dict[str, Any]:
    return {"model": CITES, "input": QUESTION, "tools": [tool(docs)], **fields}

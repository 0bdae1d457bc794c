"""The tool `file_search` as callers write it: which collections, how many passages, how they are ranked."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from antiphon.domain.errors import InvalidRequest
from antiphon.domain.filters import Filter, parse_filter

TOOL: Final = "file_search"
MAX_COLLECTIONS: Final = 20
"""In one search; the index of every one is read."""

MAX_RESULTS: Final = 50
DEFAULT_RESULTS: Final = 20
"""OpenAI's bounds of `max_num_results`, and its default for the tool."""

Ranker = Literal["auto", "default-2024-11-15", "none"]
RANKERS: Final = ("auto", "default-2024-11-15", "none")
_KNOWN: Final = frozenset({"type", "vector_store_ids", "filters", "max_num_results", "ranking_options"})
_RANKING: Final = frozenset({"ranker", "score_threshold", "hybrid_search"})


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """How passages are ranked. Scores lie between 0 and 1; the weights are those of the legs' fusion."""

    ranker: Ranker = "auto"
    score_threshold: float = 0.0
    text_weight: float = 1.0
    embedding_weight: float = 1.0


class FileSearch(msgspec.Struct, frozen=True, kw_only=True):
    """One search that a turn asks for; the collections are wire ids."""

    collection_ids: tuple[str, ...]
    filter: Filter | None = None
    max_results: int = DEFAULT_RESULTS
    ranking: Ranking = Ranking()


def parse_file_search(tool: dict[str, Any], param: str) -> FileSearch:
    """Return the search that a tool asks for; raises InvalidRequest naming the field."""
    _require_known(tool, _KNOWN, param)
    collection_ids = tool.get("vector_store_ids")
    if not isinstance(collection_ids, list) or not all(isinstance(one, str) for one in collection_ids):
        raise _invalid("must be a list of ids", f"{param}.vector_store_ids", "invalid_type")
    distinct = tuple(dict.fromkeys(collection_ids))
    if not 1 <= len(distinct) <= MAX_COLLECTIONS:
        raise _invalid(f"must hold 1 to {MAX_COLLECTIONS} ids", f"{param}.vector_store_ids", "invalid_value")
    return FileSearch(
        collection_ids=distinct,
        filter=parse_filter(tool.get("filters"), f"{param}.filters"),
        max_results=parse_max_results(tool.get("max_num_results"), f"{param}.max_num_results"),
        ranking=parse_ranking(tool.get("ranking_options"), f"{param}.ranking_options"),
    )


def parse_max_results(value: Any, param: str = "max_num_results", default: int = DEFAULT_RESULTS) -> int:
    """Return how many passages are wanted; raises InvalidRequest."""
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_RESULTS:
        raise _invalid(f"must be a number from 1 to {MAX_RESULTS}", param, "invalid_value")
    return value


def parse_ranking(value: Any, param: str = "ranking_options") -> Ranking:
    """Return ranking options from their wire shape; raises InvalidRequest."""
    if value is None:
        return Ranking()
    if not isinstance(value, dict):
        raise _invalid("must be an object", param, "invalid_type")
    _require_known(value, _RANKING, param)
    ranker: Any = value.get("ranker") or "auto"
    if ranker not in RANKERS:
        raise _invalid(f"is one of {', '.join(RANKERS)}", f"{param}.ranker", "invalid_value")
    text, embedding = _weights(value.get("hybrid_search"), f"{param}.hybrid_search")
    return Ranking(
        ranker=ranker,
        score_threshold=_number(value.get("score_threshold"), 0.0, f"{param}.score_threshold", most=1.0),
        text_weight=text,
        embedding_weight=embedding,
    )


def _weights(value: Any, param: str) -> tuple[float, float]:
    if value is None:
        return 1.0, 1.0
    if not isinstance(value, dict):
        raise _invalid("must be an object", param, "invalid_type")
    _require_known(value, frozenset({"text_weight", "embedding_weight"}), param)
    text = _number(value.get("text_weight"), 1.0, f"{param}.text_weight", most=1000.0)
    embedding = _number(value.get("embedding_weight"), 1.0, f"{param}.embedding_weight", most=1000.0)
    if text + embedding == 0:
        raise _invalid("needs a weight above 0", param, "invalid_value")
    return text, embedding


def _number(value: Any, default: float, param: str, *, most: float) -> float:
    if value is None:
        return default
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise _invalid(f"must be a number from 0 to {most:g}", param, "invalid_value")
    return float(value)


def _require_known(value: dict[str, Any], known: frozenset[str], param: str) -> None:
    for name in value.keys() - known:
        raise InvalidRequest(
            f"Unknown parameter: '{param}.{name}'.", code="unknown_parameter", param=f"{param}.{name}"
        )


def _invalid(what: str, param: str, code: str) -> InvalidRequest:
    return InvalidRequest(f"'{param}' {what}.", code=code, param=param)

"""Measuring retrieval: a benchmark is indexed once, asked through the real index, and its words are right."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from antiphon.bootstrap.evaluation import evaluate
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.evaluation import Figures
from antiphon.services.evaluation import Benchmark
from scripts.project_files import ROOT
from tests.harness.local_model import minilm, needs_minilm
from tests.services.world import settings_for

SCIFACT = ROOT.parent / "shared" / "data" / "scifact"
needs_scifact = pytest.mark.skipif(not SCIFACT.is_dir(), reason="SciFact does not lie beside the checkout")

DOCUMENTS = {
    "foxes": ("Red foxes", "Foxes dig dens in the woods. They hunt mice at night."),
    "whales": ("Blue whales", "Whales are the largest animals of the sea. They eat krill."),
    "owls": ("", "Owls see well in the dark and hunt mice as foxes do."),
}


def write(
    folder: Path,
    documents: dict[str, tuple[str, str]],
    queries: dict[str, str],
    judged: list[tuple[str, str, int]],
) -> Path:
    """Write a benchmark in BEIR's shape."""
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": one, "title": title, "text": text} for one, (title, text) in documents.items()]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in corpus))
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": one, "text": text}) + "\n" for one, text in queries.items())
    )
    lines = [
        "query-id\tcorpus-id\tscore",
        *(f"{query}\t{document}\t{grade}" for query, document, grade in judged),
    ]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    queries = {
        "1": "who digs a den?",
        "2": "what do whales eat",
        "3": "never judged",
        "4": "antarctic penguins",
    }
    judged = [("1", "foxes", 1), ("2", "whales", 2), ("2", "owls", 0), ("4", "absent", 1)]
    return write(tmp_path / "animals", DOCUMENTS, queries, judged)


async def measure(folder: Path, directory: Path, **changes: Any) -> Figures:
    more = {"passage_tokens": 200, "candidates": 100, **changes}
    return await evaluate(settings_for(directory), folder, directory, **more)


async def test_the_figures_are_those_of_the_rankings(folder: Path, tmp_path: Path) -> None:
    """Two of three judged queries are answered right, the third asks for what is not there."""
    figures = await measure(folder, tmp_path / "data")
    assert set(figures.qualities) == {"words"}
    assert figures.queries == {"1": {"words": 1.0}, "2": {"words": 1.0}, "4": {"words": 0.0}}
    assert figures.best.mrr == pytest.approx(2 / 3)
    assert (figures.dataset, figures.documents, figures.passages, figures.model) == ("animals", 3, 3, None)
    assert figures.documents_per_second is not None and figures.search_p95_ms > 0


async def test_an_index_that_is_kept_is_used_again(folder: Path, tmp_path: Path) -> None:
    first = await measure(folder, tmp_path / "data")
    second = await measure(folder, tmp_path / "data")
    assert second.documents_per_second is None
    assert (second.qualities, second.passages) == (first.qualities, first.passages)
    with pytest.raises(InvalidRequest, match="another benchmark"):
        await measure(folder, tmp_path / "data", passage_tokens=300)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("corpus.jsonl", None, "cannot be read"),
        ("queries.jsonl", '{"_id": "1"\n', "line 1"),
        ("queries.jsonl", '{"_id": "9", "text": "x"}\n', "No query"),
        ("qrels/test.tsv", "1 foxes 1\n", "each line"),
        ("qrels/test.tsv", None, "cannot be read"),
    ],
)
async def test_a_folder_that_is_no_benchmark_is_refused_with_the_place(
    folder: Path, tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text)
    with pytest.raises(InvalidRequest, match=said):
        await measure(folder, tmp_path / "data")


@pytest.mark.slow
@needs_scifact
async def test_scifact_is_found_by_words(tmp_path: Path) -> None:
    """BM25's published nDCG@10 is .679 (Pyserini) and .665 (BEIR)."""
    whole = await measure(SCIFACT, tmp_path / "whole", passage_tokens=4096)
    assert whole.passages == 5_183
    assert whole.best.ndcg_10 >= 0.69
    assert whole.best.recall_100 >= 0.92


@pytest.mark.slow
@needs_scifact
@needs_minilm
async def test_vectors_help_words_on_a_part_of_scifact(tmp_path: Path) -> None:
    """All that is judged, and as much that is not, with a real model: both legs beat either."""
    benchmark = Benchmark(SCIFACT)
    queries = dict(list(benchmark.queries.items())[:100])
    judged = [(query, one, grade) for query in queries for one, grade in benchmark.judgements[query].items()]
    wanted = {one for _, one, _ in judged}
    documents = {
        one.id: (one.title, one.text)
        for number, one in enumerate(benchmark.documents())
        if one.id in wanted or number % 25 == 0
    }
    folder = await asyncio.to_thread(write, tmp_path / "part", documents, queries, judged)
    settings = settings_for(tmp_path / "data", embedding_model=f"local:{minilm()}")
    figures = await evaluate(settings, folder, tmp_path / "data", passage_tokens=4096, candidates=100)
    words, vectors, both = (figures.qualities[name].ndcg_10 for name in ("words", "vectors", "both"))
    assert figures.model is not None and figures.embedded_per_second is not None
    assert both > max(words, vectors)
    assert figures.qualities["both"].ndcg_10 >= figures.qualities["ranks"].ndcg_10 - 0.005

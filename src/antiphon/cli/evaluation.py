"""`antiphon eval`: how good and how fast retrieval is on a benchmark."""

import asyncio
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from antiphon.bootstrap.evaluation import evaluate
from antiphon.cli.configuration import settings_or_exit
from antiphon.domain.errors import AntiphonError
from antiphon.domain.evaluation import Figures

NAMES = {
    "words": "words",
    "vectors": "vectors",
    "both": "both",
    "ranks": "both, by reciprocal ranks",
}
COLUMNS = {"ndcg_10": "nDCG@10", "recall_10": "Recall@10", "recall_100": "Recall@100", "mrr": "MRR"}


class Bounds(msgspec.Struct, frozen=True):
    """What must be reached by a search: nDCG@10, Recall@100, MRR; None where anything will do."""

    ndcg_10: float | None = None
    recall_100: float | None = None
    mrr: float | None = None


def run_evaluation(
    dataset: Path,
    *,
    data_dir: Path | None,
    passage_tokens: int,
    candidates: int,
    bounds: Bounds,
    json_output: bool,
) -> None:
    """Measure, print, and end with 1 if a bound was missed, with 2 if nothing could be measured."""
    settings = settings_or_exit()
    with ExitStack() as stack:
        directory = data_dir or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="antiphon-eval-"))
        )
        try:
            figures = asyncio.run(
                evaluate(settings, dataset, directory, passage_tokens=passage_tokens, candidates=candidates)
            )
        except AntiphonError as error:
            typer.echo(f"antiphon: {error.message}", err=True)
            raise typer.Exit(2) from None
    if json_output:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(figures)).decode() + "\n")
    else:
        show(figures)
    missed = list(missed_bounds(figures, bounds))
    for line in missed:
        typer.echo(f"antiphon: {line}", err=True)
    if missed:
        raise typer.Exit(1)


def missed_bounds(figures: Figures, bounds: Bounds) -> list[str]:
    """Return a line for every bound that was missed."""
    found = msgspec.structs.asdict(figures.best)
    wanted = msgspec.structs.asdict(bounds)
    return [
        f"{COLUMNS[name]} is {found[name]:.4f}, less than {least:g}"
        for name, least in wanted.items()
        if least is not None and found[name] < least
    ]


def show(figures: Figures) -> None:
    """Print the figures as a table."""
    console = Console(highlight=False)
    table = Table(title=f"{figures.dataset}: {len(figures.queries):,} queries")
    table.add_column("ranked by")
    for column in COLUMNS.values():
        table.add_column(column, justify="right")
    for name, found in figures.qualities.items():
        table.add_row(NAMES[name], *(f"{getattr(found, column):.4f}" for column in COLUMNS))
    console.print(table)
    console.print(f"{figures.documents:,} documents, {figures.passages:,} passages")
    if figures.documents_per_second is not None and figures.passages_per_second is not None:
        console.print(
            f"indexed {figures.documents_per_second:,.0f} documents/s,"
            f" {figures.passages_per_second:,.0f} passages/s"
        )
    console.print(f"search: {figures.search_p50_ms:.1f} ms p50, {figures.search_p95_ms:.1f} ms p95")
    if figures.model is None:
        console.print("no embedding model is configured: words only")
        return
    console.print(f"embedded by {figures.model}", end="")
    if figures.embedded_per_second is not None:
        console.print(f", {figures.embedded_per_second:,.1f} texts/s", end="")
    console.print(f"; a question {figures.embed_p50_ms or 0:.1f} ms p50")

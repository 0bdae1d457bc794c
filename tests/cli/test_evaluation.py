"""`antiphon eval`: figures for people and for machines, and an exit code for pipelines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from antiphon.cli.main import app
from tests.services.test_evaluation import DOCUMENTS, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # no environment file of the checkout
    monkeypatch.delenv("EMBEDDING_MODEL", raising=False)
    queries = {"1": "who digs a den?", "2": "penguins"}
    return write(tmp_path / "animals", DOCUMENTS, queries, [("1", "foxes", 1), ("2", "absent", 1)])


def test_figures_are_shown(runner: CliRunner, folder: Path) -> None:
    result = runner.invoke(app, ["eval", str(folder)])
    assert result.exit_code == 0, result.output
    for part in ("animals: 2 queries", "words", "0.5000", "3 documents", "p95", "words only"):
        assert part in result.stdout


def test_machines_get_json(runner: CliRunner, folder: Path) -> None:
    result = runner.invoke(app, ["eval", str(folder), "--json", "--min-ndcg", "0.5"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["qualities"]["words"]["ndcg_10"] == 0.5
    assert found["queries"]["2"] == {"words": 0.0}


@pytest.mark.parametrize("bound", ["--min-ndcg", "--min-recall", "--min-mrr"])
def test_a_missed_bound_is_an_exit_code(runner: CliRunner, folder: Path, bound: str) -> None:
    result = runner.invoke(app, ["eval", str(folder), bound, "0.6"])
    assert result.exit_code == 1
    assert "less than 0.6" in result.output


def test_what_cannot_be_measured_is_one_line(runner: CliRunner, folder: Path) -> None:
    (folder / "queries.jsonl").unlink()
    result = runner.invoke(app, ["eval", str(folder)])
    assert result.exit_code == 2
    assert "cannot be read" in result.output
    assert "Traceback" not in result.output


def test_an_index_can_be_kept(runner: CliRunner, folder: Path, tmp_path: Path) -> None:
    kept = ["--data-dir", str(tmp_path / "kept")]
    assert "documents/s" in runner.invoke(app, ["eval", str(folder), *kept]).stdout
    assert "documents/s" not in runner.invoke(app, ["eval", str(folder), *kept]).stdout

"""`antiphon ask`: a folder, a question, an answer whose quotes stand in the files. No server is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from antiphon.cli.ask import cited
from antiphon.cli.main import app
from tests.e2e.sdk.launch import running_server
from tests.ports import free_port

HONEY = "Bees make honey in summer. They store it in combs.\n\nA hive has one queen.\n"
Ask = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    (docs / "sub" / ".git").mkdir(parents=True)
    (docs / "bees.txt").write_text(HONEY)
    (docs / "sub" / "rivers.md").write_text("# Rivers\n\nThe Weser flows through Bremen. It is long.\n")
    (docs / ".secret").write_text("Honey is hidden here.")
    (docs / "sub" / ".git" / "config").write_text("Honey is hidden here as well.")
    (docs / "link.txt").symlink_to(docs / ".secret")
    return docs


@pytest.fixture
def anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", str(free_port()))
    for name in ("SECRET_KEY", "API_KEY", "AUTH_REQUIRED", "ENVIRONMENT", "DEFAULT_MODEL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(params=["directory", "server"])
def ask(request: pytest.FixtureRequest, anywhere: Path, folder: Path, runner: CliRunner) -> Iterator[Ask]:
    """Runs `antiphon ask` on a data directory, or on a running server."""

    def run(question: str, *words: str, status: int = 0) -> Result:
        result = runner.invoke(app, ["ask", question, "--docs", str(folder), *where, *words])
        assert result.exit_code == status, result.output
        return result

    if request.param == "directory":
        where = ["--data-dir", str(anywhere / "data")]
        yield run
        return
    with running_server(anywhere, {}) as server:
        where = ["--base-url", server.origin]
        yield run


def asked(ask: Ask, question: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What became of the folder, and the citations of the answer."""
    found = json.loads(ask(question, "--json").stdout)
    return found["folder"], cited(found["response"]).notes


def test_the_answer_quotes_the_files_to_the_letter(ask: Ask, folder: Path) -> None:
    synced, notes = asked(ask, "Who makes honey?")
    assert (synced["added"], synced["failed"]) == (2, {})
    assert [note["filename"] for note in notes] == ["bees.txt"]
    place = notes[0]["antiphon"]
    assert place["quote"] == "Bees make honey in summer."
    assert HONEY[place["start"] : place["end"]] == place["quote"]


def test_only_what_changed_is_read_again(ask: Ask, folder: Path) -> None:
    asked(ask, "Who makes honey?")
    (folder / "bees.txt").write_text(HONEY.replace("summer", "spring"))
    (folder / "sub" / "rivers.md").unlink()
    (folder / "new.txt").write_text("Wasps hunt in autumn.\n")
    (folder / "broken.bin").write_bytes(bytes(range(256)) * 8)
    synced, notes = asked(ask, "Who makes honey?")
    numbers = {name: synced[name] for name in ("added", "changed", "removed", "unchanged")}
    assert numbers == {"added": 2, "changed": 1, "removed": 1, "unchanged": 0}
    assert list(synced["failed"]) == ["broken.bin"]
    assert notes[0]["antiphon"]["quote"] == "Bees make honey in spring."
    again, _ = asked(ask, "Where does the Weser flow?")
    assert (again["unchanged"], again["added"]) == (3, 0)
    assert not asked(ask, "Where does the Weser flow?")[1]


def test_it_prints_numbers_files_and_quotes(ask: Ask) -> None:
    shown = ask("Who makes honey?").stdout
    assert "“Bees make honey in summer.” [1]" in shown
    assert "[1] bees.txt\n    “Bees make honey in summer.”" in shown


def test_a_temporary_run_keeps_nothing(anywhere: Path, folder: Path, runner: CliRunner) -> None:
    result = runner.invoke(app, ["ask", "Who makes honey?", "--docs", str(folder), "--temporary"])
    assert result.exit_code == 0 and "bees.txt" in result.output, result.output
    assert {one.name for one in anywhere.iterdir()} == {"docs"}


def test_a_model_that_is_not_there_and_a_folder_that_is_none_are_told(
    anywhere: Path, folder: Path, runner: CliRunner
) -> None:
    where = ["--docs", str(folder), "--temporary"]
    unknown = runner.invoke(app, ["ask", "x", *where, "--model", "nobody/has"])
    assert unknown.exit_code == 1 and "nobody/has" in unknown.output
    absent = runner.invoke(app, ["ask", "x", "--docs", str(folder / "absent")])
    assert absent.exit_code == 1 and "is no folder" in absent.output


def test_citations_are_numbered_by_what_they_quote() -> None:
    def note(index: int, start: int) -> dict[str, Any]:
        place = {"version": 1, "start": start, "end": start + 1, "quote": "q", "page": None}
        return {"type": "file_citation", "index": index, "file_id": "f", "filename": "n", "antiphon": place}

    part = {
        "type": "output_text",
        "text": "one two three",
        "annotations": [note(7, 5), note(3, 9), note(13, 5)],
    }
    found = cited({"output": [{"type": "reasoning"}, {"type": "message", "content": [part]}]})
    assert found.text == "one [1] two [2] three [2]" and len(found.notes) == 2

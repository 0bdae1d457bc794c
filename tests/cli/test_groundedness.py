"""`antiphon eval --answers`: quotes are compared with the text they are cited from, and lies are found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from antiphon.cli.api_client import ApiClient
from antiphon.cli.main import app
from tests.e2e.sdk.launch import running_server
from tests.ports import free_port

TEXT = "Bees make honey in summer. They store it in combs.\n"
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: CliRunner) -> Run:
    """Runs a command on a data directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", str(free_port()))
    for name in ("SECRET_KEY", "API_KEY", "AUTH_REQUIRED", "ENVIRONMENT", "DEFAULT_MODEL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "bees.txt").write_text(TEXT)
    return lambda *words: runner.invoke(app, [*words, "--data-dir", str(tmp_path / "data")])


@pytest.fixture
def response(run: Run) -> dict[str, Any]:
    """An answer with citations."""
    found: dict[str, Any] = json.loads(run("ask", "Who makes honey?", "--docs", "docs", "--json").stdout)
    return found["response"]  # type: ignore[no-any-return]


def place(response: dict[str, Any]) -> dict[str, Any]:
    """What the answer's first citation says of its place."""
    (message,) = (item for item in response["output"] if item["type"] == "message")
    return message["content"][0]["annotations"][0]["antiphon"]  # type: ignore[no-any-return]


def test_answers_are_checked_from_files(run: Run, response: dict[str, Any], tmp_path: Path) -> None:
    lines = [json.dumps(response), json.dumps({"response": response})]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "one.json").write_text(json.dumps(response, indent=2))
    result = run("eval", "--answers", "one.json", "lines.jsonl", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["answers"], found["wrong"]) == (3, [])
    assert found["citations"] == found["exact"] >= 3
    assert "1 answers, 0 of them without citations" in run("eval", "--answers", "one.json").stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quote": "Bees make money in summer."}, "at its place stands"),
        ({"start": 1}, "at its place stands"),
        ({"quote": ""}, "no quote"),
        ({"version": 9}, "cannot be read"),
    ],
)
def test_a_quote_that_does_not_stand_there_is_found(
    run: Run, response: dict[str, Any], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    place(response).update(change)
    (tmp_path / "answer.json").write_text(json.dumps([response]))
    result = run("eval", "--answers", "answer.json")
    assert result.exit_code == 1
    assert said in result.output


def test_a_running_server_is_asked_for_answers_it_keeps(run: Run, tmp_path: Path, runner: CliRunner) -> None:
    with running_server(tmp_path, {}) as server:
        where = ["--base-url", server.origin]
        asked = runner.invoke(app, ["ask", "Who makes honey?", "--docs", "docs", "--json", *where])
        model = json.loads(asked.stdout)["response"]["model"]
        client = ApiClient(server.origin)
        (store,) = client.get("/v1/vector_stores")["data"]
        tool = {"type": "file_search", "vector_store_ids": [store["id"]]}
        body = {"model": model, "input": "Who makes honey?"}
        answers = [client.post("/v1/responses", {**body, "tools": tools})["id"] for tools in ([tool], [])]
        result = runner.invoke(app, ["eval", "--answers", *answers, *where])
        assert result.exit_code == 0, result.output
        assert "2 answers, 1 of them without citations; 1 citations, 1 exact" in result.stdout


def test_what_is_no_answer_is_refused(run: Run, tmp_path: Path, response: dict[str, Any]) -> None:
    (tmp_path / "x.json").write_text("{")
    (tmp_path / "y.json").write_text("[1]")
    for name in ("x.json", "y.json", "resp_" + "0" * 32):
        result = run("eval", "--answers", name)
        assert result.exit_code == 1
        assert "Traceback" not in result.output
    assert run("eval", "a", "b").exit_code == 2

"""`antiphon doctor` calls the embedding model and the reranker once, and says what is wrong with them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon.cli.doctor_embedding import embedding
from antiphon.cli.findings import Finding, State
from tests.harness.embedding_server import EmbeddingServer, embedding_server, says
from tests.harness.local_model import minilm
from tests.services.world import settings_for

KEY = "ek-a-key-nobody-may-see"


@contextmanager
def serving(**fields: Any) -> Iterator[EmbeddingServer]:
    """An embedding server beside the doctor, which has an event loop of its own."""
    ready, servers = threading.Event(), []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with embedding_server(**fields) as server:
            servers.append(server)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), name="upstream")
    thread.start()
    assert ready.wait(10)
    try:
        yield servers[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def examined(directory: Path, **settings: Any) -> tuple[Finding, Finding]:
    first, second = embedding(settings_for(directory, **settings))
    for finding in (first, second):
        assert KEY not in f"{finding.detail} {finding.hint}"
    return first, second


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "GROQ_API_KEY", "HF_TOKEN", "OLLAMA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_nothing_configured_is_no_failure(tmp_path: Path) -> None:
    found = examined(tmp_path)
    assert [one.state for one in found] == [State.SKIP, State.SKIP]
    assert "words only" in found[0].detail


def test_what_answers_is_shown_with_its_dimensions(tmp_path: Path) -> None:
    with serving() as server:
        found = examined(
            tmp_path, embedding_model="words", embedding_base_url=server.base_url, embedding_api_key=KEY,
            embedding_dimensions=32, rerank_url=server.url, rerank_model="x",
        )  # fmt: skip
    assert [one.state for one in found] == [State.OK, State.OK]
    assert "embedding/words@32 answers: 32 dimensions" in found[0].detail
    assert "rerank/x" in found[1].detail


def test_what_fails_says_why(tmp_path: Path) -> None:
    with serving(always=says(401)) as server:
        found = examined(
            tmp_path, embedding_model="words", embedding_base_url=server.base_url, embedding_api_key=KEY,
            rerank_url=server.url,
        )  # fmt: skip
    assert [one.state for one in found] == [State.FAIL, State.FAIL]
    assert all("refuses our credentials" in one.detail for one in found)


def test_a_model_in_a_directory_is_tried_without_a_server(tmp_path: Path) -> None:
    found, _ = examined(tmp_path, embedding_model=f"local:{minilm()}")
    assert found.state is State.OK and "384 dimensions" in found.detail


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"embedding_model": "local:absent"}, "no directory"),
        ({"embedding_model": "nobody/nothing"}, "names the provider 'nobody'"),
        ({"embedding_model": "offline/extractive"}, "makes no embeddings"),
        ({"embedding_model": "minilm"}, "'local:DIRECTORY' or 'provider/model'"),
        ({"embedding_model": "m", "embedding_base_url": "ftp://x"}, "EMBEDDING_BASE_URL"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path, settings: Any, said: str) -> None:
    found, _ = examined(tmp_path, **settings)
    assert found.state is State.FAIL and said in found.detail


def test_tables_of_the_configuration_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "antiphon.toml"
    path.write_text('[embedding]\nmodel = "scripted/embedding"\ndimensions = 16\n')
    found, _ = examined(tmp_path, config_file=path)
    assert found.state is State.OK and "16 dimensions" in found.detail
    path.write_text("[embedding]\nsize = 3\n[rerank]\nseconds = 'long'\n")
    found, rerank = examined(tmp_path, config_file=path)
    assert "[embedding] knows no 'size'" in found.detail and "seconds has the wrong type" in rerank.detail

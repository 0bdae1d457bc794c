"""Fixtures for the command line."""

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from tests.cli.fake_server import FakeServer, fake_server


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as running:
        yield running


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has set must not decide a test; pauses between attempts are not waited for."""
    for name in ("ANTIPHON_API_KEY", "ANTIPHON_BASE_URL", "HOST", "PORT", "DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("antiphon.cli.answers.RETRY_PAUSE_SECONDS", (0.01,) * 5)

"""`antiphon serve` says where to go once it answers, and ends in order on SIGTERM."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from antiphon.cli import serve
from antiphon.cli.api_client import ApiClient, ClientError
from antiphon.cli.main import app
from tests.cli.fake_server import FakeServer
from tests.e2e.sdk.launch import clean_environment, running_server
from tests.e2e.server_process import eventually
from tests.ports import free_port


def test_the_greeting_comes_from_the_running_server(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    serve.greet_when_ready(server.base_url)
    shown = capsys.readouterr().out
    assert f"Antiphon: {server.base_url}/v1" in shown
    assert f"docs: {server.base_url}/docs" in shown
    assert '"model": "offline/echo"' in shown
    assert "models: offline/echo, groq/llama" in shown
    assert "\x1b" not in shown


def test_no_server_no_greeting(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "GREETING_WAIT_SECONDS", 0.2)
    serve.greet_when_ready("http://127.0.0.1:9")
    assert capsys.readouterr().out == ""


def test_a_server_that_wants_credentials_is_told_apart_from_one_without_models(server: FakeServer) -> None:
    server.refusals["GET /v1/models"] = (401, "no credential")
    assert serve.available_models(ApiClient(server.base_url)) is None
    steps = dict(serve.next_steps(server.base_url, None))
    assert "Bearer $API_KEY" in steps["try"]
    assert "credentials" in steps["models"]
    assert ".env.example" in serve.models_line([])


def test_many_models_are_counted() -> None:
    names = [f"offline/{number}" for number in range(10)]
    assert serve.models_line(names).endswith("offline/7 and 2 more")


def test_options_override_the_environment(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "8001")
    monkeypatch.setenv("DATA_DIR", "elsewhere")
    monkeypatch.setattr(serve, "serve", served.append)
    monkeypatch.setattr(serve, "greet_when_ready", lambda url, key: None)
    assert runner.invoke(app, ["serve", "--data-dir", "here", "--host", "localhost"]).exit_code == 0
    (settings,) = served
    assert (settings.host, settings.port, Path(settings.data_dir)) == ("localhost", 8001, Path("here"))


def test_a_wrong_setting_ends_it_with_one_line(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "high")
    result = runner.invoke(app, ["serve"])
    assert result.exit_code == 2
    assert result.stderr.startswith("antiphon: PORT: ")
    assert result.stderr.count("\n") == 1


def test_a_real_server_greets_and_ends_on_sigterm(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        deadline = time.monotonic() + 20
        while f"Antiphon: {server.base_url}" not in server.log_tail(400):
            assert time.monotonic() < deadline, server.log_tail()
            time.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) in {0, -signal.SIGTERM}


def test_a_server_that_reloads_starts_again_after_a_change_and_keeps_its_data(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "antiphon.toml").write_text("")
    environment = clean_environment() | {"PORT": str(port), "DATA_DIR": str(tmp_path / "data")}
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "antiphon", "serve", "--reload"],
        cwd=tmp_path, env=environment, stdout=log, stderr=log,
    )  # fmt: skip
    client = ApiClient(f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: answers(client), "a server", 30)
        made = client.post("/v1/conversations", {"title": "Kept"})
        (tmp_path / "antiphon.toml").write_text("[aliases]\nquick = 7\n")  # no server starts with this
        eventually(lambda: b"after the next change" in (tmp_path / "log").read_bytes(), "its end", 30)
        (tmp_path / "antiphon.toml").write_text('[aliases]\nquick = "offline/extractive"\n')
        eventually(lambda: answers(client), "a server again", 30)
        assert client.get(f"/v1/conversations/{made['id']}")["title"] == "Kept"
        assert client.post("/v1/responses", {"model": "quick", "input": "hi"})["status"] == "completed"
        process.terminate()
        assert process.wait(20) == 0
        assert not answers(client)
    finally:
        process.kill()
        log.close()


def answers(client: ApiClient) -> bool:
    try:
        client.get("/health")
    except ClientError:
        return False
    return True


def test_nothing_is_reloaded_in_production(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", "0123456789abcdef" * 4)
    told = runner.invoke(app, ["serve", "--reload"])
    assert told.exit_code == 2 and "development" in told.output

"""`antiphon doctor` finds what would keep the server from working, exits with 1, and never shows a key."""

import errno
import fcntl
import json
import os
import resource
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from antiphon.api.errors import describe
from antiphon.cli import doctor_machine
from antiphon.cli.configuration import base_url_of
from antiphon.cli.findings import Finding, State
from antiphon.cli.main import app
from antiphon.domain.errors import Unavailable
from tests import ports
from tests.cli.fake_server import FakeServer
from tests.harness.people import SECRET_KEY as SECRET

KEY = "gsk_a-key-nobody-may-see"


@pytest.fixture(autouse=True)
def quiet_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the developer's, and no `.env` of the checkout."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL")) or name in {"API_KEY", "HF_TOKEN", "ENVIRONMENT"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def free_port() -> int:
    return ports.free_port()


def examine(runner: CliRunner, *options: str, port: int, data_dir: Path) -> tuple[int, dict[str, Finding]]:
    """Run the doctor; the result is its exit code and its findings by name."""
    arguments = ["doctor", "--json", "--port", str(port), "--data-dir", str(data_dir), *options]
    result = runner.invoke(app, arguments)
    assert KEY not in result.output
    told = json.loads(result.stdout)
    assert told["ok"] is (result.exit_code == 0)
    findings = [Finding(c["check"], State(c["state"]), c["detail"], c["hint"]) for c in told["checks"]]
    return result.exit_code, {finding.check: finding for finding in findings}


def test_a_sound_machine_passes(runner: CliRunner, tmp_path: Path, free_port: int) -> None:
    code, found = examine(runner, port=free_port, data_dir=tmp_path / "data")
    assert code == 0
    assert {"python", "dependencies", "settings", "data directory", "disk", "open files", "sqlite"} <= set(
        found
    )
    assert "will be made" in found["data directory"].detail
    assert "is free" in found["port"].detail
    assert found["providers"].state is State.WARN
    assert not (tmp_path / "data").exists()


def test_it_is_readable_without_json(runner: CliRunner, tmp_path: Path, free_port: int) -> None:
    result = runner.invoke(app, ["doctor", "--port", str(free_port), "--data-dir", str(tmp_path)])
    assert result.exit_code == 0
    assert "ok   data directory" in result.stdout


def test_a_port_of_another_program_fails(runner: CliRunner, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        code, found = examine(runner, port=port, data_dir=tmp_path)
    assert code == 1
    assert found["port"].state is State.FAIL


def test_a_data_directory_that_is_a_file_fails(runner: CliRunner, tmp_path: Path, free_port: int) -> None:
    (tmp_path / "data").write_text("")
    code, found = examine(runner, port=free_port, data_dir=tmp_path / "data")
    assert code == 1
    assert found["data directory"].state is State.FAIL


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.ENOSPC, "free some space"), (errno.EIO, "choose another with DATA_DIR")]
)
def test_what_to_do_about_a_data_directory_depends_on_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(doctor_machine.tempfile, "TemporaryFile", refuse)
    finding = doctor_machine.data_directory(tmp_path)
    assert finding.state is State.FAIL and os.strerror(number) in finding.detail
    assert (finding.hint or "").startswith(hint)


def test_a_setting_that_makes_no_sense_is_named_without_its_value(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", KEY)
    result = runner.invoke(app, ["doctor", "--json", "--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    (finding,) = [c for c in json.loads(result.stdout)["checks"] if c["check"] == "settings"]
    assert finding["detail"].startswith("PORT: ")
    assert KEY not in result.output


def test_a_dotenv_that_cannot_be_decoded_is_named(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("TITLES='für'".encode("latin-1"))
    result = runner.invoke(app, ["doctor", "--json", "--data-dir", str(tmp_path)])
    (finding,) = [c for c in json.loads(result.stdout)["checks"] if c["check"] == "settings"]
    assert (finding["state"], finding["detail"]) == ("fail", ".env is not written in UTF-8.")


# --- databases


def make_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE words (word TEXT)")
    connection.executemany("INSERT INTO words VALUES (?)", [(f"word {n}" * 50,) for n in range(500)])
    connection.commit()
    connection.close()


@contextmanager
def held_lock(directory: Path) -> Iterator[None]:
    with (directory / doctor_machine.LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_sound_database_passes_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    make_database(tmp_path / "antiphon.db")
    (finding,) = doctor_machine.databases(tmp_path)
    assert (finding.check, finding.state) == ("antiphon.db", State.OK)
    assert [path.name for path in tmp_path.iterdir()] == ["antiphon.db"]


def test_a_damaged_database_fails(tmp_path: Path) -> None:
    make_database(tmp_path / "antiphon.db")
    with (tmp_path / "antiphon.db").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 4)
    (finding,) = doctor_machine.databases(tmp_path)
    assert finding.state is State.FAIL


def test_a_database_in_use_is_examined_with_its_log(tmp_path: Path) -> None:
    make_database(tmp_path / "antiphon.db")
    writer = sqlite3.connect(tmp_path / "antiphon.db")
    writer.execute("INSERT INTO words VALUES ('still in the log')")
    writer.commit()
    with held_lock(tmp_path):
        assert doctor_machine.data_lock(tmp_path).detail == "held by a running server"
        assert doctor_machine.database_problem(tmp_path / "antiphon.db") is None
    writer.close()
    assert doctor_machine.data_lock(tmp_path).detail == "free"


# --- limits


@pytest.mark.parametrize(
    ("hard", "state"),
    [(128, State.FAIL), (512, State.WARN), (4096, State.OK), (resource.RLIM_INFINITY, State.OK)],
)
def test_few_file_descriptors_are_told(monkeypatch: pytest.MonkeyPatch, hard: int, state: State) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, hard))  # a server raises the one to the other
    assert doctor_machine.file_limit().state is state


def test_an_old_package_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine, "installed_version", lambda name: "0.9.9")
    findings = list(doctor_machine.dependencies())
    assert all(finding.state is State.FAIL for finding in findings)
    assert any(finding.detail.startswith("starlette 0.9.9 is older than") for finding in findings)


@pytest.mark.parametrize(
    ("older", "newer"), [("1.0", "1.0.1"), ("0.9", "0.10"), ("2026.9.21", "2026.10"), ("1.0rc1", "1.1")]
)
def test_versions_compare_by_their_numbers(older: str, newer: str) -> None:
    assert doctor_machine.version_key(older) < doctor_machine.version_key(newer)
    assert doctor_machine.version_key("1.0") == doctor_machine.version_key("1.0.0")


# --- the running server


def port_of(server: FakeServer) -> int:
    return int(server.base_url.rpartition(":")[2])


def test_configured_providers_are_seen_through_the_server(
    runner: CliRunner, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://127.0.0.1:9/v1")
    code, found = examine(runner, port=port_of(server), data_dir=tmp_path)
    assert code == 1
    assert (found["groq"].state, found["groq"].detail) == (State.OK, "1 models")
    assert found["ollama"].state is State.FAIL


def test_a_server_of_ours_that_cannot_serve_is_not_taken_for_another_program(
    runner: CliRunner, server: FakeServer, tmp_path: Path
) -> None:
    full = Unavailable("The store refuses writes: disk full or read-only.", code="storage_full")
    server.errors["GET /health"] = describe(full)[:2]
    code, found = examine(runner, port=port_of(server), data_dir=tmp_path)
    assert code == 1 and "port" not in found
    assert found["server"].state is State.FAIL and full.message in found["server"].detail


def test_a_program_that_says_503_in_its_own_way_is_another_one(
    runner: CliRunner, server: FakeServer, tmp_path: Path
) -> None:
    server.errors["GET /health"] = (503, {"status": "loading"})
    code, found = examine(runner, port=port_of(server), data_dir=tmp_path)
    assert code == 1 and "answers 503" in found["port"].detail and "server" not in found


def test_without_a_server_providers_are_not_asked(
    runner: CliRunner, tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    code, found = examine(runner, port=free_port, data_dir=tmp_path)
    assert code == 0
    assert found["providers"].state is State.SKIP


def test_a_server_that_wants_a_key_says_so(
    runner: CliRunner, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    server.refusals["GET /v1/models"] = (401, "no credential")
    code, found = examine(runner, port=port_of(server), data_dir=tmp_path)
    assert code == 0
    assert found["providers"].hint == "give a key with --api-key"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("chat.example", "http://chat.example:80"),
    ],
)
def test_where_a_client_finds_the_server(host: str, url: str) -> None:
    assert base_url_of(host, 80) == url


def test_who_may_come_in_is_told(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_port: int
) -> None:
    data = tmp_path / "data"
    _, found = examine(runner, port=free_port, data_dir=data)
    assert "none needed" in found["credentials"].detail and found["sign-up"].detail == "closed"
    data.mkdir(exist_ok=True)
    (data / "secret_key").write_text("x" * 64)
    (data / "secret_key").chmod(0o644)
    code, found = examine(runner, port=free_port, data_dir=data)
    assert code == 1 and found["secret"].state is State.FAIL
    (data / "secret_key").chmod(0o600)
    _, found = examine(runner, port=free_port, data_dir=data)
    assert found["secret"].state is State.OK
    for name, value in {
        "HOST": "0.0.0.0",
        "SIGNUP": "open",
        "SECRET_KEY": SECRET,
        "SECRET_KEY_PREVIOUS": SECRET,
    }.items():
        monkeypatch.setenv(name, value)
    _, found = examine(runner, port=free_port, data_dir=data)
    assert "SECRET_KEY" in found["credentials"].detail
    assert found["sign-up"].state is State.WARN and found["rotation"].state is State.WARN
    monkeypatch.setenv("SECRET_KEY", "changeme-0123456789-changeme-0123456789")
    code, found = examine(runner, port=free_port, data_dir=data)
    assert code == 1 and "sample" in found["settings"].detail and "changeme" not in found["settings"].detail

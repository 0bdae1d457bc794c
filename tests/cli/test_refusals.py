"""A start, or a command, that its surroundings keep from working says so in one line, with what to do."""

from __future__ import annotations

import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from antiphon.bootstrap.refusals import MOST_CHARACTERS, refusal_of
from antiphon.domain.errors import Unavailable
from antiphon.services.keyring import Keyring
from antiphon.services.sealing import Sealer
from antiphon.services.secrets import PURPOSE
from antiphon.storage.sql.sqlite import lock_directory
from tests import postgres, warm
from tests.e2e.sdk.launch import clean_environment
from tests.ports import free_port
from tests.services.world import prepare

Given = Mapping[str, str]
Harm = Callable[[Path], Given]


def run(
    directory: Path, *words: str, given: Given, limit: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in clean_environment().items()
        if name not in ("DATABASE_URL", "LOG_LEVEL")
    }
    environment |= {"DATA_DIR": str(directory / "data"), "PORT": str(free_port()), **given}
    if limit is None:
        return warm.run(words, env=environment, cwd=directory, timeout=60)
    return subprocess.run(
        [sys.executable, "-m", "antiphon", *words], cwd=directory, env=environment, capture_output=True,
        text=True, timeout=60, check=False, preexec_fn=limit,
    )  # fmt: skip


def require_one_line(done: subprocess.CompletedProcess[str], said: str) -> None:
    lines = done.stderr.splitlines()
    told = [line for line in lines if line.startswith("antiphon: ")]
    assert done.returncode not in (0, None), done.stdout
    assert len(told) == 1 and said in told[0], done.stderr[-3000:]
    assert all(len(line) <= MOST_CHARACTERS + len("antiphon: ") for line in lines), done.stderr[-3000:]
    assert "Traceback" not in done.stderr and "╭" not in done.stderr


def made(directory: Path) -> Path:
    """A data directory as a first start leaves it, without the start."""
    data = directory / "data"
    data.mkdir(exist_ok=True)
    prepare(data)
    return data


def newer(name: str) -> Harm:
    def harm(directory: Path) -> Given:
        with closing(sqlite3.connect(made(directory) / name)) as db, db:
            db.execute("UPDATE alembic_version SET version_num='9999'")
        return {}

    return harm


def damaged(name: str) -> Harm:
    def harm(directory: Path) -> Given:
        place = made(directory) / name
        for path in place.parent.glob(f"{name}*"):
            path.unlink()
        place.write_bytes(b"nothing that a database begins with" * 400)
        return {}

    return harm


def lost(name: str) -> Harm:
    def harm(directory: Path) -> Given:
        for path in made(directory).glob(f"{name}*"):
            path.unlink()
        return {}

    return harm


def a_file(directory: Path) -> Given:
    (directory / "data").write_text("")
    return {}


def configured(content: bytes, file: str = "antiphon.toml") -> Harm:
    def harm(directory: Path) -> Given:
        (directory / file).write_bytes(content)
        return {}

    return harm


def setting(**given: str) -> Harm:
    return lambda directory: given


HARMS: dict[str, tuple[Harm, str]] = {
    "newer schema": (newer("antiphon.db"), "schema 9999"),
    "newer schema of knowledge": (newer("knowledge.db"), "schema 9999"),
    "damaged": (damaged("antiphon.db"), "antiphon.db"),
    "damaged knowledge": (damaged("knowledge.db"), "knowledge.db"),
    "lost": (lost("antiphon.db"), "no antiphon.db (or an empty one)"),
    "lost knowledge": (lost("knowledge.db"), "no knowledge.db (or an empty one)"),
    "data directory is a file": (a_file, "choose another DATA_DIR"),
    "data directory cannot be": (setting(DATA_DIR="/proc/none/data"), "/proc/none"),
    "broken TOML": (configured(b"[aliases\n"), "antiphon.toml: "),
    "TOML in Latin-1": (configured("default_model = 'é'".encode("latin-1")), "antiphon.toml is not written"),
    ".env in Latin-1": (configured("TITLE='ü'".encode("latin-1"), ".env"), ".env is not written in UTF-8."),
    "no table": (configured(b"providers = 3\n"), "providers is a table"),
    "no alias": (configured(b"[aliases]\nx = 3\n"), "[aliases] x is the name"),
    "no fallbacks": (configured(b'[fallbacks]\nx = "y"\n'), "[fallbacks] 'x' is a list"),
    "no default": (configured(b"default_model = 3\n"), "default_model is a name in quotes"),
    "mistyped table": (configured(b"[providrs.x]\n"), "antiphon.toml knows no 'providrs'; it knows default"),
    "no file": (setting(CONFIG_FILE="/none.toml"), "CONFIG_FILE: there is no file '/none.toml'"),
    "a directory": (setting(CONFIG_FILE="/tmp"), "CONFIG_FILE: there is no file '/tmp'"),
    "no public address": (setting(GOOGLE_CLIENT_ID="x", GOOGLE_CLIENT_SECRET="y"), "PUBLIC_URL"),
    "no database there": (
        setting(DATABASE_URL="postgresql://me:hunter2@127.0.0.1:9/x"), "PostgreSQL cannot be reached"
    ),
    "no root certificate": (
        setting(DATABASE_URL="postgresql://me:hunter2@127.0.0.1:9/x?sslmode=verify-full&sslrootcert=/none"),
        "/none",
    ),
    "slash in a password": (
        setting(DATABASE_URL="postgresql://me:hunter2/ret@127.0.0.1:9/x"), "percent-encoded"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMS)
def test_a_start_that_is_refused_says_why_in_one_line(tmp_path: Path, name: str) -> None:
    harm, said = HARMS[name]
    done = run(tmp_path, "serve", given=harm(tmp_path))
    require_one_line(done, said)
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    ("words", "harm"),
    [
        (("user", "list"), "damaged"),
        (("user", "list"), "newer schema"),
        (("user", "list"), "data directory is a file"),
        (("user", "list"), "no table"),
        (("migrate", "status"), "damaged"),
        (("migrate", "up"), "damaged knowledge"),
        (("migrate", "up"), "data directory is a file"),
        (("backup", "copy"), "damaged"),
        (("backup", "copy"), "lost"),
        (("backup", "copy"), "lost knowledge"),
        (("export", "all.tar"), "damaged"),
        (("export", "--digest"), "damaged knowledge"),
        (("worker",), "no database there"),
    ],
)
def test_so_do_the_other_commands(tmp_path: Path, words: tuple[str, ...], harm: str) -> None:
    given = HARMS[harm][0](tmp_path)
    require_one_line(run(tmp_path, *words, given=given), "")


def test_a_second_server_on_one_directory(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path / "data")
    try:
        require_one_line(run(tmp_path, "serve", given={}), "Another process")
    finally:
        os.close(lock)


def test_a_port_that_another_program_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        require_one_line(run(tmp_path, "serve", given={"PORT": port}), f"Port {port} of '127.0.0.1'")


def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))

    require_one_line(run(tmp_path, "serve", given={}, limit=limit), "")


def test_databases_that_do_not_let_us_in(tmp_path: Path) -> None:
    url = postgres.empty(tmp_path)
    for harmed, said in (
        (url.replace(postgres.database_of(tmp_path / "empty"), "nowhere"), "make the database (createdb)"),
        (f"{url}&nothing_known=1", "docs/stores.md"),
    ):
        require_one_line(run(tmp_path, "serve", given={"DATABASE_URL": harmed}), said)


@pytest.mark.parametrize(
    ("harm", "check", "said"),
    [
        (newer("antiphon.db"), "schema", "schema 9999"),
        (damaged("knowledge.db"), "knowledge.db", "not a database"),
        (lost("antiphon.db"), "store", "no antiphon.db"),
        (lost("knowledge.db"), "store", "no knowledge.db"),
        (setting(GOOGLE_CLIENT_ID="x", GOOGLE_CLIENT_SECRET="y"), "logins", "PUBLIC_URL"),
        (setting(DEFAULT_MODEL="nope/none"), "model names", "DEFAULT_MODEL"),
        (setting(TITLE_MODEL="nope/none"), "model names", "TITLE_MODEL"),
        (setting(MODEL_ALIASES="a=nope/none"), "model names", "alias 'a'"),
        (a_file, "data directory", "is not a directory"),
        (configured(b"providers = 3\n"), "providers", "providers is a table"),
    ],
)
def test_the_doctor_finds_it_and_goes_on(tmp_path: Path, harm: Harm, check: str, said: str) -> None:
    done = run(tmp_path, "doctor", "--json", given=harm(tmp_path))
    found = json.loads(done.stdout)["checks"]
    assert any(one["check"] == check and said in one["detail"] for one in found if one["state"] != "ok")
    assert found[-1]["check"] == "reranking" or len(found) > 10
    assert "Traceback" not in done.stderr


def test_the_doctor_finds_a_key_that_opens_nothing(tmp_path: Path) -> None:
    made(tmp_path)
    sealed = Sealer(PURPOSE, Keyring("0123456789abcdef" * 3, [])).seal("provider:groq", b"gsk")
    with closing(sqlite3.connect(tmp_path / "data" / "antiphon.db")) as db, db:
        db.execute("INSERT INTO secrets (name,ciphertext,updated) VALUES ('provider:groq',?,1)", (sealed,))
    for key, state in (("fedcba9876543210" * 3, "fail"), ("0123456789abcdef" * 3, None)):
        done = run(tmp_path, "doctor", "--json", given={"SECRET_KEY": key})
        states = [
            one["state"] for one in json.loads(done.stdout)["checks"] if one["check"] == "stored secrets"
        ]
        assert states == ([state] if state else []), done.stdout


def test_at_debug_all_of_it_is_told(tmp_path: Path) -> None:
    given = {**damaged("antiphon.db")(tmp_path), "LOG_LEVEL": "debug"}
    assert "Traceback" in run(tmp_path, "serve", given=given).stderr


def test_a_defect_keeps_its_traceback() -> None:
    assert refusal_of(KeyError("x")) is None
    assert refusal_of(ValueError("x")) is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (asyncpg.InvalidPasswordError("password authentication failed"), "the password in DATABASE_URL"),
        (asyncpg.InsufficientPrivilegeError("permission denied\nDETAIL: x"), "GRANT CREATE"),
        (Unavailable("so\n much" * 200), "so much"),
        (OSError(28, "No space left on device", "/data/x"), "'/data/x': No space left on device; free"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "right to write DATA_DIR"),
    ],
)
def test_an_error_is_one_line_of_bounded_length(error: Exception, said: str) -> None:
    line: Any = refusal_of(error)
    assert said in line and "\n" not in line and len(line) <= MOST_CHARACTERS

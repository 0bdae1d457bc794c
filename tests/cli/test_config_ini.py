"""`config.ini` of the Redis chat service is honoured: known names become ours, unknown ones are refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from antiphon.cli.config_ini import BadConfigIni, names_of
from tests import warm
from tests.e2e.sdk.launch import clean_environment

ALL = """
[Redis]
HOST = cache.example.org
port = 6380
Password = p@ss word%
[API]
url = https://api-inference.huggingface.co/models/mistralai/Mistral-7B-Instruct-v0.2
token = hf_abc
[auth]
token = a-long-value-of-somebodys-own-0123456789
[cleanup]
interval_seconds = 1800
"""


def names(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "config.ini"
    path.write_text(text)
    return names_of(path)


def test_every_known_name_is_translated(tmp_path: Path) -> None:
    assert names(tmp_path, ALL) == {
        "SESSION_CLEANUP": "all",
        "SESSION_CLEANUP_SECONDS": "1800",
        "REDIS_URL": "redis://:p%40ss%20word%25@cache.example.org:6380/0",
        "HF_TOKEN": "hf_abc",
        "HF_MODEL_NAME": "mistralai/Mistral-7B-Instruct-v0.2",
        "DEFAULT_MODEL": "huggingface/mistralai/Mistral-7B-Instruct-v0.2",
        "API_KEY": "a-long-value-of-somebodys-own-0123456789",
    }


@pytest.mark.parametrize(
    ("api", "found"),
    [
        ("url=http://h/v1\nmodel=m\ntoken=t", {
            "HF_BASE_URL": "http://h/v1", "HF_TOKEN": "t", "HF_MODEL_NAME": "m",
            "DEFAULT_MODEL": "huggingface/m",
        }),
        ("url=http://h/v1/\nmodel=m", {
            "VLLM_BASE_URL": "http://h/v1", "VLLM_MODEL_NAME": "m", "DEFAULT_MODEL": "vllm/m",
        }),
        ("token=t", {"HF_TOKEN": "t"}),
        ("url=http://h/models/org/x/\ntoken=t\nmodel=other", {
            "HF_TOKEN": "t", "HF_BASE_URL": "http://h/models/org/x", "DEFAULT_MODEL": "huggingface/org/x",
        }),
        ("url=http://h/models/x", {"HF_BASE_URL": "http://h/models/x", "DEFAULT_MODEL": "huggingface/x"}),
        ("url=http://h/models/x/v1\ntoken=t", {"HF_TOKEN": "t", "HF_BASE_URL": "http://h/models/x/v1"}),
        ("url=\nmodel=\ntoken=", {}),
    ],
)  # fmt: skip
def test_an_address_says_by_its_end_which_api_it_is(tmp_path: Path, api: str, found: dict[str, str]) -> None:
    assert names(tmp_path, f"[api]\n{api}\n") == {"SESSION_CLEANUP": "all", **found}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[redis]\nhots=x", "[redis] hots"),
        ("[rediss]\nhost=x", "[rediss]"),
        ("[api]\nurl=http://h/generate", "/v1"),
        ("[api]\nurl=http://h/models\ntoken=secret-token", "/v1"),
        ("[auth]\ntoken=secret-token", "[auth] token: needs at least 32 bytes"),
        ("no section", "sections"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is_and_no_value(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BadConfigIni) as refused:
        names(tmp_path, text)
    assert told in str(refused.value) and "secret-token" not in str(refused.value)


def serve(tmp_path: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment() | {"DATA_DIR": str(tmp_path / "data"), **settings}
    return warm.run(["serve", *arguments], cwd=tmp_path, env=environment, timeout=60)


def test_a_file_that_is_wrong_or_missing_is_one_line_and_no_server(tmp_path: Path) -> None:
    (tmp_path / "config.ini").write_text("[redis]\nhots=x")
    for name in ("config.ini", "absent.ini"):
        done = serve(tmp_path, "--config", name)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and name in done.stderr


def test_so_is_a_dotenv_beside_it_that_cannot_be_decoded(tmp_path: Path) -> None:
    (tmp_path / "config.ini").write_text("[cleanup]\ninterval_seconds=1800")
    (tmp_path / ".env").write_bytes(b"TITLES='\xfc'")
    done = serve(tmp_path, "--config", "config.ini")
    assert done.returncode == 2 and done.stderr == "antiphon: .env is not written in UTF-8.\n"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.ini").write_text("[cleanup]\ninterval_seconds=1800")
    done = serve(tmp_path, "--config", "config.ini", SESSION_CLEANUP_SECONDS="never")
    assert done.returncode == 2 and "SESSION_CLEANUP_SECONDS" in done.stderr
    (tmp_path / "config.ini").write_text("[cleanup]\ninterval_seconds=never")
    done = serve(tmp_path, "--config", "config.ini")
    assert done.returncode == 2 and "SESSION_CLEANUP_SECONDS" in done.stderr

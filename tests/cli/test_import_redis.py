"""`antiphon import` from a living Redis: both services' shapes, as often as one likes; it stays as it is."""

from __future__ import annotations

import json
import re
import resource
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from antiphon.cli.main import app
from scripts.project_files import ROOT
from tests.cli.test_import_chatgroq import ADMIN, logs_in_after_a_start, rows, talk
from tests.redis_server import RedisServer, running_redis
from tests.services.world import prepare

PAGE = ROOT / "docs" / "migrating" / "redis-chat.md"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    prepare(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path / "redis") as server:
        yield server


def taken(kind: str, source: str, data: Path, *words: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, ["import", kind, source, "--data-dir", str(data), *words])
    assert result.exit_code == status, result.output
    assert not list((data.parent / "temporary").iterdir()), "nothing is left of what was written out"
    return result


def everything(redis: RedisServer) -> dict[bytes, Any]:
    client = redis.client()
    return {key: client.dump(key) for key in client.scan_iter()}


def test_deleting_the_key_of_the_old_server_resets_who_was_taken_over(data: Path, redis: RedisServer) -> None:
    client = redis.client()
    client.set(*ADMIN)
    taken("chatgroq", redis.url, data)
    assert logs_in_after_a_start(data, redis_url=redis.url) == {"boss"}
    assert client.delete("admin:credentials") == 1
    assert logs_in_after_a_start(data, redis_url=redis.url) == {"admin"}


@pytest.mark.parametrize("spoken", ["address", "setting"])
def test_what_chatgroq_left_is_here_however_often_it_is_taken(
    data: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, spoken: str
) -> None:
    client = redis.client()
    name, fields = ADMIN
    client.set(name, fields)
    client.set("session:chat123", json.dumps(talk(4)), ex=1800)
    client.rpush("memory:list", *(json.dumps(one) for one in talk(1201)))
    client.hset("chat:hash", mapping={"messages": json.dumps(talk(2))})
    client.sadd("a set", "x")
    client.zadd("sorted", {"x": 1})
    client.set("antiphon:{cache}:e:1", "ours")
    client.set(b"\xff\xfe", b"\x80\x03pickled")
    before = everything(redis)
    monkeypatch.setenv("REDIS_URL", redis.url)
    source = redis.url if spoken == "address" else "REDIS_URL"
    said = taken("chatgroq", source, data).output
    assert "boss: administrator, the old password holds" in said
    for told in (
        "chat123: 4 messages",
        "list: 1201 messages",
        "hash: 2 messages",
        "a set: no string",
        "sorted: no",
    ):
        assert told in said
    assert "antiphon:" not in said and "3 sessions of boss, 1207 messages added" in said
    assert "3 sessions of boss, 0 messages added" in taken("chatgroq", source, data).output
    assert everything(redis) == before
    assert rows(data, "SELECT COUNT(*) FROM items") == [(1207,)]


def test_what_the_redis_chat_service_left_lies_under_the_sessions_names(
    data: Path, redis: RedisServer
) -> None:
    client = redis.client()
    client.set("YOUR_SESSION_ID", json.dumps(talk(3)))
    client.rpush("b7a1", *(json.dumps(one) for one in talk(2)))
    client.set("unrelated", "words")
    for first in (True, False):
        said = taken("redis", redis.url, data).output
        assert "2 conversations" in said and f"{5 if first else 0} messages added" in said
    assert rows(data, "SELECT COUNT(*) FROM items") == [(5,)]


def test_only_keys_that_fit_are_looked_at(data: Path, redis: RedisServer) -> None:
    for number in range(2000):
        redis.client().set(f"other:{number}", "x")
    redis.client().set("session:one", json.dumps(talk(2)))
    said = taken("chatgroq", redis.url, data, "--match", "session:*").output
    assert "1 sessions of local, 2 messages added; 0 other entries left" in said


def test_a_large_redis_is_read_in_bounded_memory_and_one_that_is_not_there_told(
    data: Path, redis: RedisServer
) -> None:
    client = redis.client()
    big = json.dumps([{"role": "user", "content": "x" * 1_000_000}])
    for number in range(100):
        client.set(f"session:{number}", big)
    client.set("huge", "y" * (49 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "huge: no string" in taken("chatgroq", redis.url, data).output
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80 * 1024
    client.flushall()
    assert "nothing lies there" in taken("chatgroq", redis.url, data, status=1).output
    redis.kill()
    assert "cannot be read" in taken("redis", redis.url, data, status=1).output
    assert "names no service" in taken("redis", "redis+sentinel://:hunter2@h", data, status=1).output


def test_a_dump_is_read_by_a_redis_started_on_it_as_the_page_says(
    data: Path, redis: RedisServer, tmp_path: Path
) -> None:
    client = redis.client()
    client.set("kept", json.dumps(talk(3)), ex=1800)
    client.config_set("dir", str(tmp_path))
    client.save()
    redis.kill()
    before = (tmp_path / "dump.rdb").read_bytes()
    command = re.search(r"redis-server (--dir .+)", PAGE.read_text())
    assert command is not None
    options = shlex.split(command[1].replace("/where/it/is", str(tmp_path)).replace("--port 6399 ", ""))
    other = RedisServer(tmp_path / "other", *options)
    try:
        other.start()
        assert "3 messages added" in taken("redis", other.url, data).output
    finally:
        other.kill()
    assert (tmp_path / "dump.rdb").read_bytes() == before

"""`antiphon doctor` looks at Redis where it is configured, and changes nothing there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from antiphon.cli.doctor_redis import redis
from antiphon.cli.findings import Finding, State
from tests.redis_server import running_redis
from tests.services.world import settings_for


def examined(directory: Path, **settings: Any) -> list[Finding]:
    return list(redis(settings_for(directory, **settings)))


def test_without_a_redis_nothing_is_asked(tmp_path: Path) -> None:
    for url in (None, ""):
        (one,) = examined(tmp_path, redis_url=url)
        assert one.state is State.SKIP


def test_its_version_and_time_are_told_and_an_evicting_one_warned_of(tmp_path: Path) -> None:
    with running_redis(tmp_path / "redis") as server:
        (one,) = examined(tmp_path, redis_url=server.url)
        assert one.state is State.OK and "Redis 6." in one.detail and " ms" in one.detail
        server.client().config_set("maxmemory-policy", "allkeys-lfu")
        _, keys = examined(tmp_path, redis_url=server.url)
        assert keys.state is State.WARN and "allkeys-lfu" in keys.detail
        assert server.client().dbsize() == 0
    (away,) = examined(tmp_path, redis_url=server.url.replace("//", "//:hunter2hunter2@"))
    assert away.state is State.FAIL and "hunter2" not in f"{away.detail}{away.hint}"


@pytest.mark.parametrize(
    "fields", [{"redis_url": "mysql://x"}, {"redis_prefix": "a{b}"}, {"redis_prefix": ""}]
)
def test_settings_that_cannot_be_served_are_refused(tmp_path: Path, fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="redis"):
        settings_for(tmp_path, **fields)


def test_without_the_package_a_sentence_tells_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.startswith(("redis", "antiphon.storage.redis"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    (one,) = examined(tmp_path, redis_url="redis://127.0.0.1")
    assert one.state is State.FAIL and "make redis" in one.detail

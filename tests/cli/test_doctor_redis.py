"""`antiphon doctor` looks at Redis where it is configured, and changes nothing there."""

from __future__ import annotations

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

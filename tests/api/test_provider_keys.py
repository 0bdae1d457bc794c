"""Provider keys are written by administrators, used at once, encrypted at rest, and never shown."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from antiphon.bootstrap import SystemClock
from antiphon.bootstrap.providers import build_models
from antiphon.domain.errors import StorageFull
from antiphon.providers.http_client import HttpClient
from antiphon.services.local_owner import LocalOwner
from tests.api.client import Api, in_process
from tests.harness.upstream import Upstream
from tests.services.world import open_world, settings_for

SECRET_KEY = "8f0b6c7d31e94a52b7d0c4e1a69f2835d17c"
ENVIRONMENTS = "sk-environment-31c1f0aa97"
CANARY = "sk-canary-0d5e8b1f7c3a4926"
SECOND = "sk-canary-e7701c9d2b5846fa"
TOML = """
[providers.mine]
base_url = "{url}"
api_key_env = "MINE_KEY"

[providers.keyless]
base_url = "{url}"

[providers.headed]
base_url = "{url}"
extra_headers = {{ authorization = "Basic c29tZWJvZHk6c2VjcmV0" }}
"""


@asynccontextmanager
async def opened(directory: Path, upstream: Upstream, **settings: Any) -> AsyncIterator[Api]:
    """A server with three providers, all of them the scripted upstream; may be opened again and again."""
    file = directory / "antiphon.toml"
    file.write_text(TOML.format(url=upstream.base_url))
    given = {"secret_key": SECRET_KEY, "config_file": file, **settings}
    chosen = settings_for(directory / "data", **given)
    http = HttpClient()
    stored = given.pop("stored", ())
    models = build_models(chosen, http, SystemClock(), stored)
    world = await open_world(directory / "data", models=models, **given)
    try:
        async with in_process(world) as api:
            yield api
    finally:
        await world.close()
        await http.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINE_KEY", ENVIRONMENTS)
    monkeypatch.chdir(tmp_path)


async def keys_of(api: Api) -> dict[str, Any]:
    page = await api.get("/v1/admin/providers")
    assert page["object"] == "list" and page["has_more"] is False
    return {one["id"]: one["key"]["source"] for one in page["data"]}


async def carried(api: Api, upstream: Upstream, model: str = "mine/n1") -> str:
    """The authorization that a call carries."""
    upstream.reset()
    await api.ask("x", model=model)
    (request,) = upstream.stats()["requests"].values()
    return str(request["authorization"])


def everything_in(directory: Path) -> bytes:
    """The bytes of all files under a directory."""
    return b"".join(file.read_bytes() for file in directory.rglob("*") if file.is_file())


async def test_a_key_is_used_at_once_and_deleting_it_goes_back(tmp_path: Path, upstream: Upstream) -> None:
    async with opened(tmp_path, upstream) as api:
        assert await keys_of(api) == {
            "mine": "environment", "keyless": None, "headed": "environment", "offline": None
        }  # fmt: skip
        assert await carried(api, upstream) == f"Bearer {ENVIRONMENTS}"
        said = await api.call("PUT", "/v1/admin/providers/mine/key", {"key": CANARY})
        assert said["key"] == {"set": True, "source": "stored", "settable": True}
        assert await carried(api, upstream) == f"Bearer {CANARY}"
        await api.call("PUT", "/v1/admin/providers/keyless/key", {"key": SECOND})
        assert await carried(api, upstream, "keyless/n1") == f"Bearer {SECOND}"
        assert (await api.delete("/v1/admin/providers/mine/key"))["key"]["source"] == "environment"
        assert await carried(api, upstream) == f"Bearer {ENVIRONMENTS}"
        assert (await api.delete("/v1/admin/providers/keyless/key"))["key"]["source"] is None
        assert await carried(api, upstream, "keyless/n1") == ""
        assert (await api.delete("/v1/admin/providers/keyless/key"))["key"]["source"] is None
        actions = api.world.rows("SELECT action, target, actor_id, detail FROM audit ORDER BY id")
        me = api.world.who.account_id
        assert actions == [
            ("provider_key.set", "mine", me, "{}"), ("provider_key.set", "keyless", me, "{}"),
            ("provider_key.delete", "mine", me, "{}"), ("provider_key.delete", "keyless", me, "{}"),
        ]  # fmt: skip


async def test_a_key_outlives_a_restart_also_without_its_variable(
    tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, upstream) as api:
        await api.call("PUT", "/v1/admin/providers/mine/key", {"key": CANARY})
    monkeypatch.delenv("MINE_KEY")
    async with opened(tmp_path, upstream, stored={"mine"}) as api:
        assert (await keys_of(api))["mine"] == "stored"
        assert await carried(api, upstream) == f"Bearer {CANARY}"


async def test_the_data_directory_and_the_logs_hold_no_key(
    tmp_path: Path, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as logged:
        said, held = await everything_shown(tmp_path, upstream)
    for canary in (CANARY, SECOND):
        assert canary.encode() not in held and canary[:16].encode() not in held
        assert canary not in json.dumps(said) and canary not in caplog.text and canary not in str(logged)


async def everything_shown(tmp_path: Path, upstream: Upstream) -> tuple[list[Any], bytes]:
    """Do all that a key can be part of; returns what was answered and the bytes that were stored."""
    async with opened(tmp_path, upstream) as api:
        path = "/v1/admin/providers/mine/key"
        said = [await api.call("PUT", path, {"key": CANARY})]
        said.append(await api.call("PUT", path, {"key": SECOND}))
        refused = await api.ask("x", model="mine/status-401")
        assert refused["status"] == "failed"
        said += [
            refused,
            await api.get("/v1/admin/providers"),
            await api.post("/v1/admin/providers/mine/probe"),
        ]
        for body in (
            {"key": CANARY, "more": 1},
            {"key": CANARY + " " * 3},
            {"key": [CANARY]},
            {"keys": CANARY},
        ):
            said.append(await api.refused("PUT", path, body, status=422))
        held = b"".join(
            file.read_bytes() for file in sorted((tmp_path / "data").rglob("*")) if file.is_file()
        )
        assert len(api.world.rows("SELECT * FROM secrets")) == 1 and b"provider_key:mine" in held
    return said, held + everything_in(tmp_path / "data")


async def test_what_is_no_key_and_who_takes_none(tmp_path: Path, upstream: Upstream) -> None:
    async with opened(tmp_path, upstream) as api:
        for key in ("", "short", "with space in it", "line\r\nbreak: in it", "ключ-не-из-ascii", "x" * 5000):
            error = await api.refused("PUT", "/v1/admin/providers/mine/key", {"key": key}, status=422)
            assert error["param"] == "key"
        for name in ("headed", "offline", "scripted"):
            error = await api.refused("PUT", f"/v1/admin/providers/{name}/key", {"key": CANARY}, status=422)
            assert error["code"] == "provider_takes_no_key"
        for method, path in (("PUT", "key"), ("DELETE", "key"), ("POST", "probe")):
            body = {"key": CANARY} if method == "PUT" else None
            await api.refused(method, f"/v1/admin/providers/none/{path}", body, status=404)
        assert api.world.rows("SELECT * FROM audit") == []


async def test_only_administrators_may(tmp_path: Path, upstream: Upstream) -> None:
    async with opened(tmp_path, upstream) as api:
        world = api.world
        for changed in ({"role": "user"}, {"scopes": frozenset({"read", "write"})}):
            somebody = msgspec.structs.replace(world.who, **changed)
            local = LocalOwner(somebody, world.application.quotas)
            async with in_process(world, replace(world.application, local=local)) as other:
                for method, path in (
                    ("GET", ""), ("PUT", "/mine/key"), ("DELETE", "/mine/key"), ("POST", "/mine/probe"),
                    ("PUT", "/none/key"), ("DELETE", "/none/key"), ("POST", "/none/probe"),
                ):  # fmt: skip
                    body = {"key": CANARY} if method == "PUT" else None
                    error = await other.refused(method, f"/v1/admin/providers{path}", body, status=403)
                    assert error["code"] == "insufficient_scope"
        assert await carried(api, upstream) == f"Bearer {ENVIRONMENTS}"


async def test_a_probe_asks_anew_after_a_new_key(tmp_path: Path, upstream: Upstream) -> None:
    async with opened(tmp_path, upstream) as api:
        first = await api.post("/v1/admin/providers/mine/probe")
        assert first["healthy"] and first["detail"] == "ok" and first["latency_ms"] >= 0
        assert await api.post("/v1/admin/providers/mine/probe") == first
        accepted = upstream.accepted
        await api.call("PUT", "/v1/admin/providers/mine/key", {"key": CANARY})
        await upstream.close()
        assert not (await api.post("/v1/admin/providers/mine/probe"))["healthy"]
        assert upstream.accepted == accepted


async def test_a_key_that_could_not_be_stored_is_not_used(tmp_path: Path, upstream: Upstream) -> None:
    async with opened(tmp_path, upstream) as api:

        def full(commands: Any) -> None:
            raise StorageFull("The store cannot be written now.")

        api.world.storage.unit_of_work.before = full
        await api.refused("PUT", "/v1/admin/providers/mine/key", {"key": CANARY}, status=507)
        api.world.storage.unit_of_work.before = None
        assert await carried(api, upstream) == f"Bearer {ENVIRONMENTS}"


async def test_of_many_writers_the_last_to_be_stored_is_the_one_in_use(
    tmp_path: Path, upstream: Upstream
) -> None:
    async with opened(tmp_path, upstream) as api:
        path = "/v1/admin/providers/mine/key"
        writes = [api.call("PUT", path, {"key": f"sk-writer-{number:04}"}) for number in range(20)]
        await asyncio.gather(*writes)
        in_use = await carried(api, upstream)
    async with opened(tmp_path, upstream) as api:
        assert await carried(api, upstream) == in_use


async def test_a_list_learnt_with_an_earlier_key_is_forgotten(tmp_path: Path, upstream: Upstream) -> None:
    async with opened(tmp_path, upstream) as api:
        await api.get("/v1/models")
        before = upstream.accepted
        await upstream.close()
        assert any(one["owned_by"] == "mine" for one in (await api.get("/v1/models"))["data"])
        await api.call("PUT", "/v1/admin/providers/mine/key", {"key": CANARY})
        assert not any(one["owned_by"] == "mine" for one in (await api.get("/v1/models"))["data"])
        assert upstream.accepted == before

"""Secrets at rest open with the right key only, under their own name only, and outlive a rotation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from antiphon.bootstrap import SystemClock, open_secrets
from antiphon.domain.errors import Conflict
from antiphon.ports.operation_writes import PutSecret
from antiphon.ports.storage import Storage
from antiphon.services.keyring import Keyring
from antiphon.services.sealing import Sealer, Unreadable
from antiphon.services.secrets import PURPOSE, Secrets, WrongSecretKey
from antiphon.storage.sql.sqlite import open_sqlite
from tests.services.world import prepare, settings_for

OLD, NEW = "0f1c5a7be2d94836" * 2, "c41b7f0a9d2e8653ab" * 2
CANARY = "sk-canary-5f1d0c77a2e94b38"


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    prepare(tmp_path)
    opened = await open_sqlite(tmp_path)
    yield opened
    await opened.close()


def sealer_of(purpose: str, secret: str, *previous: str) -> Sealer:
    return Sealer(purpose, Keyring(secret, previous))


def secrets_of(storage: Storage, *keys: str) -> Secrets:
    return Secrets(storage.secrets, storage.unit_of_work, SystemClock(), sealer_of(PURPOSE, *keys))


def test_what_is_sealed_opens_and_nothing_else_does() -> None:
    sealer = sealer_of("a", OLD)
    sealed = sealer.seal("name", b"plain")
    assert sealer.open("name", sealed) == b"plain" and b"plain" not in sealed
    assert sealer.seal("name", b"plain") != sealed, "a nonce is never used twice"
    for wrong in (
        lambda: sealer.open("other", sealed),
        lambda: sealer_of("b", OLD).open("name", sealed),
        lambda: sealer_of("a", NEW).open("name", sealed),
        lambda: sealer.open("name", sealed[:-1]),
        lambda: sealer.open("name", b""),
        lambda: sealer.open("name", b"\x02" + sealed[1:]),
    ):
        with pytest.raises(Unreadable):
            wrong()


def test_every_byte_of_a_sealed_text_is_authenticated() -> None:
    sealer = sealer_of("a", OLD)
    sealed = sealer.seal("name", b"plain")
    for place in range(len(sealed)):
        broken = bytearray(sealed)
        broken[place] ^= 1
        with pytest.raises(Unreadable):
            sealer.open("name", bytes(broken))


def test_a_sealer_does_not_show_its_secret() -> None:
    assert CANARY not in repr(sealer_of("a", CANARY * 2))


async def test_a_secret_is_stored_read_replaced_and_deleted(storage: Storage) -> None:
    secrets = secrets_of(storage, OLD)
    assert await secrets.get("a") is None and await secrets.open_all() == {}
    await storage.unit_of_work.commit(secrets.put("a", "1"), secrets.put("b", "2"))
    await storage.unit_of_work.commit(secrets.put("a", CANARY))
    assert await secrets.get("a") == CANARY
    assert await secrets.open_all() == {"a": CANARY, "b": "2"}
    await storage.unit_of_work.commit(secrets.delete("a"), secrets.delete("never"))
    assert await secrets.open_all() == {"b": "2"}


async def test_rows_cannot_be_swapped(storage: Storage) -> None:
    secrets = secrets_of(storage, OLD)
    await storage.unit_of_work.commit(secrets.put("mine", "1"), secrets.put("theirs", "2"))
    theirs = await storage.secrets.get("theirs")
    assert theirs is not None
    moved = PutSecret(name="mine", ciphertext=theirs.ciphertext, updated_us=1)
    await storage.unit_of_work.commit(moved)
    with pytest.raises(WrongSecretKey, match="'mine'"):
        await secrets.get("mine")
    assert await secrets.get("theirs") == "2"


async def test_a_wrong_key_is_told_loudly_and_with_what_to_do(storage: Storage) -> None:
    await storage.unit_of_work.commit(secrets_of(storage, OLD).put("a", CANARY))
    for read in (secrets_of(storage, NEW).open_all(), secrets_of(storage, NEW).get("a")):
        with pytest.raises(WrongSecretKey) as told:
            await read
        for word in ("SECRET_KEY", "'a'", "SECRET_KEY_PREVIOUS", "DISCARD_UNREADABLE_SECRETS"):
            assert word in told.value.message
        assert CANARY not in told.value.message and OLD not in told.value.message


async def test_a_rotation_seals_anew_what_is_read(storage: Storage) -> None:
    before = secrets_of(storage, OLD)
    await storage.unit_of_work.commit(before.put("a", CANARY), before.put("b", "2"))
    structlog.reset_defaults()  # another test may have left a level at which nothing is said
    with capture_logs() as logged:
        assert await secrets_of(storage, NEW, OLD).get("a") == CANARY
    assert logged and CANARY not in str(logged)
    assert await secrets_of(storage, NEW).get("a") == CANARY, "the old key is not needed any more"
    with pytest.raises(WrongSecretKey, match="'b'"):
        await secrets_of(storage, NEW).open_all()
    assert (await secrets_of(storage, NEW, OLD).open_all())["b"] == "2"
    assert await secrets_of(storage, NEW).open_all() == {"a": CANARY, "b": "2"}


async def test_sealing_anew_never_undoes_a_newer_secret(storage: Storage) -> None:
    before = secrets_of(storage, OLD)
    await storage.unit_of_work.commit(before.put("a", "old"))
    read = await storage.secrets.get("a")
    assert read is not None
    await storage.unit_of_work.commit(before.put("a", "new"))
    late = PutSecret(name="a", ciphertext=b"x", updated_us=1, replaces=read.ciphertext)
    with pytest.raises(Conflict):
        await storage.unit_of_work.commit(late)
    assert await before.get("a") == "new"


async def test_discarding_keeps_what_can_be_read(storage: Storage, tmp_path: Path) -> None:
    await storage.unit_of_work.commit(
        secrets_of(storage, OLD).put("lost", "1"), secrets_of(storage, NEW).put("kept", "2")
    )
    chosen = settings_for(tmp_path, secret_key=NEW, discard_unreadable_secrets=True)
    vault, _ = await open_secrets(chosen, storage, SystemClock())
    assert await vault.open_all() == {"kept": "2"}
    assert [secret.name for secret in await storage.secrets.all()] == ["kept"]

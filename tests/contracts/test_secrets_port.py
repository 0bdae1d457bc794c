"""Port `SecretReads` and its commands: what every adapter promises."""

from __future__ import annotations

import pytest

from antiphon.domain.errors import Conflict
from antiphon.ports.operation_writes import DeleteSecret, PutSecret
from antiphon.ports.secrets import SealedSecret
from antiphon.ports.storage import Storage


async def test_put_replaces_and_delete_forgets(storage: Storage) -> None:
    commit, secrets = storage.unit_of_work.commit, storage.secrets
    assert await secrets.get("b") is None and list(await secrets.all()) == []
    await commit(PutSecret(name="b", ciphertext=b"\0\xff1", updated_us=1))
    await commit(PutSecret(name="a", ciphertext=b"2", updated_us=2))
    await commit(PutSecret(name="b", ciphertext=b"3", updated_us=3))
    assert await secrets.get("b") == SealedSecret("b", b"3", 3)
    assert list(await secrets.all()) == [SealedSecret("a", b"2", 2), SealedSecret("b", b"3", 3)]
    await commit(DeleteSecret(name="b"), DeleteSecret(name="never"))
    assert [secret.name for secret in await secrets.all()] == ["a"]


async def test_a_replacement_is_lost_once_the_secret_is_another_or_gone(storage: Storage) -> None:
    commit, secrets = storage.unit_of_work.commit, storage.secrets
    await commit(PutSecret(name="a", ciphertext=b"1", updated_us=1))
    await commit(PutSecret(name="a", ciphertext=b"2", updated_us=2, replaces=b"1"))
    for replaced in (b"1", b""):
        with pytest.raises(Conflict, match="PutSecret"):
            await commit(PutSecret(name="a", ciphertext=b"3", updated_us=3, replaces=replaced))
    assert await secrets.get("a") == SealedSecret("a", b"2", 2)
    await commit(DeleteSecret(name="a"))
    with pytest.raises(Conflict):
        await commit(PutSecret(name="a", ciphertext=b"3", updated_us=3, replaces=b"2"))
    assert await secrets.get("a") is None

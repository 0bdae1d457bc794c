"""Secrets at rest: what the server must be able to show to others, readable with SECRET_KEY only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from antiphon.domain.errors import Conflict, Unavailable
from antiphon.ports.clock import Clock
from antiphon.ports.operation_writes import DeleteSecret, PutSecret
from antiphon.ports.secrets import SealedSecret, SecretReads
from antiphon.ports.storage import UnitOfWork
from antiphon.services.sealing import Sealer, Unreadable

PURPOSE: Final = "secrets"
log = structlog.get_logger(__name__)


class WrongSecretKey(Unavailable):
    """The stored secrets cannot be read with the configured keys."""

    code = "wrong_secret_key"


class Secrets:
    """The stored secrets. Writes are commands, so that they go into one commit with their audit."""

    def __init__(self, reads: SecretReads, unit_of_work: UnitOfWork, clock: Clock, sealer: Sealer) -> None:
        self._reads = reads
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._sealer = sealer

    async def open_all(self) -> Mapping[str, str]:
        """Return every secret by name, sealing anew what an earlier key had sealed.

        Raises WrongSecretKey if one of them cannot be read: a server that went on without would
        fail later and elsewhere.
        """
        found: dict[str, str] = {}
        unreadable: list[tuple[str, Unreadable]] = []
        for secret in await self._reads.all():
            try:
                found[secret.name] = self._sealer.open(secret.name, secret.ciphertext).decode()
            except Unreadable as error:
                unreadable.append((secret.name, error))
            else:
                await self._renew(secret, found[secret.name])
        if unreadable:
            raise WrongSecretKey(self._explain(unreadable))
        return found

    async def get(self, name: str) -> str | None:
        """Return a secret, or None; raises WrongSecretKey if it cannot be read."""
        secret = await self._reads.get(name)
        if secret is None:
            return None
        try:
            plain = self._sealer.open(name, secret.ciphertext).decode()
        except Unreadable as error:
            raise WrongSecretKey(self._explain([(name, error)])) from None
        await self._renew(secret, plain)
        return plain

    async def discard_unreadable(self) -> list[str]:
        """Delete the secrets that none of the keys opens; returns their names."""
        gone = []
        for secret in await self._reads.all():
            try:
                self._sealer.open(secret.name, secret.ciphertext)
            except Unreadable:
                gone.append(secret.name)
        if gone:
            await self._unit_of_work.commit(*(DeleteSecret(name=name) for name in gone))
        return gone

    def put(self, name: str, plain: str) -> PutSecret:
        """Return the command that stores a secret in place of any other of that name."""
        sealed = self._sealer.seal(name, plain.encode())
        return PutSecret(name=name, ciphertext=sealed, updated_us=self._clock.now_us())

    def delete(self, name: str) -> DeleteSecret:
        """Return the command that deletes a secret."""
        return DeleteSecret(name=name)

    async def _renew(self, secret: SealedSecret, plain: str) -> None:
        """Seal a secret with the current key, unless it was replaced meanwhile."""
        if self._sealer.is_current(secret.ciphertext):
            return
        sealed = self._sealer.seal(secret.name, plain.encode())
        command = PutSecret(
            name=secret.name, ciphertext=sealed, updated_us=secret.updated_us, replaces=secret.ciphertext
        )
        try:
            await self._unit_of_work.commit(command)
        except Conflict:
            return
        log.info("secret sealed with the current key", name=secret.name)

    def _explain(self, unreadable: list[tuple[str, Unreadable]]) -> str:
        names = ", ".join(f"'{name}' ({error})" for name, error in unreadable)
        return (
            f"SECRET_KEY does not open the stored secrets {names}; known keys: "
            f"{', '.join(self._sealer.key_ids)}. Set SECRET_KEY to what it was, or keep the new one and "
            "set SECRET_KEY_PREVIOUS to the old one. If the old key is lost, start once with "
            "DISCARD_UNREADABLE_SECRETS=true and set the provider keys again."
        )

"""Slows guessing down: too many wrong passwords under one name close that name for a while.

By name, not by address: addresses are cheap. It holds for unknown names too, so that being
blocked tells nothing. Sessions and keys that exist are not asked for a password and go on.

Somebody else's guesses do not keep the owner out: who logged in before shows the token of that
device, and its wrong passwords are counted by themselves (OWASP's *device cookies*). So are those
of an open session. Neither gets more tries than a name.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from math import ceil

from antiphon.domain.accounts import Account
from antiphon.domain.errors import RateLimited, Unauthenticated
from antiphon.ports.attempts import Attempts
from antiphon.services.tokens import Kind, SessionClaims, Tokens


def by_name(tried: str) -> str:
    """Return what attempts at a name are counted under; no prefix is anything else's beginning."""
    return f"name {tried}"


def by_device(device_id: str) -> str:
    """Return what attempts from a device are counted under."""
    return f"device {device_id}"


def by_session(session_id: str) -> str:
    """Return what attempts within a login session are counted under."""
    return f"session {session_id}"


class Devices:
    """The devices from which people logged in, known by their tokens alone: nothing is stored of them.

    A new password makes all earlier tokens worthless, however many a thief has collected.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def read(self, token: str | None) -> SessionClaims | None:
        """Return what a device's token says, None if it is none of ours or too old."""
        try:
            return self._tokens.read_session(Kind.DEVICE, token) if token else None
        except Unauthenticated:
            return None

    def token(self, account: Account, shown: SessionClaims | None) -> str:
        """Return a new token for the device that logged in, which keeps its count of wrong passwords."""
        known = shown is not None and belongs(shown, account)
        device_id = shown.sid if shown is not None and known else secrets.token_hex(16)
        return self._tokens.device(account.id, device_id, account.epoch)


def belongs(device: SessionClaims, account: Account | None) -> bool:
    """Whether a device is one of this account's, since its last change of password."""
    return account is not None and (device.sub, device.epoch) == (account.id, account.epoch)


class LoginGuard:
    """Lets attempts of one kind through one after another, so that a hundred at once count as a hundred."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._gates: dict[str, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def attempt(self, counted: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Give what to call when the password was wrong; raises RateLimited after too many.

        `counted` is what they are counted under: `by_name`, `by_device` or `by_session`.
        """
        async with self._gate(counted):
            seconds = await self._attempts.blocked_seconds(counted)
            if seconds > 0:
                raise RateLimited(
                    "Too many wrong passwords under this name.", retry_after_seconds=ceil(seconds)
                )
            yield lambda: self._attempts.failed(counted)

    @contextlib.asynccontextmanager
    async def _gate(self, counted: str) -> AsyncIterator[None]:
        lock, users = self._gates.get(counted, (asyncio.Lock(), 0))
        self._gates[counted] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._gates.pop(counted)
            if users > 1:
                self._gates[counted] = (lock, users - 1)

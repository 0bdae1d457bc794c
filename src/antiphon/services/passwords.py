"""Passwords: argon2id in a small pool, so that logins cannot take the machine away from answers.

A name that does not exist costs the same as one that does: there is always something to verify.
Hashes by bcrypt come from older servers only: they are verified, and made anew at the first login.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import bcrypt
import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from antiphon.domain.errors import Unavailable, Unprocessable
from antiphon.services.common_passwords import COMMON

MEMORY_KIB: Final = 19 * 1024
PASSES: Final = 2
LANES: Final = 1
"""OWASP's minimum for argon2id; a hash takes about 25 ms and 19 MiB."""
THREADS: Final = 2
WAITING: Final = 256
"""Hashes that wait or run; further logins are told to come back."""
KNOWN: Final = 32
"""So many more of those who were here before: a flood of strangers does not keep them out."""

MIN_CHARACTERS: Final = 8
MAX_CHARACTERS: Final = 256
NAME_AND: Final = 4
"""A password that is the account's name and fewer characters than this besides is refused."""

BCRYPT: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
BCRYPT_BYTES: Final = 72
"""What bcrypt takes of a password; older libraries cut the rest off without a word."""
BCRYPT_COST: Final = 14
"""Log2 of the passes up to which a hash is verified: about a second."""

T = TypeVar("T")


class Verdict(msgspec.Struct, frozen=True):
    """Whether a password is right, and its new hash if the old one was made with other parameters."""

    is_right: bool
    new_hash: str | None = None


class Passwords:
    """Checks, hashes and verifies."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES, waiting: int = WAITING) -> None:
        self._hasher = PasswordHasher(
            time_cost=passes,
            memory_cost=memory_kib,
            parallelism=LANES,
            hash_len=32,
            salt_len=16,
            type=Type.ID,
        )
        self._nobody = _hash_of_nothing(memory_kib, passes)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="password")
        self._free = waiting

    def check(self, password: str, name: str) -> None:
        """Raise Unprocessable for a password that is too short, too long, or the first to be guessed."""
        text = _normal(password)
        plain = text.casefold()
        if len(text) < MIN_CHARACTERS or len(password) > MAX_CHARACTERS or len(text) > MAX_CHARACTERS:
            problem = f"has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters"
        elif name and name in plain and len(plain) - len(name) < NAME_AND:
            problem = "is more than the account's name"
        elif plain in COMMON or len(set(plain)) < 3:
            problem = "is none of the commonest"
        else:
            return
        raise Unprocessable(f"A password {problem}.", code="weak_password", param="password")

    async def hash(self, password: str, *, known: bool = False) -> str:
        """Return a hash to store; raises Unavailable if too many wait, of strangers unless `known`."""
        return await self._run(lambda: self._hasher.hash(_normal(password)), known=known)

    async def verify(self, stored: str | None, password: str, *, known: bool = False) -> Verdict:
        """Compare with a stored hash, or with nobody's; raises Unavailable as `hash` does."""
        return await self._run(lambda: self._verify(stored, password), known=known)

    def _verify(self, stored: str | None, password: str) -> Verdict:
        tried = _normal(password) if len(password) <= MAX_CHARACTERS else ""
        if stored is not None and is_bcrypt(stored):
            right = bool(tried) and _bcrypt_fits(stored, password)
            return Verdict(right, self._hasher.hash(tried) if right else None)
        try:
            self._hasher.verify(stored or self._nobody, tried)
        except (VerificationError, InvalidHashError):
            return Verdict(False)
        if stored is None or not tried:
            return Verdict(False)
        fresh = self._hasher.hash(tried) if self._hasher.check_needs_rehash(stored) else None
        return Verdict(True, fresh)

    async def _run(self, work: Callable[[], T], *, known: bool = False) -> T:
        if self._free <= (-KNOWN if known else 0):
            raise Unavailable("Too many passwords are being checked.", code="too_many_logins")
        self._free -= 1
        running = asyncio.get_running_loop().run_in_executor(self._pool, work)
        running.add_done_callback(self._done)  # also when whoever waits for it has gone
        return await asyncio.shield(running)

    def _done(self, running: asyncio.Future[T]) -> None:
        self._free += 1
        if not running.cancelled():
            running.exception()

    async def close(self) -> None:
        """Drop what waits, and wait for what runs."""
        await asyncio.get_running_loop().run_in_executor(
            None, lambda: self._pool.shutdown(wait=True, cancel_futures=True)
        )


def is_bcrypt(stored: str) -> bool:
    """Whether a stored hash was made by bcrypt, at a cost that is verified here."""
    found = BCRYPT.fullmatch(stored)
    return found is not None and 4 <= int(found[1]) <= BCRYPT_COST


def _bcrypt_fits(stored: str, password: str) -> bool:
    """Compare with a hash made elsewhere, of the password as it was typed."""
    typed = password.encode("utf-8", "replace")
    # C libraries stop at a zero byte, so that a part of the password would do.
    return b"\0" not in typed and bcrypt.checkpw(typed[:BCRYPT_BYTES], stored.encode())


def _normal(password: str) -> str:
    """Return a password as it is hashed: composed (RFC 8265), so that every keyboard gives the same."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "replace").decode()


def _hash_of_nothing(memory_kib: int, passes: int) -> str:
    """Return a well-formed hash that no password has."""
    salt, digest = (base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={memory_kib},t={passes},p={LANES}${salt}${digest}"

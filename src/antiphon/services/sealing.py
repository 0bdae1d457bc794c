"""Encryption with keys that come from SECRET_KEY: AES-256-GCM, one key a purpose.

A sealed text is `version (1) | key id (4) | nonce (12) | ciphertext and tag`. Version, purpose and
the text's own name are authenticated with it, so that one row cannot stand in for another.
Nonces are random; at 2³² texts under one key that stays safe (NIST SP 800-38D §8.3).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from antiphon.services.keyring import Keyring

VERSION: Final = b"\x01"
ID_BYTES: Final = 4
NONCE_BYTES: Final = 12
_HEAD: Final = 1 + ID_BYTES + NONCE_BYTES


class Unreadable(Exception):
    """A sealed text that none of the keys opens; `key_id` is the one it names, None if it is damaged."""

    def __init__(self, key_id: str | None) -> None:
        super().__init__("damaged" if key_id is None else f"sealed with key {key_id}")
        self.key_id = key_id


class Sealer:
    """Seals and opens texts of one purpose. Texts of earlier secret keys can be opened, not made."""

    def __init__(self, purpose: str, keyring: Keyring) -> None:
        self._purpose = purpose.encode()
        keys = keyring.keys(f"antiphon:{purpose}")
        self._id = _id_of(keys[0])
        self._ciphers = {_id_of(key): AESGCM(key) for key in reversed(keys)}

    def __repr__(self) -> str:
        return f"Sealer({self._purpose.decode()!r}, key {self._id.hex()})"

    @property
    def key_ids(self) -> Sequence[str]:
        """The ids of the keys that are known, the current one first."""
        others = (key_id.hex() for key_id in self._ciphers if key_id != self._id)
        return (self._id.hex(), *others)

    def seal(self, name: str, plain: bytes) -> bytes:
        """Return `plain` sealed under a name."""
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + self._id + nonce + self._ciphers[self._id].encrypt(nonce, plain, self._bound(name))

    def open(self, name: str, sealed: bytes) -> bytes:
        """Return what was sealed under that name; raises Unreadable."""
        if len(sealed) < _HEAD or sealed[:1] != VERSION:
            raise Unreadable(None)
        key_id, nonce = sealed[1 : 1 + ID_BYTES], sealed[1 + ID_BYTES : _HEAD]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise Unreadable(key_id.hex())
        try:
            return cipher.decrypt(nonce, sealed[_HEAD:], self._bound(name))
        except InvalidTag:
            raise Unreadable(None) from None

    def is_current(self, sealed: bytes) -> bool:
        """Return whether a text was sealed with the current key."""
        return sealed[: 1 + ID_BYTES] == VERSION + self._id

    def _bound(self, name: str) -> bytes:
        return b"\0".join((VERSION, self._purpose, name.encode()))


def _id_of(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:ID_BYTES]

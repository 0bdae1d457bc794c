"""The first administrator's mirror as two files beside the data: deleting one asks for a reset."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import msgspec

from antiphon.ports.administrator_mirror import Mirrored

KEY: Final = "admin_credentials"
MARK: Final = "admin_credentials.mark"


class _Named(msgspec.Struct):
    account_id: str
    username: str


class FileAdministratorMirror:
    """Port `AdministratorMirror` on a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def read(self) -> Mirrored:
        """See the port; a file that cannot be read counts as one that is there and names nobody."""
        return await asyncio.to_thread(lambda: Mirrored(self._named(KEY), self._named(MARK)))

    def _named(self, name: str) -> str | None:
        try:
            return msgspec.json.decode((self._directory / name).read_bytes(), type=_Named).account_id
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, OSError):
            return ""

    async def write(self, account_id: str, name: str) -> None:
        """See the port."""
        content = msgspec.json.encode(_Named(account_id, name))
        await asyncio.to_thread(self._put, content)

    def _put(self, content: bytes) -> None:
        for name in (MARK, KEY):
            draft = self._directory / f"{name}.new"
            draft.write_bytes(content)
            draft.chmod(0o600)
            draft.replace(self._directory / name)

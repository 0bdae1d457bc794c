"""Reads of what operating the server leaves behind; see `reads`."""

from __future__ import annotations

from antiphon.ports.secrets import SealedSecret
from antiphon.storage.sql.database import Db

COLUMNS = "name,ciphertext,updated"


def secret(db: Db, name: str) -> SealedSecret | None:
    """See port `SecretReads.get`."""
    row = db.execute(f"SELECT {COLUMNS} FROM secrets WHERE name=?", (name,)).fetchone()
    return SealedSecret(*row) if row else None


def secrets(db: Db) -> list[SealedSecret]:
    """See port `SecretReads.all`."""
    return [SealedSecret(*row) for row in db.execute(f"SELECT {COLUMNS} FROM secrets ORDER BY name")]

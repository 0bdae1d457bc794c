"""Operation commands as SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from antiphon.ports import operation_writes as ow
from antiphon.storage.sql.steps import Compiler, Step


def _audit(c: ow.Audit) -> Iterator[Step]:
    yield (
        "INSERT INTO audit (id,created,actor_id,credential_id,action,target,detail,address)"
        " VALUES (?,?,?,?,?,?,?,?)",
        (c.id, c.created_us, c.actor_id, c.credential_id, c.action, c.target, c.detail, c.address),
        None,
    )


COMPILERS: Final[dict[type, Compiler]] = {ow.Audit: _audit}

"""The command of aliases as SQL; see `commands`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from antiphon.ports.aliases import PutAlias
from antiphon.storage.sql.steps import Compiler, Step

PUT: Final = "INSERT INTO aliases (owner_id,alias,slot,target_id) VALUES (?,?,?,?)"


def _put_alias(c: PutAlias) -> Iterator[Step]:
    taken = "DO UPDATE SET target_id=excluded.target_id" if c.moves else "DO NOTHING"
    yield (
        f"{PUT} ON CONFLICT (owner_id,alias) {taken}",
        (c.owner_id, c.alias, c.slot, c.target_id),
        1,
    )


COMPILERS: Final[dict[type, Compiler]] = {PutAlias: _put_alias}

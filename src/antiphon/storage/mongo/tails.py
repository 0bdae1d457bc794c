"""What a commit has to do in SQL, as bytes in its record: every command of it may be done twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.ports import operation_writes as ow
from antiphon.ports import quota_writes as qw
from antiphon.ports import write_sets as ws
from antiphon.ports.write_sets import Command

REPEATABLE: Final[dict[str, type[Command]]] = {
    kind.__name__: kind for kind in (ws.PutLedger, qw.Settle, qw.Release, ow.Audit)
}


def encode_tail(commands: Sequence[Command]) -> list[Any]:
    """Return commands as plain values."""
    return [[type(one).__name__, msgspec.to_builtins(one, builtin_types=(bytes,))] for one in commands]


def decode_tail(tail: Sequence[Any]) -> list[Command]:
    """Return the commands again."""
    return [msgspec.convert(fields, REPEATABLE[name], builtin_types=(bytes,)) for name, fields in tail]

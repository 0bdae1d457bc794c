"""Documents as the rows that the stores in SQL have for the same things, and back: what archives are made of.

A row and a document say the same, whatever they went through: a document made of a row keeps what this
store has no use for (`slot`, `epoch`), and what a document leaves out has one value only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.archives import Row, Table
from antiphon.domain.ids import slot_of
from antiphon.domain.items import Position
from antiphon.domain.run_events import encode_ops
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.database import Document
from antiphon.storage.mongo.log import tick_id

FENCE: Final = encode_ops([("", 0, ["fence"])])
"""What SQL has for a number of the journal that was taken; see `postgres_workers`."""

_PLACE: Final = Position.__struct_fields__
_json = msgspec.json.Encoder().encode

Fields = dict[str, Any]


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What a table is among the documents.

    `key` makes the `_id` of a row. A column in `times` has `_us` added to its name in documents; `places`
    name the field that stands for four columns; `texts` are JSON in rows and values in documents.
    """

    collection: str
    key: Callable[[Fields], str]
    times: tuple[str, ...] = ()
    places: Mapping[str, str] = {}
    texts: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


def _pair(one: str, other: str) -> Callable[[Fields], str]:
    return lambda row: doc.pair_id(row[one], row[other])


def _own(column: str) -> Callable[[Fields], str]:
    return lambda row: str(row[column])


KINDS: Final[dict[str, Kind]] = {
    "conversations": Kind(
        collection=db.CONVERSATIONS, key=_own("id"), places={"base": "base"},
        times=("created", "updated", "expires", "pinned", "archived"),
    ),
    "branches": Kind(
        collection=db.BRANCHES, key=_pair("conversation_id", "id"), places={"head": "head"},
        times=("created",),
    ),
    "segments": Kind(collection=db.SEGMENTS, key=_own("id")),
    "items": Kind(
        collection=db.ITEMS, key=lambda row: doc.place_id(row["segment_id"], row["depth"]), times=("created",)
    ),
    "hidden_items": Kind(collection=db.HIDDEN, key=_pair("conversation_id", "item_id")),
    "conversation_changes": Kind(
        collection=db.CHANGES, key=lambda row: doc.place_id(row["conversation_id"], row["revision"]),
        times=("created",),
    ),
    "conversation_members": Kind(
        collection=db.MEMBERS, key=_pair("conversation_id", "account_id"), times=("created",)
    ),
    "share_links": Kind(collection=db.SHARES, key=_own("id"), times=("created", "expires", "revoked")),
    "aliases": Kind(collection=db.ALIASES, key=_pair("owner_id", "alias")),
    "runs": Kind(
        collection=db.RUNS, key=_own("id"), times=("created", "ended"), texts=("error", "usage"),
        places={"parent": "parent", "input": "input_end", "output": "output_end"},
        flags=("background", "cancel_requested", "is_script"),
    ),
    "journal": Kind(collection=db.TICKS, key=lambda row: tick_id(row["worker_id"], row["tick"])),
    "run_chunks": Kind(collection=db.CHUNKS, key=lambda row: f"{row['run_id']}:{row['first_seq']:016x}"),
    "idempotency": Kind(collection=db.KEYS, key=_pair("owner_id", "key"), times=("created", "expires")),
    "blobs": Kind(collection=db.BLOBS, key=_pair("owner_id", "digest")),
    "blob_refs": Kind(
        collection=db.BLOB_REFS, key=lambda row: f"{row['segment_id']}:{row['depth']}:{row['digest']}"
    ),
    "sweeps": Kind(collection=db.SWEEPS, key=_own("conversation_id")),
}  # fmt: skip
"""The tables whose rows are documents; all others stay in SQL."""

OWNED: Final = tuple(name for name in KINDS if name not in ("journal", "run_chunks"))
"""Tables whose documents are written through an owner's log."""
DEFAULTS: Final[Fields] = {"epoch": 0, "is_script": False}


def row_of(table: Table, found: Document) -> Row:
    """Return a document as a row of its table."""
    kind = KINDS[table.name]
    fields: Fields = {"owner_id": found.get("p"), **DEFAULTS, **found}
    for column in kind.times:
        fields[column] = found.get(f"{column}_us")
    for prefix, field in kind.places.items():
        place = found.get(field) or {}
        fields |= {f"{prefix}_{name}": place.get(name) for name in _PLACE}
    for column in kind.texts:
        fields[column] = None if found.get(column) is None else _json(found[column]).decode()
    if "slot" in table.columns and fields.get("slot") is None:
        fields["slot"] = slot_of(fields["owner_id"])
    if kind.collection == db.TICKS and fields["ops"] is None:
        fields["ops"] = FENCE
    return [_plain(fields.get(column)) for column in table.columns]


def _plain(value: Any) -> Any:
    return int(value) if type(value) is bool else value


def document_of(table: str, columns: Sequence[str], row: Row) -> Document:
    """Return a row of a table as a document that no record of a log has written yet."""
    kind = KINDS[table]
    fields: Fields = dict(zip(columns, row, strict=True))
    made: Document = {"_id": kind.key(fields), "v": 0, **fields}
    for column in kind.times:
        made[f"{column}_us"] = made.pop(column, None)
    for prefix, field in kind.places.items():
        place = [made.pop(f"{prefix}_{name}", None) for name in _PLACE]
        made[field] = None if place[0] is None else doc.plain(Position(*place))
    for column in kind.texts:
        made[column] = msgspec.json.decode(made[column]) if made.get(column) is not None else None
    for column in kind.flags:
        made[column] = bool(made.get(column))
    if "owner_id" in made:
        made["p"] = made["owner_id"]
    return _completed(kind, made)


def _completed(kind: Kind, made: Document) -> Document:
    """Add what only documents have."""
    if kind.collection == db.ITEMS and made["path_hash"] is None:
        del made["path_hash"]  # its index holds what has one
    elif kind.collection == db.RUNS:
        alive = True if made["state"] in doc.ALIVE else None
        made |= {"alive": alive, "stored": True, **doc.tags(made["metadata"])}
    elif kind.collection == db.TICKS:
        fence = made["ops"] == FENCE
        made |= {"token": "fence" if fence else "import"} | ({"ops": None} if fence else {})
    return made

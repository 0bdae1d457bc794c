"""Passages as documents: one each, with its text, its words and its vectors.

`_id` is a passage's place, so that adding it again does nothing. `words` are looked up by an index, with
the number of their scope before them: a search reads no other scope's. `terms` are the same words in
their order, heading first, from which they are counted. A vector of model 3 lies in `vector3`, and
`embedded` then holds 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from bson.binary import Binary

from antiphon.domain.passages import NewPassage, Passage
from antiphon.storage.mongo.database import Document
from antiphon.storage.sql.knowledge_elsewhere import Place
from antiphon.storage.sql.knowledge_index_terms import PLACE, in_order
from antiphon.storage.sql.knowledge_index_writes import text_hash
from antiphon.storage.sql.nul import MARK

VECTOR_SUBTYPE: Final = 9
FLOATS: Final = b"\x27\x00"
"""What a vector of float32 begins with (BSON, "Binary - Vector"); Atlas indexes it as it is."""
BETWEEN: Final = "  "
"""Between heading and text in `terms`: no phrase goes on from one to the other."""


def key(source_no: int, item_id: str | None, ordinal: int) -> str:
    """Return the `_id` of a passage."""
    return f"{source_no}:{ordinal}:{item_id or ''}"


def word(scope_no: int, term: str) -> str:
    """Return a word of a scope as it is looked up."""
    return f"{scope_no}:{term}"


def document(place: Place, no: int, one: NewPassage) -> Document:
    """Return a passage as it is stored."""
    title, body = (in_order(unmarked(terms)) for terms in (one.title_terms, one.body_terms))
    return {
        "_id": key(place.source_no, one.item_id, one.ordinal),
        "no": no,
        "owner": place.owner_id,
        "scope": place.scope_no,
        "source": place.source_no,
        "item": one.item_id or "",
        "ordinal": one.ordinal,
        "start": one.start,
        "end": one.end,
        "page": one.page,
        "heading": one.heading,
        "text": one.text,
        "hash": text_hash(one.heading, one.text),
        "role": one.role,
        "model": one.model,
        "author": one.author_id,
        "created": one.created_us,
        "words": sorted({word(place.scope_no, term) for term in (*title, *body)}),
        "terms": f" {' '.join(title)}{BETWEEN}{' '.join(body)} ",
        "length": len(title) + len(body) + PLACE,
        "embedded": [],
    }


def unmarked(terms: str) -> str:
    """Return terms without what texts are marked with where they are stored."""
    return terms.replace("\0", "").replace(MARK, "")


def passage(found: Document, catalogued: Sequence[Any], attributes: dict[str, Any]) -> Passage:
    """Return a document as a passage; the catalogue has its source's id, kind, scope, file and version."""
    source_id, kind, scope, ref_id, version = catalogued
    return Passage(
        id=found["no"], source_id=source_id, kind=kind, scope=scope, ref_id=ref_id, version=version,
        ordinal=found["ordinal"], start=found["start"], end=found["end"], text=found["text"],
        heading=found["heading"], page=found["page"], item_id=found["item"] or None, role=found["role"],
        model=found["model"], author_id=found["author"], created_us=found["created"], attributes=attributes,
    )  # fmt: skip


def vector_field(model_no: int) -> str:
    """Return the field that vectors of a model lie in."""
    return f"vector{model_no}"


def number_field(model_no: int) -> str:
    """Return the field that has the number which a vector had where it came from."""
    return f"number{model_no}"


def terms_of(found: Document) -> tuple[str, str]:
    """Return the words of a passage's heading and text; they stand beside if they are not in `terms` so."""
    title, _, body = found["terms"][1:-1].partition(BETWEEN)
    return found.get("title", title), found.get("body", body)


def stored_vector(halves: bytes) -> Binary:
    """Return a vector of float16 as it is stored: the same numbers as float32, which Atlas can index."""
    import numpy as np  # noqa: PLC0415 - heavy, and needed only where vectors are used

    return Binary(FLOATS + np.frombuffer(halves, "<f2").astype("<f4").tobytes(), VECTOR_SUBTYPE)


def floats(stored: bytes) -> bytes:
    """Return a stored vector's float32."""
    return bytes(stored)[len(FLOATS) :]

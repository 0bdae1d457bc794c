"""Reads of runs, their items, their keys and what a dead worker left; see `reads`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from antiphon.domain.items import Item, Position
from antiphon.domain.run_events import OPENING_OPS, decode_ops
from antiphon.domain.runs import Ratings, Run
from antiphon.ports.storage import KeyRecord, Recovered
from antiphon.storage.sql import context_sqlite, rows
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.reads import keyset


def run(db: Db, account_id: str, run_id: str) -> Run | None:
    """See port `Runs.get`."""
    row = db.execute(
        f"SELECT {rows.RUN} FROM runs r WHERE r.id=? AND r.owner_id=? AND r.deleted IS NULL",
        (run_id, account_id),
    ).fetchone()
    return rows.run(row) if row else None


def outputs(db: Db, run: Run) -> list[Item]:
    """See port `Runs.outputs`: choice 0 follows the input; further choices are named by the log."""
    end, start = run.output_end, run.input_end
    if end is None or start is None:
        return []
    found = _own_items(db, run, end, start.depth)
    raw, is_script = log(db, run.id)
    added = [op for op in decode_ops(raw) if isinstance(op, list) and op[0] == "A"]
    if len(added) > len(found):
        known = {item.id for item in found}
        named = [op[3] if is_script else op[3]["id"] for op in added]
        found += [one for name in named if name not in known and (one := _item_by_id(db, name))]
    return found


def inputs(db: Db, run: Run) -> list[Item]:
    """See port `Runs.inputs`."""
    if run.input_end is None:
        return []
    return _own_items(db, run, run.input_end, run.parent.depth if run.parent else -1)


def _own_items(db: Db, run: Run, last: Position, above: int) -> list[Item]:
    """Return a run's items on the segment of `last`, deeper than `above`."""
    found = db.execute(context_sqlite.RANGE, (last.segment_id, above + 1, last.depth))
    return [rows.item(row) for row in found if row[9] == run.id]


def _item_by_id(db: Db, item_id: str) -> Item | None:
    row = db.execute(f"SELECT {rows.ITEM} FROM items i WHERE i.id=?", (item_id,)).fetchone()
    return rows.item(row) if row else None


def log(db: Db, run_id: str) -> tuple[bytes, bool]:
    """See port `Runs.log`."""
    row = db.execute("SELECT log,is_script FROM runs WHERE id=?", (run_id,)).fetchone()
    return (bytes(row[0]), bool(row[1])) if row and row[0] is not None else (b"\x90", False)


def runs(
    db: Db,
    account_id: str,
    surface: str,
    after: str | None,
    limit: int,
    descending: bool,
    model: str | None,
    metadata: dict[str, str],
) -> list[Run]:
    """See port `Runs.page`."""
    where, values = keyset("r.id", after, descending)
    if model is not None:
        where += " AND r.model=?"
        values.append(model)
    for name, value in metadata.items():
        where += " AND EXISTS (SELECT 1 FROM json_each(r.metadata) m WHERE m.key=? AND m.value=?)"
        values += [name, value]
    found = db.execute(
        f"SELECT {rows.RUN} FROM runs r WHERE r.owner_id=? AND r.surface=? AND r.deleted IS NULL"
        f" AND r.state IN ('completed','incomplete'){where}"
        f" ORDER BY r.id {'DESC' if descending else 'ASC'} LIMIT ?",
        (account_id, surface, *values, limit),
    )
    return [rows.run(row) for row in found]


ALIVE: Final = "r.state IN ('queued','in_progress')"
"""As the partial index `runs_alive` has it, which holds the few that run."""


def running(db: Db, conversation_id: str | None, after: str | None, limit: int) -> list[Run]:
    """See port `Runs.running`."""
    where = " AND r.conversation_id=?" if conversation_id is not None else ""
    found = db.execute(
        f"SELECT {rows.RUN} FROM runs r WHERE {ALIVE}{where} AND r.id>? ORDER BY r.id LIMIT ?",
        (*([conversation_id] if conversation_id is not None else []), after or "", limit),
    )
    return [rows.run(row) for row in found]


def ratings(db: Db, since_us: int, until_us: int) -> list[Ratings]:
    """See port `Runs.ratings`; the partial index `runs_rated` holds the rated ones only."""
    found = db.execute(
        "SELECT model,sum(CASE WHEN rating>0 THEN 1 ELSE 0 END),sum(CASE WHEN rating<0 THEN 1 ELSE 0 END)"
        " FROM runs WHERE rating IS NOT NULL AND created>=? AND created<? AND deleted IS NULL"
        " GROUP BY model ORDER BY model",
        (since_us, until_us),
    )
    return [Ratings(*row) for row in found]


def on_input(db: Db, run: Run, limit: int) -> list[str]:
    """See port `Runs.on_input`."""
    place = run.input_end
    if place is None:
        return [run.id]
    found = db.execute(
        "SELECT id FROM runs WHERE conversation_id=? AND owner_id=? AND deleted IS NULL AND id>=?"
        " AND (id=? OR (parent_segment_id=? AND parent_depth=?)) ORDER BY id LIMIT ?",
        (run.conversation_id, run.owner_id, run.id, run.id, place.segment_id, place.depth, limit),
    )
    return [row[0] for row in found]


def key(db: Db, owner_id: str, name: str, now_us: int) -> KeyRecord | None:
    """See port `Runs.key`."""
    row = db.execute(
        "SELECT fingerprint,run_id,status,body FROM idempotency WHERE owner_id=? AND key=? AND expires>?",
        (owner_id, name, now_us),
    ).fetchone()
    return KeyRecord(*row) if row else None


def longest_prefix(db: Db, owner_id: str, hashes: Sequence[bytes]) -> tuple[int, Item, str] | None:
    """See port `Runs.longest_prefix`: tries the longest first, so a usual turn costs one look-up or two."""
    for index in range(len(hashes) - 1, -1, -1):
        row = db.execute(
            f"SELECT {rows.ITEM},s.conversation_id FROM items i JOIN segments s ON s.id=i.segment_id"
            " JOIN conversations c ON c.id=s.conversation_id AND c.deleted IS NULL"
            " WHERE i.owner_id=? AND i.path_hash=? AND NOT EXISTS"
            " (SELECT 1 FROM hidden_items h WHERE h.conversation_id=c.id) ORDER BY i.id DESC LIMIT 1",
            (owner_id, hashes[index]),
        ).fetchone()
        if row:
            return index, rows.item(row), row[12]
    return None


def unfinished(db: Db, limit: int, after: str, condition: str = "", *values: Any) -> list[Recovered]:
    """See port `Journal.unfinished`; `condition` is what else must hold of the run `r`."""
    found = db.execute(
        f"SELECT {rows.RUN},r.worker_id FROM runs r WHERE r.state IN ('queued','in_progress') AND r.id>?"
        f"{condition} ORDER BY r.id LIMIT ?",
        (after, *values, limit),
    ).fetchall()
    recovered = {row[0]: Recovered(rows.run(row), sealed_ops(db, row[0])) for row in found}
    known = {run_id: one.ops for run_id, one in recovered.items()}
    for worker_id in {row[rows.RUN_FIELDS] for row in found}:
        ticks = db.execute("SELECT ops FROM journal WHERE worker_id=? ORDER BY tick", (worker_id,))
        for (record,) in ticks:
            add_record(record, known)
    return list(recovered.values())


def sealed_ops(db: Db, run_id: str) -> list[Any]:
    """Return the ops of a run's chunks."""
    known: list[Any] = []
    chunks = db.execute("SELECT first_seq,ops FROM run_chunks WHERE run_id=? ORDER BY first_seq", (run_id,))
    for first, ops in chunks:
        _append(known, first, decode_ops(ops))
    return known


def add_record(record: bytes, known: Mapping[str, list[Any]]) -> None:
    """Append what a record holds of the runs in `known` to their ops."""
    for run_id, first, ops in decode_ops(record):
        if run_id in known:
            _append(known[run_id], first, ops)


def _append(known: list[Any], first: int, ops: list[Any]) -> None:
    # The run's opening events stand in its row, so sequence numbers begin after them; what a
    # chunk already holds comes again in ticks that were not trimmed yet. Behind a hole nothing
    # can be trusted: what comes before it is the answer.
    missing = first - OPENING_OPS - len(known)
    if missing > 0:
        return
    known.extend(ops[-missing:] if missing < 0 else ops)

"""The statements whose plans need another form on PostgreSQL, beside those of `context_sqlite`.

`OFFSET 0` keeps the planner from turning a look at one segment into a join with all of them.
"""

from __future__ import annotations

from typing import Final

from antiphon.storage.sql import context_sqlite, reads, reads_history, rows
from antiphon.storage.sql.knowledge_index_reads import NUMBERS

CONTEXT: Final = f"""
WITH RECURSIVE w(seg,hi,parent,ft) AS (
  SELECT id,CAST(:head_tokens AS BIGINT),parent_id,fork_tokens FROM segments WHERE id=:head_segment
  UNION ALL
  SELECT s.id,w.ft,s.parent_id,s.fork_tokens FROM w CROSS JOIN LATERAL
    (SELECT * FROM segments WHERE id=w.parent OFFSET 0) s WHERE w.ft>:floor)
SELECT {rows.ITEM} FROM w CROSS JOIN LATERAL
  (SELECT * FROM items n WHERE n.segment_id=w.seg AND n.path_tokens>greatest(w.ft,:floor)
    AND n.path_tokens<=w.hi OFFSET 0) i
"""

PATH: Final = """
WITH RECURSIVE w(seg,hi,parent,fd) AS (
  SELECT id,CAST(:head_depth AS BIGINT),parent_id,fork_depth FROM segments WHERE id=:head_segment
  UNION ALL
  SELECT s.id,w.fd,s.parent_id,s.fork_depth FROM w CROSS JOIN LATERAL
    (SELECT * FROM segments WHERE id=w.parent OFFSET 0) s WHERE w.fd>=:floor)
SELECT seg, fd+1, hi FROM w WHERE hi>fd
"""

# A recursion cannot be limited inside; it goes only as far as rows are taken from it.
BELOW: Final = (
    'WITH RECURSIVE b0(id,first) AS (SELECT CAST(:segment AS VARCHAR) COLLATE "C",CAST(:depth AS BIGINT)'
    " UNION ALL SELECT t.id,CAST(-1 AS BIGINT) FROM b0 w CROSS JOIN LATERAL"
    " (SELECT * FROM segments WHERE parent_id=w.id AND fork_depth>=w.first OFFSET 0) t),"
    f" below AS (SELECT id,first FROM b0 LIMIT {reads_history.MAX_BELOW})"
)

ORIGINS: Final = (
    "WITH RECURSIVE w(owner,parent) AS (SELECT s.conversation_id,s.parent_id FROM conversations c"
    " JOIN segments s ON s.id=c.base_segment_id WHERE c.id=? UNION ALL"
    " SELECT s.conversation_id,s.parent_id FROM w CROSS JOIN LATERAL"
    " (SELECT * FROM segments WHERE id=w.parent OFFSET 0) s)"
    " SELECT DISTINCT owner FROM w LIMIT ?"
)

FORMS: Final = {
    context_sqlite.CONTEXT: CONTEXT,
    context_sqlite.PATH: PATH,
    reads_history.ORIGINS: ORIGINS,
}
"""Whole statements by their SQLite form."""

FRAGMENTS: Final = (
    (reads_history.BELOW, BELOW),
    (reads_history.BY_BASE, "JOIN conversations c"),
    *((by, "") for by in (reads.BY_OWNER, reads.BY_PINNED, reads.BY_ARCHIVED, reads.BY_FOLDER)),
    (NUMBERS, "SELECT CAST(json_array_elements_text(CAST(? AS JSON)) AS BIGINT)"),
    ("SELECT value FROM json_each(?)", "SELECT json_array_elements_text(CAST(? AS JSON))"),
    # What keeps SQLite's planner to an order, PostgreSQL finds by itself.
    *(
        (f" CROSS JOIN {table} ON", f" JOIN {table} ON")
        for table in ("vectors v", "passages p", "sources s", "passage_texts t")
    ),
    *((f" INDEXED BY {index}", "") for index in ("members_order", "members_batch", "members_waiting")),
    # Owners' changes are counted side by side: a row that all of them raise would be waited for.
    ("UPDATE sequence SET value=value+1 RETURNING value", "SELECT nextval('changes')"),
    ("UPDATE sequence SET value=value+1", "SELECT nextval('changes')"),
    ("(SELECT value FROM sequence)", "currval('changes')"),
    # A value with NUL is found by nothing: PostgreSQL could not even say it.
    (
        "FROM json_each(r.metadata) m",
        "FROM json_each_text(CAST(replace(r.metadata,'\\u0000','\\ufffd') AS JSON)) m",
    ),
)
"""Parts of statements by their SQLite form."""

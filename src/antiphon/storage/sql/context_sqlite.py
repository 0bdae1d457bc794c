"""The statements whose plans are tested on SQLite: context by tokens, path by depth.

PostgreSQL needs other texts for the same plans, so these are per engine.
"""

from __future__ import annotations

from typing import Final

from antiphon.storage.sql import rows

CONTEXT: Final = f"""
WITH RECURSIVE w(seg,hi,parent,ft) AS (
  SELECT id,:head_tokens,parent_id,fork_tokens FROM segments WHERE id=:head_segment
  UNION ALL
  SELECT s.id,w.ft,s.parent_id,s.fork_tokens FROM w CROSS JOIN segments s WHERE s.id=w.parent AND w.ft>:floor)
SELECT {rows.ITEM} FROM w CROSS JOIN items i
WHERE i.segment_id=w.seg AND i.path_tokens>max(w.ft,:floor) AND i.path_tokens<=w.hi
"""
"""Items of the path whose token sum lies above `floor`: cost is O(items returned)."""

PATH: Final = """
WITH RECURSIVE w(seg,hi,parent,fd) AS (
  SELECT id,:head_depth,parent_id,fork_depth FROM segments WHERE id=:head_segment
  UNION ALL
  SELECT s.id,w.fd,s.parent_id,s.fork_depth FROM w CROSS JOIN segments s WHERE s.id=w.parent AND w.fd>=:floor)
SELECT seg, fd+1, hi FROM w WHERE hi>fd
"""
"""Segment ranges of a path, head first, down to the one that holds depth `floor`."""

RANGE: Final = (
    f"SELECT {rows.ITEM} FROM items i WHERE i.segment_id=? AND i.depth BETWEEN ? AND ? ORDER BY i.depth"
)

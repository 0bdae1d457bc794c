"""How migrations write text on PostgreSQL: ordered by code points, as SQLite does.

Pages, prefixes and keys must not hang on a locale. Imported by the migrations, which register it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles


@compiles(sa.String, "postgresql")
@compiles(sa.Text, "postgresql")
def by_code_point(kind: Any, compiler: Any, **options: Any) -> str:
    """Return the type with its collation."""
    plain = compiler.visit_TEXT if isinstance(kind, sa.Text) else compiler.visit_VARCHAR
    return f'{plain(kind, **options)} COLLATE "C"'

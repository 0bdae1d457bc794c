"""Write what all migrations make of an empty file, which a first start reads instead of running them.

python -m scripts.write_schema
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from antiphon.storage.sql import migrate


def schema_of(path: Path) -> str:
    """Return the statements that make a database like the one at `path`, without its rows."""
    connection = sqlite3.connect(path)
    try:
        shadows = {
            row[0] for row in connection.execute("SELECT name FROM pragma_table_list WHERE type='shadow'")
        }
        rows = connection.execute("SELECT name,sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
        statements = [sql for name, sql in rows if name not in shadows and not name.startswith("sqlite_")]
    finally:
        connection.close()
    return "".join(f"{statement.strip()};\n" for statement in statements)


def migrated(scripts: str) -> str:
    """Return the schema that the migrations of `scripts` make."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "empty.db"
        migrate.upgrade_sqlite(path, scripts=scripts)
        return schema_of(path)


def main() -> None:
    """Write both files."""
    for scripts in (migrate.CONVERSATIONS, migrate.KNOWLEDGE):
        migrate.schema_file(scripts).write_text(migrated(scripts), "utf-8")
        print(f"{scripts}: written")


if __name__ == "__main__":
    main()

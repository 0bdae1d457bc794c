"""Write what all migrations make of an empty file, which a first start reads instead of running them.

python -m scripts.write_schema
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from antiphon.storage.sql import migrate


def schema_of(path: Path) -> str:
    """Return the statements that make a database like the one at `path`, with the rows it begins with."""
    connection = sqlite3.connect(path)
    try:
        kinds = dict(connection.execute("SELECT name,type FROM pragma_table_list WHERE schema='main'"))
        rows = connection.execute("SELECT name,sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
        statements = [
            sql for name, sql in rows if kinds.get(name) != "shadow" and not name.startswith("sqlite_")
        ]
        for table in sorted(name for name, kind in kinds.items() if kind == "table"):
            if table not in ("alembic_version", "sqlite_schema"):
                statements += _rows(connection, table)
        for table in sorted(name.removesuffix("_config") for name in kinds if name.endswith("_config")):
            statements += _settings(connection, table)
    finally:
        connection.close()
    return "".join(f"{statement.strip()};\n" for statement in statements)


def _rows(connection: sqlite3.Connection, table: str) -> list[str]:
    """Return the statements that put a table's rows; the revision is put by whoever reads them."""
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    quoted = ",".join(f'quote("{column}")' for column in columns)
    names = ",".join(columns)
    found = connection.execute(f"SELECT {quoted} FROM {table}")
    return [f"INSERT INTO {table} ({names}) VALUES ({','.join(row)})" for row in found]


def _settings(connection: sqlite3.Connection, table: str) -> list[str]:
    """Return the statements that set what an FTS5 index was told, which it keeps in a table of its own."""
    found = connection.execute(f"SELECT k,quote(v) FROM {table}_config WHERE k<>'version' ORDER BY k")
    return [f"INSERT INTO {table} ({table},rank) VALUES ('{name}',{value})" for name, value in found]


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

"""What `antiphon export` and `antiphon import antiphon` do."""

import json
from pathlib import Path

import msgspec
import typer

from antiphon.bootstrap import archives
from antiphon.cli.backups import MIB, reading_files
from antiphon.cli.configuration import settings_or_exit
from antiphon.cli.migrate import failing
from antiphon.domain.archives import Manifest

is_archive = archives.is_archive


def run_export(target: Path, *, data_dir: Path | None) -> None:
    settings = settings_or_exit(data_dir=data_dir)
    with failing(), reading_files():
        _show(archives.export(settings, target), f"exported to {target}")


def run_digest(*, data_dir: Path | None) -> None:
    settings = settings_or_exit(data_dir=data_dir)
    with failing(), reading_files():
        typer.echo(json.dumps(msgspec.to_builtins(archives.digest(settings)), indent=1, sort_keys=True))


def run_restore(source: Path, *, data_dir: Path | None) -> None:
    settings = settings_or_exit(data_dir=data_dir)
    with failing(), reading_files():
        _show(archives.restore(settings, source), "imported, every row and content as it was exported")


def _show(manifest: Manifest, done: str) -> None:
    rows = sum(table.count for tables in manifest.tables.values() for table in tables.values())
    count = sum(one.count for one in manifest.contents.values())
    size = sum(one.bytes for one in manifest.contents.values())
    typer.echo(f"{done}: {rows} rows, {count} contents of {size / MIB:.1f} MiB")
    if missing := sum(one.missing for one in manifest.contents.values()):
        typer.echo(f"{missing} contents were not there (any more)")

"""What `antiphon backup` and `antiphon restore` do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from antiphon.bootstrap import backups
from antiphon.cli.configuration import settings_or_exit
from antiphon.cli.migrate import failing

MIB = 2**20


def run_backup(target: Path, *, data_dir: Path | None, with_secret: bool) -> None:
    settings = settings_or_exit(data_dir=data_dir)
    with failing(), reading_files():
        made = backups.back_up(settings, target, with_secret=with_secret, tell=_warn)
        show(made, f"backed up to {target}")
        if not with_secret and (secret := backups.own_secret(settings)) is not None:
            typer.echo(f"without {secret}, which belongs in another place")
        if any(contents.missing for contents in made.blobs.values()):
            raise typer.Exit(1)


def run_restore(source: Path, *, data_dir: Path | None, force: bool) -> None:
    settings = settings_or_exit(data_dir=data_dir)
    with failing(), reading_files():
        made = backups.restore(settings, source, force=force, tell=_warn)
        show(made, f"restored to {settings.data_dir}")


def show(manifest: backups.Manifest, done: str) -> None:
    files = sum(entry.bytes for entry in manifest.files.values())
    contents = sum(one.bytes for one in manifest.blobs.values())
    count = sum(one.count for one in manifest.blobs.values())
    typer.echo(
        f"{done}, as of {manifest.created}: {len(manifest.files)} files of {files / MIB:.1f} MiB,"
        f" {count} contents of {contents / MIB:.1f} MiB"
    )


def _warn(line: str) -> None:
    typer.echo(f"antiphon: {line}", err=True)


@contextmanager
def reading_files() -> Iterator[None]:
    """Make one line and exit code 1 of what the system refuses."""
    try:
        yield
    except OSError as error:
        _warn(f"{error.filename or 'the disk'}: {error.strerror}")
        raise typer.Exit(1) from None

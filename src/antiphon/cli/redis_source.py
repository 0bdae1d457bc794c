"""A Redis as a source of an import: it is written into a file first, which is gone afterwards."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from antiphon.bootstrap.beside import write_out_redis
from antiphon.cli.configuration import settings_or_exit
from antiphon.cli.imports import shown
from antiphon.cli.users import fail
from antiphon.domain.errors import AntiphonError
from antiphon.domain.redis_address import SCHEMES

SETTING = "REDIS_URL"
"""Given instead of an address, so that no password stands in the list of processes."""


@contextmanager
def source_of(given: str, *, data_dir: Path | None, match: str | None = None) -> Iterator[Path]:
    """Give the file that was named, or one with what lies in the Redis that was; ends the command if not."""
    if given != SETTING and given.partition("://")[0] not in SCHEMES:
        yield Path(given)
        return
    with TemporaryDirectory(prefix="antiphon-") as directory:
        path = Path(directory) / "keys.jsonl"
        _write(given, path, data_dir=data_dir, match=match)
        yield path


def _write(given: str, path: Path, *, data_dir: Path | None, match: str | None) -> None:
    settings = settings_or_exit(data_dir=data_dir)
    url = given
    if given == SETTING:
        url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            written, left = asyncio.run(write_out_redis(url, file, settings, match))
    except AntiphonError as error:
        fail(error.message)
    except ValueError as error:
        fail(f"the address {error}")
    for name in left:
        typer.echo(f"{shown(name)}: no string, list or hash of a size that can be, left")
    if not written:
        fail("nothing lies there that could be a history")

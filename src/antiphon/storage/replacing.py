"""A directory's contents replaced by others that lie ready beside them: all of them, or none.

What is there is moved to `.restoring/.replaced`, then what lies in `.restoring` to its place. Until the first
of these directories gets another name, whoever comes after a kill can put everything back:

* without the list of what is being placed, everything that was there is either still in its place or in
  `.replaced`;
* with it, everything that was there is in `.replaced`, and what the list names is new. The list goes before
  anything is put back, so that putting back can be broken off, too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from antiphon.storage.files import make_directory, sync_directory

RESTORING: Final = ".restoring"
REPLACED: Final = ".replaced"
DONE: Final = ".done"
PLACING: Final = ".placing"


def begin(directory: Path) -> Path:
    """Return an empty staging directory; the caller has put back what was interrupted."""
    staging = directory / RESTORING
    shutil.rmtree(staging, ignore_errors=True)
    make_directory(staging)
    return staging


def is_interrupted(directory: Path) -> bool:
    """Whether contents are half replaced: nobody may use them before `put_back`."""
    return (directory / RESTORING / REPLACED).exists()


def replace(directory: Path, names: Iterable[str]) -> None:
    """Put what is staged of these names into the place of what the directory has of them.

    What has no new one goes, too. Raises OSError, and then everything is as it was, unless that fails as
    well: then it is still interrupted.
    """
    staging = directory / RESTORING
    replaced = staging / REPLACED
    wanted = sorted(names)
    make_directory(replaced)
    try:
        for name in wanted:
            if (directory / name).exists():
                (directory / name).replace(replaced / name)
        _sync(replaced, directory)
        placing = [name for name in wanted if (staging / name).exists()]
        _note(staging, placing)
        for name in placing:
            (staging / name).replace(directory / name)
        _sync(staging, directory)
        replaced.replace(staging / DONE)
    except BaseException:
        put_back(directory)
        raise
    _sync(staging)


def put_back(directory: Path) -> bool:
    """Undo what was interrupted; returns whether there was anything. The caller has the directory's lock."""
    if not is_interrupted(directory):
        return False
    staging = directory / RESTORING
    replaced, note = staging / REPLACED, staging / PLACING
    if note.exists():
        for name in msgspec.json.decode(note.read_bytes(), type=list[str]):
            _erase(directory / name)
        _sync(directory)
        note.unlink()
        _sync(staging)
    for one in list(replaced.iterdir()):
        _erase(directory / one.name)  # what has its name is new: an earlier release made no list
        one.replace(directory / one.name)
    _sync(directory, replaced)
    replaced.rmdir()
    return True


def end(directory: Path) -> None:
    """Erase what was staged and what was replaced, unless it has still to be put back."""
    if not is_interrupted(directory):
        shutil.rmtree(directory / RESTORING, ignore_errors=True)


def _note(staging: Path, names: list[str]) -> None:
    draft = staging / f"{PLACING}.new"
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(names))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(staging / PLACING)
    _sync(staging)


def _erase(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(*directories: Path) -> None:
    for directory in directories:
        sync_directory(directory)

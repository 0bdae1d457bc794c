"""Backups of the embedded store: a directory of the data directory's shape, with a manifest written last.

No moment is common to two files and a tree of blobs, so the copy is put together until it is whole: the
files are copied, each as it was at one moment, and then every content that they need. What was erased
meanwhile is missing, and the files are copied once more. Contents are kept under their hashes, so only the
first round takes long.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from antiphon.domain.errors import Unavailable
from antiphon.storage import replacing
from antiphon.storage.administrator_mirror import KEY, MARK
from antiphon.storage.files import blob_path, copy_whole, make_directory, stored_blobs, sync_directory
from antiphon.storage.sql import knowledge, sqlite
from antiphon.storage.sql.migrate import CONVERSATIONS, KNOWLEDGE
from antiphon.storage.sql.sqlite_copies import copy_file, named_blobs, problem_of

MANIFEST: Final = "backup.json"
KIND: Final = "antiphon-backup"
VERSION: Final = 1
ROUNDS: Final = 10
LOCK: Final = "lock"

Tell = Callable[[str], None]


class Part(NamedTuple):
    """A file of the store, the schema it has, and the directory of the contents that it needs."""

    file: str
    scripts: str
    blobs: str


class Missing(NamedTuple):
    """How many contents are missing, and a hash of which."""

    number: int
    which: bytes


class Entry(msgspec.Struct, frozen=True):
    """A file of a backup."""

    bytes: int
    sha256: str


class Contents(msgspec.Struct, frozen=True):
    """A directory of blobs; `missing` were needed and not there, or not what their name says."""

    count: int
    bytes: int
    missing: int = 0


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds. A directory without one is none: it was not finished."""

    kind: str
    version: int
    created: str
    files: dict[str, Entry]
    blobs: dict[str, Contents]


class BadBackup(Unavailable):
    """A backup that is not whole, or none at all."""

    code = "bad_backup"


def parts(blobs: str, documents: str) -> tuple[Part, Part]:
    """Return the store's parts in the order in which they are copied: knowledge may lag behind."""
    return (
        Part(knowledge.FILE_NAME, KNOWLEDGE, documents),
        Part(sqlite.FILE_NAME, CONVERSATIONS, blobs),
    )


def back_up(data: Path, target: Path, of: Sequence[Part], further: Sequence[str], tell: Tell) -> Manifest:
    """Copy the store under `data`, also while a server writes it; returns what was copied.

    `further` are files that are copied if they are there. A copy that fails leaves nothing in `target`.
    Raises BadBackup if `target` holds anything, Unavailable if there is no store, OSError if something cannot
    be read or written.
    """
    of = [part for part in of if (data / part.file).exists()]
    if not any(part.scripts == CONVERSATIONS for part in of):
        raise Unavailable(f"There is no store in '{data}'.")
    if target.exists() and any(target.iterdir()):
        raise BadBackup(f"'{target}' is not empty; a backup wants a directory of its own.")
    was_there = target.exists()
    make_directory(target)
    try:
        return _copied(data, target, of, further, tell)
    except BaseException:
        _clear(target, whole=not was_there)  # half a backup is none, and would be in the way of the next one
        raise


def _clear(target: Path, *, whole: bool) -> None:
    """Erase what a backup had copied, and its directory if it made it."""
    if whole:
        shutil.rmtree(target, ignore_errors=True)
        return
    for made in target.iterdir():
        if made.is_dir():
            shutil.rmtree(made, ignore_errors=True)
        else:
            made.unlink(missing_ok=True)


def _copied(data: Path, target: Path, of: Sequence[Part], further: Sequence[str], tell: Tell) -> Manifest:
    for part in of:  # most of the bytes, before there is a moment to keep up with
        _take_contents(part, data, data, target)
    missing = _put_together(of, data, target, tell)
    for part in of:
        _drop_unneeded(part, target)
    files = {part.file: Entry(*hash_of(target / part.file)) for part in of}
    for name in (KEY, MARK, *further):
        if (data / name).exists():
            files[name] = Entry(*copy_whole(data / name, target / name))
    blobs = {part.blobs: _counted(target / part.blobs, missing[part.blobs]) for part in of}
    manifest = Manifest(KIND, VERSION, datetime.now(UTC).isoformat(timespec="seconds"), files, blobs)
    _seal(target, manifest)
    return manifest


def _put_together(of: Sequence[Part], data: Path, target: Path, tell: Tell) -> dict[str, int]:
    """Copy files and contents until they fit; returns how many contents are missing, by directory."""
    before: dict[str, Missing] = {}
    for _ in range(ROUNDS):
        for part in of:
            copy_file(data / part.file, target / part.file)
        missing = {part.blobs: _take_contents(part, target, data, target) for part in of}
        if missing == before or not any(found.number for found in missing.values()):
            break  # the same ones are missing as before: they did not go meanwhile
        before = missing
    for name, found in missing.items():
        if found.number:
            tell(f"{found.number} contents in '{name}' are gone or damaged, though the data needs them")
    return {name: found.number for name, found in missing.items()}


def _take_contents(part: Part, named_in: Path, data: Path, target: Path) -> Missing:
    """Copy what a file under `named_in` needs and is not copied yet; returns what is missing."""
    count, seen = 0, hashlib.sha256()
    for owner_id, digest in named_blobs(named_in / part.file, part.scripts):
        place = blob_path(target / part.blobs, owner_id, digest)
        if place.exists():
            continue
        if not _taken(blob_path(data / part.blobs, owner_id, digest), place):
            count += 1
            seen.update(f"{owner_id}{digest}".encode())
    return Missing(count, seen.digest())


def _taken(source: Path, place: Path) -> bool:
    try:
        _, found = copy_whole(source, place)
    except FileNotFoundError:
        return False
    if found != place.name:
        place.unlink()
    return found == place.name


def _drop_unneeded(part: Part, target: Path) -> None:
    """Erase copied contents that went from the store before the last round."""
    needed = named_blobs(target / part.file, part.scripts)
    at = next(needed, None)
    for owner_id, digest, place in stored_blobs(target / part.blobs):
        while at is not None and at < (owner_id, digest):
            at = next(needed, None)
        if at != (owner_id, digest):
            place.unlink()


def _counted(directory: Path, missing: int) -> Contents:
    count = total = 0
    for _, _, place in stored_blobs(directory):
        count, total = count + 1, total + place.stat().st_size
    return Contents(count, total, missing)


def hash_of(path: Path) -> tuple[int, str]:
    """Return a file's size and SHA-256."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _seal(target: Path, manifest: Manifest) -> None:
    draft = target / f"{MANIFEST}.new"
    with draft.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target / MANIFEST)
    sync_directory(target)


def read_manifest(source: Path) -> Manifest:
    """Return a backup's manifest; raises BadBackup."""
    try:
        manifest = msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BadBackup(f"'{source}' is no backup, or one that was not finished.") from None
    except (OSError, msgspec.DecodeError) as error:
        raise BadBackup(f"The manifest of '{source}' cannot be read: {error}.") from error
    if manifest.kind != KIND or manifest.version > VERSION:
        raise BadBackup(f"'{source}' is a backup of another program or of a newer release.")
    return manifest


def restore(
    source: Path, data: Path, of: Sequence[Part], keeps: Sequence[str], tell: Tell, *, force: bool
) -> Manifest:
    """Put a backup into the data directory, which the caller has locked, after all of it was verified.

    `keeps` are files of the directory that are no data. What an earlier restore left half done is put back
    first. Raises BadBackup if the backup is not whole, or the directory holds anything and `force` is not
    set, and OSError; then nothing has changed.
    """
    if replacing.put_back(data):
        tell(f"an earlier restore was interrupted: what had been in '{data}' before it was put back")
    manifest = read_manifest(source)
    other = [one.name for one in data.iterdir() if one.name not in (LOCK, replacing.RESTORING, *keeps)]
    if other and not force:
        raise BadBackup(f"'{data}' is not empty ({other[0]}, …); --force replaces the data in it.")
    of = [part for part in of if part.file in manifest.files]
    if not any(part.scripts == CONVERSATIONS for part in of):
        raise BadBackup(f"There is no {sqlite.FILE_NAME} in '{source}'.")
    staging = replacing.begin(data)
    try:
        _copy_verified(source, staging, manifest, of)
        # Of a backup without knowledge the restored store has none either, and that is no loss to be told.
        (staging / knowledge.FILE_NAME).touch(mode=0o600)
        replacing.replace(data, _of_the_store(manifest, of))
    finally:
        replacing.end(data)
    return manifest


def _of_the_store(manifest: Manifest, of: Sequence[Part]) -> set[str]:
    """Return every name that a store may have in its directory, and what the backup has besides."""
    files = {knowledge.FILE_NAME, sqlite.FILE_NAME}
    logs = {f"{name}{log}" for name in files for log in ("-wal", "-shm")}
    return {KEY, MARK, *manifest.files, *(part.blobs for part in of), *files, *logs}


def _copy_verified(source: Path, staging: Path, manifest: Manifest, of: Sequence[Part]) -> None:
    for name, entry in manifest.files.items():
        if Path(name).name != name:
            raise BadBackup(f"'{name}' is no file of a backup.")
        if not (source / name).exists() or Entry(*copy_whole(source / name, staging / name)) != entry:
            raise BadBackup(f"{name} is missing or not what was backed up.")
    for part in of:
        for owner_id, digest, place in stored_blobs(source / part.blobs):
            _, found = copy_whole(place, blob_path(staging / part.blobs, owner_id, digest))
            if found != digest:
                raise BadBackup(f"{part.blobs}/{owner_id}/{digest[:2]}/{digest} is damaged.")
        _require_whole(part, staging, manifest.blobs[part.blobs])


def _require_whole(part: Part, staging: Path, told: Contents) -> None:
    """Raise BadBackup if a copied file is damaged or needs what is not there and was there."""
    problem = problem_of(staging / part.file, part.scripts)
    if problem is not None:
        raise BadBackup(f"{part.file} is damaged: {problem}.")
    missing = sum(
        not blob_path(staging / part.blobs, owner_id, digest).exists()
        for owner_id, digest in named_blobs(staging / part.file, part.scripts)
    )
    if missing > told.missing:
        raise BadBackup(f"{missing} contents are missing in {part.blobs}, {told.missing} when it was made.")

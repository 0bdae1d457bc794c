"""What the doctor looks at on this machine: Python, packages, data directory, SQLite, disk, descriptors."""

import fcntl
import os
import re
import resource
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import version as installed_version
from pathlib import Path

from antiphon.bootstrap.open_files import WANTED
from antiphon.bootstrap.refusals import advice_on
from antiphon.cli.findings import Finding, State

PACKAGE = "antiphon"
LOCK_NAME = "lock"
OLDEST_PYTHON = (3, 11)
OLDEST_SQLITE = (3, 35, 0)
DISK_FAIL_BYTES = 100 * 2**20
DISK_WARN_BYTES = 2**30
FILES_FAIL = 256

FLOOR = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*(?P<floor>[0-9.]+)")


def version_key(text: str) -> tuple[int, ...]:
    """The release part of a version, comparable."""
    release = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(part) for part in release.group().split(".")] if release else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def python_version() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return Finding("python", State.FAIL, found, "Antiphon needs Python 3.11 or newer")
    return Finding("python", State.OK, found)


def dependencies() -> Iterator[Finding]:
    """One finding for each package that is missing or too old, or one that says all is well."""
    try:
        declared = [found for line in requires(PACKAGE) or () if (found := _floor(line))]
    except PackageNotFoundError:
        yield Finding("dependencies", State.WARN, "not installed as a package, so floors are unknown")
        return
    bad = [finding for name, floor, optional in declared if (finding := _package(name, floor, optional))]
    yield from bad
    if not bad:
        yield Finding("dependencies", State.OK, f"{len(declared)} packages, none older than its floor")


def _floor(requirement: str) -> tuple[str, str, bool] | None:
    """Name, floor, and whether a marker may leave the package out on this platform."""
    wanted, _, marker = requirement.partition(";")
    found = FLOOR.match(wanted.strip())
    return (found["name"], found["floor"], bool(marker)) if found else None


def _package(name: str, floor: str, optional: bool) -> Finding | None:
    hint = f"install {name}>={floor}; in a checkout, `make serve` does"
    try:
        found = installed_version(name)
    except PackageNotFoundError:
        return None if optional else Finding("dependencies", State.FAIL, f"{name} is not installed", hint)
    if version_key(found) < version_key(floor):
        return Finding("dependencies", State.FAIL, f"{name} {found} is older than {floor}", hint)
    return None


def _nearest_existing(path: Path) -> Path:
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def data_directory(directory: Path) -> Finding:
    place = _nearest_existing(directory)
    hint = "choose another with DATA_DIR, or give the server's user write permission"
    if not place.is_dir():
        return Finding("data directory", State.FAIL, f"{place} is not a directory", hint)
    if not directory.exists():
        if os.access(place, os.W_OK | os.X_OK):
            return Finding("data directory", State.OK, f"{directory} will be made at the first start")
        return Finding("data directory", State.FAIL, f"{directory} cannot be made", hint)
    try:
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(b"probe")
    except OSError as error:
        advice = advice_on(error) or hint
        return Finding("data directory", State.FAIL, f"{directory}: {error.strerror}", advice)
    return Finding("data directory", State.OK, f"{directory} is writable")


def is_locked(directory: Path) -> bool:
    """Whether a server holds the data directory. Asks for the lock shared and gives it back at once."""
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def data_lock(directory: Path) -> Finding:
    state = "held by a running server" if is_locked(directory) else "free"
    return Finding("data lock", State.OK, state)


def disk_space(directory: Path) -> Finding:
    free = shutil.disk_usage(_nearest_existing(directory)).free
    detail = f"{free / 2**30:.1f} GiB free"
    hint = "a full disk stops new turns; free some space or move DATA_DIR"
    if free < DISK_FAIL_BYTES:
        return Finding("disk", State.FAIL, detail, hint)
    return Finding("disk", State.WARN if free < DISK_WARN_BYTES else State.OK, detail, hint)


def file_limit() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # to which a server raises its own at the start
    hint = "every open stream needs one; raise it with `ulimit -n`"
    if hard == resource.RLIM_INFINITY:
        return Finding("open files", State.OK, "no limit")
    if hard < FILES_FAIL:
        return Finding("open files", State.FAIL, f"limit {hard}", hint)
    return Finding("open files", State.WARN if hard < WANTED else State.OK, f"limit {hard}", hint)


def sqlite_library() -> Finding:
    hint = "use a Python built with a newer SQLite"
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        return Finding("sqlite", State.FAIL, f"{sqlite3.sqlite_version} is too old", hint)
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE probe USING fts5(words)")
        except sqlite3.Error:
            return Finding("sqlite", State.FAIL, f"{sqlite3.sqlite_version} lacks full-text search", hint)
    return Finding("sqlite", State.OK, sqlite3.sqlite_version)


def databases(directory: Path) -> Iterator[Finding]:
    """One finding for each database file; nothing is written to them."""
    for path in sorted(directory.glob("*.db")):
        problem = database_problem(path)
        if problem is None:
            yield Finding(path.name, State.OK, f"sound, {path.stat().st_size / 2**20:.1f} MiB")
        else:
            yield Finding(
                path.name, State.FAIL, problem, "stop the server and restore the file from a backup"
            )


def database_problem(path: Path) -> str | None:
    # A file that nobody has open and that has no log is whole: `immutable` leaves no trace beside it.
    alone = not is_locked(path.parent) and not path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.absolute().as_uri()}?{'immutable=1' if alone else 'mode=ro'}"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
            rows = connection.execute("PRAGMA quick_check(3)").fetchall()
    except sqlite3.Error as error:
        return str(error)
    return None if rows == [("ok",)] else "; ".join(str(row[0]) for row in rows)

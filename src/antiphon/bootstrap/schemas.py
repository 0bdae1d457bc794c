"""The schemas of the stores that the settings name: which revision they are of, and moving them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from antiphon.bootstrap.stores import look_at_database, postgres_driver, require_whole
from antiphon.domain.errors import InvalidRequest, Unavailable
from antiphon.settings import Settings
from antiphon.storage.sql import knowledge, migrate, sqlite
from antiphon.storage.sql.migrate import Revision

LOOK_SECONDS: Final = 0.2
"""Between two tries for a data directory that another process has."""
POSTGRES: Final = "PostgreSQL"


class Schema(msgspec.Struct, frozen=True):
    """A store's schema. `revision` is None where there is none yet; `steps` are all there are, in order."""

    scripts: str
    name: str
    place: str
    revision: str | None
    steps: tuple[Revision, ...]

    @property
    def newest(self) -> str:
        """The revision that this release works with."""
        return self.steps[-1].name

    @property
    def is_known(self) -> bool:
        """Whether this release knows the schema; a newer release's it does not."""
        return self.revision is None or any(step.name == self.revision for step in self.steps)

    @property
    def waiting(self) -> tuple[Revision, ...]:
        """The steps that are still to be gone."""
        names = [step.name for step in self.steps]
        return self.steps[names.index(self.revision) + 1 :] if self.revision in names else self.steps

    def after(self, revision: str) -> tuple[Revision, ...]:
        """Return the steps gone after a revision, newest first: what going back to it undoes."""
        names = [step.name for step in self.steps]
        gone = names.index(self.revision) + 1 if self.revision in names else 0
        return tuple(reversed(self.steps[names.index(revision) + 1 : gone]))


def schemas(settings: Settings) -> list[Schema]:
    """Look at every store without changing it; raises Unavailable if the database cannot be reached."""
    return [
        _schema(settings, migrate.CONVERSATIONS, "conversations", sqlite.FILE_NAME),
        _schema(settings, migrate.KNOWLEDGE, "knowledge", knowledge.FILE_NAME),
    ]


def _schema(settings: Settings, scripts: str, name: str, file: str) -> Schema:
    place, steps = file, tuple(migrate.revisions(scripts))
    if settings.database_url is None:
        revision = migrate.revision_in(settings.data_dir / file)
    else:
        place, revision = POSTGRES, asyncio.run(postgres_driver().revision_of(_url(settings), scripts))
    return Schema(scripts, name, place, revision, steps)


def upgrade(settings: Settings, *, wait_seconds: float, tell: Callable[[str], None]) -> None:
    """Bring every store to the newest schema; does nothing where it is.

    Of several at once one migrates and the others wait. Raises Unavailable if another process has the
    data directory for longer than `wait_seconds`, or SchemaTooNew.
    """
    if all(schema.revision == schema.newest for schema in schemas(settings)):
        return
    with _directory(settings.data_dir, wait_seconds, tell):
        if settings.database_url is None:
            require_whole(settings.data_dir)
        for schema in schemas(settings):
            if schema.place == POSTGRES:
                asyncio.run(migrate.upgrade_postgres(_url(settings), schema=migrate.place_of(schema.scripts)))
            else:
                _upgrade_file(settings.data_dir / schema.place, schema.scripts)


def _upgrade_file(path: Path, scripts: str) -> None:
    with closing(sqlite.connect(path, synchronous="FULL")) as db:
        path.chmod(0o600)
        migrate.bring_up(db, path, scripts)


def schema_with(settings: Settings, revision: str) -> Schema:
    """Return the schema that has a revision among its steps.

    Raises InvalidRequest if none has, SchemaTooNew if this release cannot undo what a newer one did.
    """
    for schema in (found := schemas(settings)):
        if any(step.name == revision for step in schema.steps):
            if not schema.is_known:
                raise migrate.SchemaTooNew(
                    f"{schema.name} ({schema.place}): {schema.revision} is of a newer release, which alone"
                    f" can undo it; this one knows none above {schema.newest}."
                )
            return schema
    known = ", ".join(step.name for schema in found for step in schema.steps)
    raise InvalidRequest(f"There is no revision '{revision}'; there are: {known}.")


def downgrade(settings: Settings, revision: str, *, wait_seconds: float, tell: Callable[[str], None]) -> None:
    """Undo the steps after a revision, with what they brought; no server may run.

    Raises InvalidRequest for a revision that no schema has, Unavailable while servers run.
    """
    schema = schema_with(settings, revision)
    if schema.place == POSTGRES and (workers := asyncio.run(look_at_database(settings)).workers):
        raise Unavailable(f"Servers run on this database ({workers}); stop them first.")
    with _directory(settings.data_dir, wait_seconds, tell):
        if schema.place == POSTGRES:
            asyncio.run(
                migrate.downgrade_postgres(_url(settings), revision, schema=migrate.place_of(schema.scripts))
            )
        else:
            path = settings.data_dir / schema.place
            migrate.downgrade_sqlite(path, revision, scripts=schema.scripts)


def _url(settings: Settings) -> str:
    return settings.database_url.get_secret_value() if settings.database_url else ""


@contextmanager
def _directory(directory: Path, wait_seconds: float, tell: Callable[[str], None]) -> Iterator[None]:
    """Have the data directory for the block; waits for whoever has it."""
    give_up = time.monotonic() + wait_seconds
    told = False
    while True:
        try:
            lock = sqlite.lock_directory(directory)
            break
        except sqlite.DataDirectoryLocked:
            if time.monotonic() >= give_up:
                raise
        if not told:
            told = True
            tell(f"another process has {directory}: waiting up to {wait_seconds:g} s for it")
        time.sleep(LOOK_SECONDS)
    try:
        yield
    finally:
        os.close(lock)

"""`antiphon worker`: a process that reads, embeds, expires and erases for the servers on a database."""

from __future__ import annotations

from pathlib import Path

from antiphon.cli.configuration import settings_or_exit
from antiphon.cli.users import fail
from antiphon.domain.errors import AntiphonError
from antiphon.process import work

NEEDS_DATABASE = (
    "a worker needs DATABASE_URL: an embedded store belongs to one process, whose server does this itself"
)


def run_worker(*, data_dir: Path | None) -> None:
    """Work until told to stop; exits with 1 if the store cannot be opened."""
    settings = settings_or_exit(host=None, port=None, data_dir=data_dir)
    if settings.database_url is None:
        fail(NEEDS_DATABASE)
    try:
        work(settings.model_copy(update={"background_jobs": "here"}))
    except AntiphonError as error:
        fail(error.message)

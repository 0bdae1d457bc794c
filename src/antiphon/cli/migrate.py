"""What `antiphon migrate` does."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from antiphon.bootstrap import schemas
from antiphon.cli.configuration import settings_or_exit
from antiphon.domain.errors import AntiphonError


def run_up(*, data_dir: Path | None, wait_seconds: float) -> None:
    settings = settings_or_exit(data_dir=data_dir)
    with failing():
        before = {schema.name: schema.revision for schema in schemas.schemas(settings)}
        schemas.upgrade(settings, wait_seconds=wait_seconds, tell=typer.echo)
        for schema in schemas.schemas(settings):
            changed = schema.revision != before[schema.name]
            came = f"from {before[schema.name] or 'nothing'} to" if changed else "is the newest,"
            typer.echo(f"{schema.name} ({schema.place}): {came} {schema.revision}")


def run_down(revision: str, *, ask: bool, data_dir: Path | None, wait_seconds: float) -> None:
    settings = settings_or_exit(data_dir=data_dir)
    with failing():
        schema = schemas.schema_with(settings, revision)
        steps = schema.after(revision)
        if not steps:
            typer.echo(f"{schema.name} ({schema.place}): nothing to undo, it is {schema.revision or 'empty'}")
            return
        typer.echo(f"{schema.name} ({schema.place}): what these brought goes, with its data:")
        for step in steps:
            typer.echo(f"  {step.name}  {step.summary}")
        if ask and not typer.confirm("Go back?"):
            raise typer.Exit(1)
        schemas.downgrade(settings, revision, wait_seconds=wait_seconds, tell=typer.echo)
        typer.echo(f"{schema.name} ({schema.place}): is {revision}; the next start brings it up again")


def run_status(*, data_dir: Path | None, as_json: bool) -> None:
    settings = settings_or_exit(data_dir=data_dir)
    with failing():
        found = schemas.schemas(settings)
    if as_json:
        typer.echo(json.dumps([_as_json(schema) for schema in found], indent=2))
    for schema in () if as_json else found:
        typer.echo(f"{schema.name} ({schema.place}): {_told(schema)}")
        for step in schema.waiting if schema.revision and schema.is_known else ():
            typer.echo(f"  waiting: {step.name}  {step.summary}")
    if any(schema.revision not in (None, schema.newest) for schema in found):
        raise typer.Exit(1)


def _told(schema: schemas.Schema) -> str:
    if schema.revision is None:
        return "nothing yet, the first start makes it"
    if not schema.is_known:
        return f"{schema.revision} of a newer release; this one knows none above {schema.newest}"
    return f"{schema.revision}, " + ("the newest" if schema.revision == schema.newest else "older")


def _as_json(schema: schemas.Schema) -> dict[str, object]:
    return {
        "name": schema.name,
        "place": schema.place,
        "revision": schema.revision,
        "newest": schema.newest,
        "waiting": [step.name for step in schema.waiting] if schema.is_known else [],
    }


@contextmanager
def failing() -> Iterator[None]:
    """Make one line and exit code 1 of what the core refuses."""
    try:
        yield
    except AntiphonError as error:
        typer.echo(f"antiphon: {error.message}", err=True)
        raise typer.Exit(1) from None

"""`antiphon import`: taking over what other servers kept. Each command imports its own weight."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="import", help="Take over what another server kept.", no_args_is_help=True)

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where data is kept; overrides DATA_DIR.")]


@app.callback()
def main() -> None:
    """Declare a group of commands, also while it has one."""


@app.command()
def chatgroq(
    file: Annotated[Path, typer.Argument(help="The keys of its Redis: JSON lines, or one JSON object.")],
    user: Annotated[
        str | None,
        typer.Option("--user", help="Whose the sessions are, if not the file's administrator's."),
    ] = None,
    expiring: Annotated[
        bool, typer.Option("--expiring", help="Let the sessions end like any other; they are kept otherwise.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Take over the administrator and the sessions of a ChatGroq chatbot API. The server must be stopped."""
    from antiphon.cli.import_chatgroq import run_import

    run_import(file, user=user, expiring=expiring, data_dir=data_dir)

"""`antiphon migrate`: its commands and options. Each imports its own weight, so that `--help` is quick."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="migrate",
    help="Move the schema of the data; a server does so by itself at its start.",
    invoke_without_command=True,
)

WAIT_SECONDS = 60.0

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where data is kept; overrides DATA_DIR.")]
Wait = Annotated[
    float,
    typer.Option("--wait", min=0, help="Seconds to wait for another process that has the data directory."),
]


@app.callback()
def main(context: typer.Context, data_dir: DataDir = None, wait: Wait = WAIT_SECONDS) -> None:
    """Bring the schema up where no command is named."""
    if context.invoked_subcommand is None:
        up(data_dir, wait)


@app.command()
def up(data_dir: DataDir = None, wait: Wait = WAIT_SECONDS) -> None:
    """Bring every store to the newest schema; harmless as often as you like."""
    from antiphon.cli.migrate import run_up

    run_up(data_dir=data_dir, wait_seconds=wait)


@app.command()
def down(
    revision: Annotated[str, typer.Argument(help="The revision to go back to; `status` names them.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    wait: Wait = 0.0,
) -> None:
    """Undo the steps after a revision, with the data that only they have a place for."""
    from antiphon.cli.migrate import run_down

    run_down(revision, ask=not yes, data_dir=data_dir, wait_seconds=wait)


@app.command()
def status(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show the revision of every store; exits 1 if a step is waiting or a newer release wrote the data."""
    from antiphon.cli.migrate import run_status

    run_status(data_dir=data_dir, as_json=as_json)

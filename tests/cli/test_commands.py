"""The command line as a whole: help, version, and that asking for help costs nothing."""

import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from antiphon.cli.main import app

HEAVY = (
    "fastapi",
    "sqlalchemy",
    "alembic",
    "uvicorn",
    "pydantic_settings",
    "antiphon.bootstrap",
    "antiphon.process",
    "prometheus_client",
)


@pytest.mark.parametrize("command", [[], ["serve"], ["doctor"], ["chat"], ["eval"]])
def test_help_is_there_for_every_command(runner: CliRunner, command: list[str]) -> None:
    result = runner.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_version(runner: CliRunner) -> None:
    assert runner.invoke(app, ["--version"]).stdout == f"antiphon {version('antiphon')}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from antiphon.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"

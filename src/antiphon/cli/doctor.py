"""`antiphon doctor`: every check once, one line each, and a hint where something is wrong."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from antiphon.bootstrap.refusals import refusal_of
from antiphon.cli import (
    doctor_configuration,
    doctor_database,
    doctor_embedding,
    doctor_identity,
    doctor_machine,
    doctor_redis,
    doctor_server,
)
from antiphon.cli.configuration import BadSettings, read_settings
from antiphon.cli.findings import Finding, State
from antiphon.settings import Settings

STYLES = {State.OK: "green", State.WARN: "yellow", State.FAIL: "bold red", State.SKIP: "dim"}


def run_doctor(
    *, host: str | None, port: int | None, data_dir: Path | None, api_key: str | None, json_output: bool
) -> None:
    findings = [doctor_machine.python_version(), *doctor_machine.dependencies(), doctor_machine.file_limit()]
    try:
        settings = read_settings(host=host, port=port, data_dir=data_dir)
    except BadSettings as error:
        findings += [Finding("settings", State.FAIL, line, "see .env.example") for line in error.lines]
    else:
        findings.append(Finding("settings", State.OK, "readable"))
        findings += examine(settings, api_key)
    show_json(findings) if json_output else show(findings)
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(1)


def examine(settings: Settings, api_key: str | None) -> Iterator[Finding]:
    """The checks that depend on the settings. Without a key of its own the doctor shows the server's."""
    if api_key is None and settings.api_key:
        api_key = settings.api_key.get_secret_value()
    data_dir = Path(settings.data_dir)
    checks: tuple[tuple[str, Callable[[], Finding | Iterator[Finding]]], ...] = (
        ("data directory", lambda: doctor_machine.data_directory(data_dir)),
        ("data lock", lambda: doctor_machine.data_lock(data_dir)),
        ("disk", lambda: doctor_machine.disk_space(data_dir)),
        ("credentials", lambda: doctor_identity.people(settings)),
        ("logins", lambda: doctor_configuration.logins(settings)),
        ("sqlite", doctor_machine.sqlite_library),
        ("databases", lambda: doctor_machine.databases(data_dir)),
        ("database", lambda: doctor_database.database(settings)),
        ("mongodb", lambda: doctor_database.mongodb(settings)),
        ("schema", lambda: doctor_configuration.schema(settings)),
        ("stored secrets", lambda: doctor_configuration.secrets(settings)),
        ("redis", lambda: doctor_redis.redis(settings)),
        ("server", lambda: doctor_server.server_and_providers(settings, api_key)),
        ("model names", lambda: doctor_configuration.names(settings)),
        ("embedding", lambda: doctor_embedding.embedding(settings)),
    )
    for name, check in checks:
        yield from _found(name, check)


def _found(name: str, check: Callable[[], Finding | Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what a check finds; what keeps it from looking is a finding, too."""
    try:
        found = check()
        yield from (found,) if isinstance(found, Finding) else found
    except Exception as error:
        line = refusal_of(error)
        if line is None:
            raise
        yield Finding(name, State.FAIL, line)


def show(findings: list[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        line = Text.assemble(
            (f"{finding.state.value:<5}", STYLES[finding.state]), f"{finding.check}: {finding.detail}"
        )
        console.print(line)
        if finding.hint and finding.state is not State.OK:
            console.print(Text(f"      → {finding.hint}", style="dim"))


def show_json(findings: list[Finding]) -> None:
    ok = not any(finding.state is State.FAIL for finding in findings)
    typer.echo(json.dumps({"ok": ok, "checks": [finding.as_json() for finding in findings]}, indent=2))

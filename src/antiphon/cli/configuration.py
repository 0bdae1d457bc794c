"""How the commands read the settings: options win over the environment, a mistake is one line."""

import ipaddress
from collections.abc import Mapping
from typing import Any

import typer

from antiphon.settings import Settings, load_settings


class BadSettings(Exception):
    """The settings do not make sense; each line names one of them, never its value."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def read_settings(**overrides: object) -> Settings:
    """The settings, with the overrides that are not None."""
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    try:
        return load_settings(**given)
    except ValueError as error:
        raise BadSettings(_lines(error)) from error


def settings_or_exit(**overrides: object) -> Settings:
    try:
        return read_settings(**overrides)
    except BadSettings as error:
        for line in error.lines:
            typer.echo(f"antiphon: {line}", err=True)
        raise typer.Exit(2) from None


def _lines(error: ValueError) -> list[str]:
    # A validation error prints what it was given, which may be a key; only the names and reasons leave here.
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return [str(error)]
    return [_line(found) for found in errors(include_input=False, include_url=False, include_context=False)]


def _line(found: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in found["loc"]).upper()
    reason = str(found["msg"]).removeprefix("Value error, ")
    return f"{name}: {reason}" if name else reason


def base_url_of(host: str, port: int) -> str:
    """Where a client on this machine reaches a server bound to `host`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}" if address.version == 6 else f"http://{host}:{port}"

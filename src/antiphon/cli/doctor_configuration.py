"""What the doctor says of settings that a server does not start with, or that lead nowhere."""

import asyncio
from collections.abc import Iterator

from antiphon.bootstrap import examination
from antiphon.cli.findings import Finding, State
from antiphon.settings import Settings


def schema(settings: Settings) -> Iterator[Finding]:
    """Whether no data is missing and its schema is known; raises what keeps it from being read.

    A file that is missing beside the others has no schema, which alone would be none to complain of.
    """
    missing = examination.missing_part(settings)
    if missing is not None:
        yield Finding("store", State.FAIL, missing)
    examination.require_known_schemas(settings)
    yield Finding("schema", State.OK, "known to this release")


def logins(settings: Settings) -> Iterator[Finding]:
    """Whether login providers are configured as they must be; raises AntiphonError."""
    asyncio.run(examination.require_logins(settings))
    yield Finding("logins", State.OK, "configured as they must be")


def secrets(settings: Settings) -> Iterator[Finding]:
    """Whether the configured key opens the stored secrets."""
    unreadable = examination.unreadable_secrets(settings)
    if unreadable:
        names = ", ".join(unreadable)
        hint = "set SECRET_KEY to what it was, or SECRET_KEY_PREVIOUS to the old one: docs/secrets.md"
        yield Finding("stored secrets", State.FAIL, f"SECRET_KEY does not open: {names}", hint)


def names(settings: Settings) -> Iterator[Finding]:
    """Which configured names of models lead nowhere; raises AntiphonError."""
    found = asyncio.run(examination.names_of_nothing(settings))
    for problem in found:
        hint = "correct the name; GET /v1/models lists those there are"
        yield Finding("model names", State.WARN, problem, hint)
    if not found:
        yield Finding("model names", State.OK, "each leads to a model")

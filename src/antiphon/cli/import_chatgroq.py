"""What `antiphon import chatgroq` does: the dump is read twice, first for the administrator."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import typer

from antiphon.cli.configuration import settings_or_exit
from antiphon.cli.imports import local_owner_of
from antiphon.domain.errors import AntiphonError, Unavailable
from antiphon.domain.old_chats import ADMINISTRATOR, LEFT_OUT, administrator_of, history_of, session_name_of
from antiphon.parsers.chat_exports.redis_dump import BadDump, entries
from antiphon.process import DirectImport, direct_import


def run_import(file: Path, *, user: str | None, expiring: bool, data_dir: Path | None) -> None:
    settings = settings_or_exit(data_dir=data_dir)
    try:
        with direct_import(settings) as importing:
            owner = _administrator(importing, file, user) or local_owner_of(settings)
            _sessions(importing, file, owner, expiring=expiring)
    except Unavailable as error:
        _fail(f"{error.message} Stop the server first.")
    except BadDump as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{file}: {error.strerror}")


def _administrator(importing: DirectImport, file: Path, user: str | None) -> str | None:
    """Take over the administrator, if there is one; returns whose the sessions are, None if nobody says."""
    owner = user
    for key, value in entries(file):
        if key != ADMINISTRATOR:
            continue
        found = administrator_of(value)
        if found is None:
            typer.echo(f"{key}: no name and hash in it, left")
            continue
        try:
            account, outcome = importing.run(importing.old_chats.administrator(found))
        except AntiphonError as error:
            typer.echo(f"{key}: {error.message} Left.")
            continue
        said = "the old password holds" if outcome == "made" else "has a password here already, kept"
        typer.echo(f"{account.name}: administrator, {said}")
        owner = owner or account.name
    return owner


def _sessions(importing: DirectImport, file: Path, owner: str, *, expiring: bool) -> None:
    account = importing.run(importing.old_chats.account(owner))
    if account is None:
        _fail(f"there is no account '{owner}'")
    who = account.principal()
    taken = added = left = 0
    for key, value in entries(file):
        if key == ADMINISTRATOR:
            continue
        name, history = session_name_of(key), history_of(value, key)
        if history is None or not name:
            left += 1
            typer.echo(f"{_shown(key)}: no history, left")
            continue
        try:
            done = importing.run(importing.old_chats.session(who, name, history.messages, ephemeral=expiring))
        except AntiphonError as error:
            left += 1
            typer.echo(f"{_shown(key)}: {error.message} Left.")
            continue
        taken += 1
        added += done.added or 0
        odd = f"; {LEFT_OUT} ({history.left_out})" if history.left_out else ""
        typer.echo(f"{_shown(done.name)}: {_told(done.added, done.total)}{odd}")
    typer.echo(f"{taken} sessions of {owner}, {added} messages added; {left} other entries left")


def _told(added: int | None, total: int) -> str:
    if added is None:
        return f"differs from what is here ({total} messages), left"
    return f"{added} messages added, {total} in all" if added else f"here already, {total} messages"


def _shown(text: str) -> str:
    """Text for a terminal: what others typed must not steer it."""
    return "".join(one if one.isprintable() else "?" for one in text[:200])


def _fail(message: str) -> NoReturn:
    typer.echo(f"antiphon: {message}", err=True)
    raise typer.Exit(1)

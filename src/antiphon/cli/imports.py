"""What `antiphon import` does with an export of a chat application: a line a conversation, and a sum."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import typer

from antiphon.cli.configuration import settings_or_exit
from antiphon.domain.chat_exports.chats import Kind
from antiphon.domain.errors import AntiphonError
from antiphon.process import direct_import

Line = dict[str, Any]
"""What became of one conversation, as the server tells it."""
CAME = ("new", "grown", "same")


def run_import(path: Path, kind: Kind | None, *, owner: str, data_dir: Path | None, as_json: bool) -> None:
    """Import into the data directory; ends with 1 if something failed, or nothing came in."""
    settings = settings_or_exit(data_dir=data_dir)
    try:
        with direct_import(settings) as importing:
            tell(importing.file(owner, path, kind), as_json=as_json)
    except AntiphonError as error:
        hint = (
            " Stop the server first, or give its address with --url."
            if error.code == "data_directory_locked"
            else ""
        )
        fail(f"{error.message}{hint}")
    except OSError as error:
        fail(f"{path}: {error.strerror or error}")


def tell(lines: Iterable[Line], *, as_json: bool) -> None:
    """Print each line as it comes, then the sum; ends the command with 1 if there is something to look at."""
    states: Counter[str] = Counter()
    added = 0
    for one in lines:
        states[one["state"]] += 1
        added += one["added"]
        typer.echo(json.dumps(one, ensure_ascii=False) if as_json else _told(one))
    came = sum(states[state] for state in CAME)
    counts = ", ".join(
        f"{states[state]} {state}" for state in (*CAME, "empty", "left", "failed") if states[state]
    )
    sum_of_all = f"{came} conversations, {added} messages added" if came else "nothing came in"
    typer.echo(f"{sum_of_all}: {counts}" if counts else sum_of_all, err=as_json)
    if states["failed"] or not came:
        raise typer.Exit(1)


def _told(one: Line) -> str:
    size = f"{one['added']} of {one['messages']} messages"
    if one["branches"] > 1:
        size += f", {one['branches']} branches"
    told = (
        f"{one['state']:<7}{shown(one['title'])}: {size}"
        if one["messages"]
        else f"{one['state']:<7}{shown(one['title'])}"
    )
    return "\n".join((told, *(f"         {shown(note)}" for note in one["notes"])))


def shown(words: str) -> str:
    """Text for a terminal: what others typed must not steer it."""
    return "".join(one if one.isprintable() else "?" for one in words[:200])


def fail(message: str) -> NoReturn:
    """End the command with one line."""
    typer.echo(f"antiphon: {message}", err=True)
    raise typer.Exit(1)

"""What `antiphon import` does with an export of a chat application: a line a conversation, and a sum."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from antiphon.cli.api_client import ApiClient, ClientError
from antiphon.cli.configuration import base_url_of, settings_or_exit
from antiphon.cli.users import answers, fail, own_key
from antiphon.domain.accounts import LOCAL_OWNER
from antiphon.domain.chat_exports.chats import Kind
from antiphon.domain.errors import AntiphonError, Unavailable
from antiphon.process import direct_import
from antiphon.settings import Settings

Line = dict[str, Any]
"""What became of one conversation, as the server tells it."""
CAME = ("new", "grown", "same")


def run_import(
    path: Path, kind: Kind | None, *, owner: str | None, url: str | None, key: str | None,
    data_dir: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Import through the server named, else into the data directory, or the server that has it.

    Ends with 1 if something failed, or nothing came in.
    """
    try:
        if url is not None:
            tell(_through(ApiClient(url, key), path, kind, owner), as_json=as_json)
        else:
            _into(settings_or_exit(data_dir=data_dir), path, kind, owner, key, as_json=as_json)
    except (AntiphonError, ClientError) as error:
        fail(error.message if isinstance(error, AntiphonError) else str(error))
    except OSError as error:
        fail(f"{path}: {error.strerror or error}")


def _into(
    settings: Settings, path: Path, kind: Kind | None, owner: str | None, key: str | None, *, as_json: bool
) -> None:
    try:
        with direct_import(settings) as importing:
            tell(importing.file(owner or local_owner_of(settings), path, kind), as_json=as_json)
            return
    except Unavailable as error:
        url = base_url_of(settings.host, settings.port)
        if error.code != "data_directory_locked":
            raise
        if not answers(url):
            fail(f"a server has {settings.data_dir}, but none answers at {url}: say where with --url")
    tell(_through(ApiClient(url, key or own_key(settings)), path, kind, owner), as_json=as_json)


def local_owner_of(settings: Settings) -> str:
    """Return whose imports are if nobody is named; ends the command where nobody could see them."""
    if not settings.has_local_owner:
        fail("this server wants logins, so whose the conversations are must be said: --owner NAME"
             " (antiphon user list shows the names, antiphon user add makes one)")  # fmt: skip
    return LOCAL_OWNER


def _through(server: ApiClient, path: Path, kind: Kind | None, owner: str | None) -> Iterator[Line]:
    """Send a file to a server and follow its import; it is deleted there in the end."""
    if owner not in (None, LOCAL_OWNER):
        fail("a running server imports for the owner of the key: --owner is for a stopped one")
    if path.is_dir():
        fail("a running server takes files: give the archive, or stop it to import a folder")
    file_id = server.upload("/v1/files", path, purpose="user_data")["id"]
    try:
        last: Line = {}
        body = {"file_id": file_id} | ({"kind": kind} if kind else {})
        for last in server.lines("/v1/imports", body):
            if last.get("object") == "import.conversation":
                yield last
        if last.get("object") != "import":
            fail("the server broke off; import the file again to go on")
    finally:
        server.delete(f"/v1/files/{file_id}")


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

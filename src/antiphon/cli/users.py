"""What `antiphon user` does: calls of `/v1/admin`, to the running server or to the application itself."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, Protocol

import typer
from rich.console import Console
from rich.table import Table

from antiphon.cli.api_client import ApiClient, ApiError, ClientError, Json, NoServer, quoted
from antiphon.cli.configuration import base_url_of, settings_or_exit
from antiphon.cli.direct_client import direct_client, has_data
from antiphon.domain.errors import Unavailable

ROOT = "/v1/admin"
PAGE = 100


class Server(Protocol):
    """Answers calls of the API, wherever it is."""

    def get(self, path: str, **parameters: str | int) -> Json: ...
    def post(self, path: str, body: Json | None = None) -> Json: ...
    def patch(self, path: str, body: Json) -> Json: ...
    def delete(self, path: str) -> Json: ...


@contextmanager
def connected(url: str | None, key: str | None, data_dir: Path | None) -> Iterator[Server]:
    """The server named, else the data directory if no server has it, else the server of the settings.

    Ends the command with one line if neither can be had, or a call is refused.
    """
    try:
        if url is not None:
            yield ApiClient(url, key)
        else:
            yield from _found(key, data_dir)
    except ApiError as error:
        hint = " (give an administrator's key with --key or ANTIPHON_API_KEY)" if error.status == 401 else ""
        fail(f"{error}{hint}")
    except ClientError as error:
        fail(str(error))


def _found(key: str | None, data_dir: Path | None) -> Iterator[Server]:
    settings = settings_or_exit(data_dir=data_dir)
    url = base_url_of(settings.host, settings.port)
    if not has_data(settings) and answers(url):
        yield ApiClient(url, key or own_key(settings))
        return
    try:
        with direct_client(settings) as direct:
            print(f"antiphon: no server uses {settings.data_dir}; working in it directly", file=sys.stderr)
            yield direct
    except Unavailable as error:
        if error.code != "data_directory_locked":
            fail(error.message)
        if not answers(url):
            fail(f"a server has {settings.data_dir}, but none answers at {url}: say where with --url")
        yield ApiClient(url, key or own_key(settings))


def own_key(settings: Any) -> str | None:
    """The operator's own key, which the server takes as well."""
    return settings.api_key.get_secret_value() if settings.api_key else None


def answers(url: str) -> bool:
    try:
        ApiClient(url).get("/health/live")
    except NoServer:
        return False
    except ClientError:
        return True
    return True


def fail(message: str) -> NoReturn:
    """End the command with one line."""
    typer.echo(f"antiphon: {message}", err=True)
    raise typer.Exit(1)


# --- passwords


def ask_password() -> str:
    """A password typed twice, or the first line of what is piped in; never an argument."""
    if sys.stdin.isatty():
        typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return typed
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        fail("no password on standard input")
    return line


# --- commands


def show_users(server: Server, prefix: str, *, as_json: bool) -> None:
    """Print the accounts, oldest first."""
    users = _all(server, f"{ROOT}/users", prefix=prefix)
    groups = {group["id"]: group["name"] for group in _all(server, f"{ROOT}/groups")}
    if as_json:
        print_json(users)
        return
    rows = [
        [one["name"], one["role"], one["state"], one["email"], groups.get(one["group_id"]),
         _day(one["created_at"]), one["id"]]
        for one in users
    ]  # fmt: skip
    show_table(["name", "role", "state", "e-mail", "group", "created", "id"], rows)


def add_user(
    server: Server,
    name: str,
    *,
    role: str,
    email: str | None,
    group: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """Create an account."""
    body = {"name": name, "role": role, "email": email, "password": password}
    made = server.post(f"{ROOT}/users", {**body, "group_id": _group_id(server, group)})
    print_json(made) if as_json else typer.echo(f"{made['name']}: {made['role']}, {made['id']}")


def change_user(server: Server, name: str, said: str, *, ask: bool = False, **changes: Any) -> None:
    """Change an account, asking for a password if `ask`."""
    user_id = user_id_of(server, name)
    if ask:
        changes["password"] = ask_password()
    changed = server.patch(f"{ROOT}/users/{quoted(user_id)}", changes)
    typer.echo(f"{changed['name']} {said}")


def delete_user(server: Server, name: str, *, ask: bool) -> None:
    """Delete an account, after a question if `ask`."""
    user_id = user_id_of(server, name)
    if ask:
        typer.confirm(f"Delete {name} and all its conversations for ever?", abort=True)
    server.delete(f"{ROOT}/users/{quoted(user_id)}")
    typer.echo(f"{name} is deleted; the running server, or the next one, erases its data")


def create_invite(server: Server, *, role: str, group: str | None, days: int, as_json: bool) -> None:
    """Make an invite and print its secret."""
    body = {"role": role, "group_id": _group_id(server, group), "expires_in": days * 24 * 3600}
    made = server.post(f"{ROOT}/invites", body)
    print_json(made) if as_json else typer.echo(made["token"])


def show_credentials(server: Server, name: str, kind: str, *, as_json: bool) -> None:
    """Print an account's `sessions` or `keys`."""
    found = _all(server, f"{ROOT}/users/{quoted(user_id_of(server, name))}/{kind}")
    if as_json:
        print_json(found)
        return
    described = ["method", "address", "user_agent"] if kind == "sessions" else ["name", "prefix", "scopes"]
    rows = [
        [one["id"], *(_text(one[field]) for field in described), _day(one["created_at"]),
         _day(one["last_used_at"]), _day(one["expires_at"])]
        for one in found
    ]  # fmt: skip
    show_table(["id", *(field.replace("_", " ") for field in described), "created", "used", "expires"], rows)


def revoke(server: Server, name: str, kind: str, identifier: str | None) -> None:
    """End one of an account's `sessions` or `keys`, or all sessions."""
    path = f"{ROOT}/users/{quoted(user_id_of(server, name))}/{kind}"
    server.delete(f"{path}/{quoted(identifier)}" if identifier else path)
    typer.echo(f"{name}: {identifier or 'all ' + kind} revoked")


# --- finding and showing


def user_id_of(server: Server, name: str) -> str:
    """The id of the account of that name, or of that id."""
    if name.startswith("user_"):
        return name
    found = server.get(f"{ROOT}/users", name=name)["data"]
    if not found:
        fail(f"there is no account '{name}'")
    identifier: str = found[0]["id"]
    return identifier


def _group_id(server: Server, name: str | None) -> str | None:
    if name is None:
        return None
    for group in _all(server, f"{ROOT}/groups"):
        if name in (group["name"], group["id"]):
            identifier: str = group["id"]
            return identifier
    fail(f"there is no group '{name}'")


def _all(server: Server, path: str, **parameters: str | int) -> list[Json]:
    """All entries of a list, page by page, oldest first."""
    found: list[Json] = []
    after: dict[str, str | int] = {}
    while True:
        page = server.get(path, limit=PAGE, order="asc", **parameters, **after)
        found += page["data"]
        if not page["has_more"]:
            return found
        after = {"after": page["last_id"]}


def _day(seconds: int | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _text(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(headings: list[str], rows: list[list[Any]]) -> None:
    """Print a table; in a pipe its lines are not cut."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*("-" if value is None else _printable(value) for value in row))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)


def _printable(value: Any) -> str:
    """Text for a terminal: what others typed must not steer it."""
    return "".join(one if one.isprintable() else "?" for one in str(value))

"""`antiphon user …`: its commands and options. Each imports its own weight, so that `--help` is quick."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="user",
    help="Accounts: through the running server, or in its data directory while none runs.",
    no_args_is_help=True,
)


class Role(StrEnum):
    """What an account may be."""

    USER = "user"
    ADMIN = "admin"


Url = Annotated[
    str | None,
    typer.Option("--url", envvar="ANTIPHON_BASE_URL", show_envvar=True, help="Where the server is."),
]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="ANTIPHON_API_KEY", show_envvar=True, help="An administrator's key."),
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where data is kept; overrides DATA_DIR.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the server says as JSON.")]
Name = Annotated[str, typer.Argument(help="The account's name.")]


@app.command("list")
def list_users(
    prefix: Annotated[str, typer.Option("--prefix", help="Only names that begin with this.")] = "",
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List accounts."""
    from antiphon.cli import users

    with users.connected(url, key, data_dir) as server:
        users.show_users(server, prefix, as_json=as_json)


@app.command()
def add(
    name: Name,
    role: Annotated[Role, typer.Option("--role", help="What the account may do.")] = Role.USER,
    email: Annotated[str | None, typer.Option("--email", help="E-mail address.")] = None,
    group: Annotated[str | None, typer.Option("--group", help="Name of the group.")] = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="For accounts that log in by another issuer.")
    ] = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Create an account; the password is asked for, or read from standard input."""
    from antiphon.cli import users

    with users.connected(url, key, data_dir) as server:
        password = None if no_password else users.ask_password()
        users.add_user(
            server, name, role=role.value, email=email, group=group, password=password, as_json=as_json
        )


@app.command()
def passwd(name: Name, url: Url = None, key: Key = None, data_dir: DataDir = None) -> None:
    """Set an account's password, asked for or read from standard input; its sessions end."""
    from antiphon.cli import users

    with users.connected(url, key, data_dir) as server:
        users.change_user(server, name, "has a new password; its sessions have ended", ask=True)


@app.command()
def role(
    name: Name,
    new_role: Annotated[Role, typer.Argument(metavar="ROLE", help="user or admin.")],
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = None,
) -> None:
    """Make an account an administrator, or an ordinary user again."""
    from antiphon.cli import users

    with users.connected(url, key, data_dir) as server:
        users.change_user(server, name, f"is now: {new_role.value}", role=new_role.value)


@app.command()
def disable(name: Name, url: Url = None, key: Key = None, data_dir: DataDir = None) -> None:
    """Shut an account out; its data stays."""
    from antiphon.cli import users

    with users.connected(url, key, data_dir) as server:
        users.change_user(server, name, "is disabled", state="disabled")


@app.command()
def enable(name: Name, url: Url = None, key: Key = None, data_dir: DataDir = None) -> None:
    """Let a disabled account in again."""
    from antiphon.cli import users

    with users.connected(url, key, data_dir) as server:
        users.change_user(server, name, "is active", state="active")


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = None,
) -> None:
    """Delete an account and all it has; there is no way back."""
    from antiphon.cli import users

    with users.connected(url, key, data_dir) as server:
        users.delete_user(server, name, ask=not yes)


@app.command()
def invite(
    role: Annotated[Role, typer.Option("--role", help="What the account will be.")] = Role.USER,
    group: Annotated[str | None, typer.Option("--group", help="Name of the group it joins.")] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=90, help="How long the invite holds.")] = 7,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make an invite and print it; it is shown this once."""
    from antiphon.cli import users

    with users.connected(url, key, data_dir) as server:
        users.create_invite(server, role=role.value, group=group, days=days, as_json=as_json)


@app.command()
def sessions(
    name: Name,
    revoke: Annotated[str | None, typer.Option("--revoke", help="End the session with this id.")] = None,
    revoke_all: Annotated[bool, typer.Option("--revoke-all", help="End all of them.")] = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List an account's open sessions, or end them."""
    from antiphon.cli import users

    with users.connected(url, key, data_dir) as server:
        if revoke or revoke_all:
            users.revoke(server, name, "sessions", None if revoke_all else revoke)
        else:
            users.show_credentials(server, name, "sessions", as_json=as_json)


@app.command()
def keys(
    name: Name,
    revoke: Annotated[str | None, typer.Option("--revoke", help="End the key with this id.")] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List an account's API keys, or end one."""
    from antiphon.cli import users

    with users.connected(url, key, data_dir) as server:
        if revoke:
            users.revoke(server, name, "keys", revoke)
        else:
            users.show_credentials(server, name, "keys", as_json=as_json)

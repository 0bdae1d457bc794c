"""`antiphon import`: taking over what other servers kept. Each command imports its own weight."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

ANY = "any"
OURS = "antiphon"
KINDS = {
    OURS: "What `antiphon export` made, into empty stores with the server stopped; or what one person took"
    " along from another Antiphon: one conversation, or everything as JSON or ZIP.",
    "chatgpt": "ChatGPT's data export: the ZIP archive, or a conversations.json.",
    "claude": "Claude's data export: the ZIP archive, or its conversations.json.",
    "librechat": "LibreChat: exported conversations, or its database as JSON lines.",
    "open-webui": "Open WebUI's export of chats.",
    "branching": "The branching chat's documents of question/response pairs.",
    "book": "The collections of the FastAPI book.",
    "redis": "Histories that lie in a Redis: its address, or its keys as JSON lines or one JSON object.",
}


class _Kinds(TyperGroup):
    """Commands by kind; what names none is a file whose kind is looked for."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = bool(args) and (args[0] in self.commands or args[0].startswith("-"))
        return super().resolve_command(ctx, args if known else [ANY, *args])


app = typer.Typer(
    name="import",
    cls=_Kinds,
    help="Take over what another server or application kept: `antiphon import FILE`, or with its kind.",
    no_args_is_help=True,
)

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where data is kept; overrides DATA_DIR.")]
File = Annotated[str, typer.Argument(help="A file, a ZIP archive, a folder or a Redis' address.")]
Match = Annotated[
    str | None, typer.Option("--match", help="Of a Redis, only keys that fit a pattern like 'session:*'.")
]
Url = Annotated[
    str | None, typer.Option("--url", envvar="ANTIPHON_BASE_URL", help="The running server to import into.")
]
Key = Annotated[
    str | None, typer.Option("--key", envvar="ANTIPHON_API_KEY", help="A key of whose they are to be.")
]
Owner = Annotated[
    str | None,
    typer.Option(
        "--owner", help="Whose the conversations are: the local owner's by default, if there are no logins."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a conversation.")]


def _importing(kind: str | None) -> Callable[..., None]:
    def run(
        path: File, owner: Owner = None, url: Url = None, key: Key = None, data_dir: DataDir = None,
        as_json: AsJson = False, match: Match = None,
    ) -> None:  # fmt: skip
        from antiphon.cli.imports import run_import
        from antiphon.cli.redis_source import source_of
        from antiphon.cli.store_transfer import is_archive, run_restore

        if kind in (None, OURS) and is_archive(Path(path)):
            run_restore(Path(path), data_dir=data_dir)
            return
        chosen: Any = kind
        with source_of(path, data_dir=data_dir, match=match) as found:
            run_import(found, chosen, owner=owner, url=url, key=key, data_dir=data_dir, as_json=as_json)

    return run


for _kind, _help in KINDS.items():
    app.command(_kind, help=_help)(_importing(_kind))
app.command(ANY, hidden=True, help="Whatever it is, told by its content.")(_importing(None))


@app.command()
def chatgroq(
    source: Annotated[
        str, typer.Argument(help="Its Redis' address, or its keys as JSON lines or one JSON object.")
    ],
    user: Annotated[
        str | None,
        typer.Option("--owner", "--user", help="Whose the sessions are, if not the file's administrator's."),
    ] = None,
    expiring: Annotated[
        bool, typer.Option("--expiring", help="Let the sessions end like any other; they are kept otherwise.")
    ] = False,
    match: Match = None,
    data_dir: DataDir = None,
) -> None:
    """Take over the administrator and the sessions of a ChatGroq chatbot API. The server must be stopped."""
    from antiphon.cli.import_chatgroq import run_import
    from antiphon.cli.redis_source import source_of

    with source_of(source, data_dir=data_dir, match=match) as file:
        run_import(file, user=user, expiring=expiring, data_dir=data_dir)

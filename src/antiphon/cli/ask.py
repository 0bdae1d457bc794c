"""`antiphon ask`: a question to a folder of documents, answered with citations, with or without a server."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from antiphon.cli.api_client import ApiClient, ClientError, Json
from antiphon.cli.configuration import base_url_of, settings_or_exit
from antiphon.cli.direct_client import direct_client
from antiphon.cli.folders import Server, Synced, sync
from antiphon.domain.errors import Unavailable

MAX_QUOTE = 240


@dataclass
class Asked:
    """A question and how it is to be answered."""

    question: str
    folder: Path
    model: str | None = None
    as_json: bool = False


@dataclass
class Cited:
    """An answer's text with numbers in it, and what the numbers stand for."""

    text: str
    notes: list[Json] = field(default_factory=list)


def run_ask(
    asked: Asked, *, url: str | None, key: str | None, data_dir: Path | None, temporary: bool
) -> None:
    """Index what is new in the folder, ask, and print the answer with its citations."""
    if not asked.folder.is_dir():
        _fail(f"{asked.folder} is no folder")
    try:
        with _connected(url, key, data_dir, temporary=temporary) as server:
            synced = _synced(server, asked)
            answer = _answered(server, synced, asked)
    except ClientError as error:
        _fail(str(error))
    except Unavailable as error:
        _fail(error.message)
    if asked.as_json:
        print(json.dumps({"folder": vars(synced), "response": answer}, ensure_ascii=False, indent=2))
    else:
        _show(synced, answer)
    if answer["status"] not in ("completed", "incomplete"):
        raise typer.Exit(1)


@contextmanager
def _connected(
    url: str | None, key: str | None, data_dir: Path | None, *, temporary: bool
) -> Iterator[Server]:
    """The server named, else the data directory, else the server that has it."""
    with ExitStack() as stack:
        if url is not None:
            yield ApiClient(url, key)
            return
        if temporary:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="antiphon-ask-")))
        settings = settings_or_exit(data_dir=data_dir)
        try:
            yield stack.enter_context(direct_client(settings, indexing=True))
        except Unavailable as error:
            if error.code != "data_directory_locked":
                raise
            own = settings.api_key.get_secret_value() if settings.api_key else None
            yield ApiClient(base_url_of(settings.host, settings.port), key or own)


def _synced(server: Server, asked: Asked) -> Synced:
    console = Console(stderr=True)
    columns = (TextColumn("indexing"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("indexing", total=None)
        return sync(server, asked.folder, lambda done, total: bar.update(task, completed=done, total=total))


def _answered(server: Server, synced: Synced, asked: Asked) -> Json:
    body: dict[str, Any] = {
        "input": asked.question,
        "store": False,
        "tools": [{"type": "file_search", "vector_store_ids": [synced.store_id]}],
        "tool_choice": {"type": "file_search"},
    }
    if asked.model is not None:
        body["model"] = asked.model
    return server.post("/v1/responses", body)


def cited(answer: Json) -> Cited:
    """Return an answer's text with a number at each citation; equal quotes have one number."""
    result = Cited("")
    numbers: dict[tuple[Any, ...], int] = {}
    for part in _parts(answer):
        text, at, marked = part["text"], 0, list[str]()
        notes = [one for one in part["annotations"] if one["type"] == "file_citation"]
        for note in sorted(notes, key=lambda one: int(one["index"])):
            place = note["antiphon"]
            key = (note["file_id"], place["version"], place["start"], place["end"])
            if key not in numbers:
                numbers[key] = len(numbers) + 1
                result.notes.append(note)
            marked += [text[at : note["index"]], f" [{numbers[key]}]"]
            at = note["index"]
        result.text += "".join([*marked, text[at:]])
    return result


def _parts(answer: Json) -> Iterator[Json]:
    for item in answer["output"]:
        if item["type"] == "message":
            yield from (part for part in item["content"] if part["type"] == "output_text")


def _show(synced: Synced, answer: Json) -> None:
    console, aside = Console(), Console(stderr=True)
    aside.print(
        f"{synced.added} new, {synced.changed} changed, {synced.removed} gone, {synced.unchanged} as before",
        style="dim",
    )
    for path, reason in synced.failed.items():
        aside.print(f"[yellow]not read:[/] {escape(path)}: {escape(reason)}")
    found = cited(answer)
    if answer["error"] is not None:
        aside.print(f"[red]{escape(answer['error']['message'])}[/]")
    console.print(found.text, markup=False, highlight=False)
    for number, note in enumerate(found.notes, 1):
        place = note["antiphon"]
        page = f", page {place['page']}" if place["page"] is not None else ""
        quote = " ".join(place["quote"].split())
        quote = quote if len(quote) <= MAX_QUOTE else quote[: MAX_QUOTE - 1] + "…"
        console.print(f"\n[bold]\\[{number}][/] {escape(note['filename'])}{page}", highlight=False)
        console.print(f"    “{escape(quote)}”", style="dim", highlight=False)


def _fail(message: str) -> Any:
    print(f"antiphon: {message}", file=sys.stderr)
    raise typer.Exit(1)

"""The commands and their options. A command imports its own weight, so that `--help` answers at once."""

import gc
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from antiphon.cli import import_commands, migrate_commands, user_commands

DEFAULT_BASE_URL = "http://127.0.0.1:8000"
LOADED_OBJECTS = 50_000
"""What is loaded stays: looking for garbage in it every 700 objects took a sixth of each command's start."""


class Commands(typer.Typer):
    """The program: a command that its surroundings keep from working ends with one line."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command that the arguments name."""
        gc.set_threshold(LOADED_OBJECTS, 20, 100)
        try:
            return super().__call__(*args, **kwargs)
        except Exception as error:
            tell_or_raise(error)


def tell_or_raise(error: Exception) -> NoReturn:
    """End with one line and exit code 1; raises a defect as it is, and anything at LOG_LEVEL=debug."""
    from antiphon.bootstrap.refusals import refusal_of
    from antiphon.settings import environment

    line = refusal_of(error)
    if line is None or environment().get("LOG_LEVEL", "").lower() == "debug":
        raise error
    typer.echo(f"antiphon: {line}", err=True)
    sys.exit(1)


app = Commands(
    name="antiphon",
    help="Antiphon, a self-hosted conversation server that speaks OpenAI's API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

app.add_typer(user_commands.app)
app.add_typer(import_commands.app)
app.add_typer(migrate_commands.app)

Host = Annotated[str | None, typer.Option("--host", help="Address to listen on; overrides HOST.")]
Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port; overrides PORT.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where data is kept; overrides DATA_DIR.")]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", envvar="ANTIPHON_API_KEY", show_envvar=True, help="Key for the server."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"antiphon {installed_version('antiphon')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Declare what stands before a command."""


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A config.ini of the Redis chat service.")
    ] = None,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload", help="For development: start again when code, .env or antiphon.toml change."
        ),
    ] = False,
) -> None:
    """Start the server."""
    from antiphon.cli.serve import run_again_and_again, run_server

    if reload:
        run_again_and_again(host=host, port=port, data_dir=data_dir, config=config)
        return
    run_server(host=host, port=port, data_dir=data_dir, config=config)


@app.command()
def worker(data_dir: DataDir = None) -> None:
    """Do the background work of the servers on the same database: reading, embedding, expiring, erasing."""
    from antiphon.cli.worker import run_worker

    run_worker(data_dir=data_dir)


@app.command()
def doctor(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    api_key: ApiKey = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check the machine, the data, the settings and the providers."""
    from antiphon.cli.doctor import run_doctor

    run_doctor(host=host, port=port, data_dir=data_dir, api_key=api_key, json_output=json_output)


@app.command()
def backup(
    path: Annotated[Path, typer.Argument(help="A new or empty directory.")],
    data_dir: DataDir = None,
    with_secret_key: Annotated[
        bool, typer.Option("--with-secret-key", help="Also the secret that a server without SECRET_KEY made.")
    ] = False,
) -> None:
    """Copy the embedded store, while its server runs or stands."""
    from antiphon.cli.backups import run_backup

    run_backup(path, data_dir=data_dir, with_secret=with_secret_key)


@app.command()
def export(
    path: Annotated[
        Path | None, typer.Argument(help="A new file; with the ending .gz it is compressed.")
    ] = None,
    data_dir: DataDir = None,
    digest: Annotated[
        bool, typer.Option("--digest", help="Write nothing; print counts and digests of all there is.")
    ] = False,
) -> None:
    """Write everything into an archive that any store can be filled from, while servers run or stand."""
    from antiphon.cli.store_transfer import run_digest, run_export

    if digest:
        run_digest(data_dir=data_dir)
    elif path is None:
        raise typer.BadParameter("a file to write, or --digest")
    else:
        run_export(path, data_dir=data_dir)


@app.command()
def restore(
    path: Annotated[Path, typer.Argument(help="What `antiphon backup` made.")],
    data_dir: DataDir = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the data that is there.")] = False,
) -> None:
    """Verify a backup and put it into the data directory. The server must be stopped."""
    from antiphon.cli.backups import run_restore

    run_restore(path, data_dir=data_dir, force=force)


Measured = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET",
        help="Folder in BEIR's shape: corpus.jsonl, queries.jsonl, qrels/test.tsv. With --answers: ids of"
        " responses, or files of them.",
    ),
]
IndexDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Keep the index here, to measure again sooner. With --answers: the server's data.",
    ),
]
AnswersUrl = Annotated[
    str | None, typer.Option("--base-url", envvar="ANTIPHON_BASE_URL", help="The server of the answers.")
]


def _at_least(option: str, measure: str) -> Any:
    return typer.Option(option, help=f"Exit 1 below this {measure}.")


@app.command("eval")
def evaluate(
    named: Measured,
    data_dir: IndexDir = None,
    passage_tokens: Annotated[
        int, typer.Option("--passage-tokens", min=100, max=4096, help="Cut documents to this length.")
    ] = 200,
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, max=200, help="What words and vectors each may propose.")
    ] = 100,
    min_ndcg: Annotated[float | None, _at_least("--min-ndcg", "nDCG@10")] = None,
    min_recall: Annotated[float | None, _at_least("--min-recall", "Recall@100")] = None,
    min_mrr: Annotated[float | None, _at_least("--min-mrr", "MRR")] = None,
    answers: Annotated[
        bool, typer.Option("--answers", help="Check that every quote of answers stands in its file.")
    ] = False,
    base_url: AnswersUrl = None,
    api_key: ApiKey = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure retrieval on a benchmark, with the embedding model of the settings if there is one."""
    if answers:
        from antiphon.cli.groundedness import run_groundedness

        run_groundedness(named, url=base_url, key=api_key, data_dir=data_dir, json_output=json_output)
        return
    from antiphon.cli.evaluation import Bounds, run_evaluation

    if len(named) != 1:
        raise typer.BadParameter("one data set at a time")
    run_evaluation(
        Path(named[0]), data_dir=data_dir, passage_tokens=passage_tokens, candidates=candidates,
        bounds=Bounds(min_ndcg, min_recall, min_mrr), json_output=json_output,
    )  # fmt: skip


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What the documents are to answer.")],
    docs: Annotated[Path, typer.Option("--docs", "-d", help="Folder of documents.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model to ask; the default one otherwise.")
    ] = None,
    data_dir: DataDir = None,
    temporary: Annotated[
        bool, typer.Option("--temporary", help="Keep nothing: everything is indexed again next time.")
    ] = False,
    base_url: Annotated[
        str | None, typer.Option("--base-url", envvar="ANTIPHON_BASE_URL", help="Use this server instead.")
    ] = None,
    api_key: ApiKey = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the response as JSON.")] = False,
) -> None:
    """Answer a question from a folder of documents, with citations. No server is needed."""
    from antiphon.cli.ask import Asked, run_ask

    asked = Asked(question, docs, model, json_output)
    run_ask(asked, url=base_url, key=api_key, data_dir=data_dir, temporary=temporary)


@app.command()
def chat(
    question: Annotated[
        str | None, typer.Argument(help="Ask this and leave; what is piped in is added to it.")
    ] = None,
    base_url: Annotated[
        str, typer.Option("--base-url", envvar="ANTIPHON_BASE_URL", help="Where the server is.")
    ] = DEFAULT_BASE_URL,
    api_key: ApiKey = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model to ask; the server's default otherwise.")
    ] = None,
    conversation: Annotated[
        str | None, typer.Option("--conversation", "-c", help="Continue this conversation.")
    ] = None,
) -> None:
    """Talk to a model in the terminal, along branches that you can edit, retry and switch."""
    from antiphon.cli.chat import run_chat

    run_chat(question=question, base_url=base_url, api_key=api_key, model=model, conversation=conversation)

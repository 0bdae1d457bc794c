"""`antiphon serve`: load the settings, start the server, and say where to go as soon as it answers."""

import os
import sys
import threading
import time
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

from antiphon.cli.api_client import ApiClient, ClientError
from antiphon.cli.config_ini import names_of
from antiphon.cli.configuration import base_url_of, settings_or_exit
from antiphon.cli.reloading import run_reloading
from antiphon.process import serve
from antiphon.settings import environment

GREETING_WAIT_SECONDS = 60.0
MODELS_SHOWN = 8


def run_server(
    *, host: str | None, port: int | None, data_dir: Path | None, config: Path | None = None
) -> None:
    if config is not None:
        adopt(config)
    settings = settings_or_exit(host=host, port=port, data_dir=data_dir)
    if settings.port:
        url = base_url_of(settings.host, settings.port)
        key = settings.api_key.get_secret_value() if settings.api_key else None
        threading.Thread(target=greet_when_ready, args=(url, key), name="greeting", daemon=True).start()
    serve(settings)


def run_again_and_again(
    *, host: str | None, port: int | None, data_dir: Path | None, config: Path | None = None
) -> None:
    """Serve in another process, which is started again after every change; exits where that is no good."""
    if config is not None:
        adopt(config)
    if settings_or_exit(host=host, port=port, data_dir=data_dir).environment == "production":
        typer.echo("antiphon: --reload is for development, and ENVIRONMENT is production", err=True)
        raise typer.Exit(2)
    given = {"--host": host, "--port": port, "--data-dir": data_dir, "--config": config}
    options = [str(part) for name, value in given.items() if value is not None for part in (name, value)]
    run_reloading(options, config=config)


def adopt(config: Path) -> None:
    """Put what a `config.ini` says into the environment, which wins; exits if the file is wrong."""
    try:
        names, known = names_of(config), environment()
    except ValueError as error:  # a BadConfigIni, or a `.env` that cannot be read
        typer.echo(f"antiphon: {error}", err=True)
        raise typer.Exit(2) from None
    os.environ.update({name: value for name, value in names.items() if name not in known})


def greet_when_ready(url: str, api_key: str | None = None) -> None:
    """Wait until the server answers and print the next steps; says nothing if it never does."""
    client = ApiClient(url, api_key)
    give_up = time.monotonic() + GREETING_WAIT_SECONDS
    while time.monotonic() < give_up:
        try:
            client.get("/health/ready")
        except ClientError:
            time.sleep(0.1)
            continue
        show_next_steps(next_steps(url, available_models(client), with_key=api_key is not None))
        return


def available_models(client: ApiClient) -> list[str] | None:
    """The models this caller sees; None if the server wants another credential."""
    try:
        return [str(model["id"]) for model in client.get("/v1/models").get("data", [])]
    except ClientError:
        return None


def next_steps(url: str, models: list[str] | None, *, with_key: bool = False) -> list[tuple[str, str]]:
    """What to print, as pairs of a label and a line."""
    model = models[0] if models else "MODEL"
    key = ' -H "Authorization: Bearer $API_KEY"' if with_key or models is None else ""
    body = f'{{"model": "{model}", "input": "Say hello"}}'
    return [
        ("Antiphon", f"{url}/v1"),
        ("docs", f"{url}/docs"),
        ("try", f"curl {url}/v1/responses{key} -H 'Content-Type: application/json' -d '{body}'"),
        ("or", "antiphon chat" if url.endswith(":8000") else f"antiphon chat --base-url {url}"),
        ("models", models_line(models)),
    ]


def models_line(models: list[str] | None) -> str:
    if models is None:
        return "this server wants credentials; list them with GET /v1/models and your key"
    if not models:
        return "none: set GROQ_API_KEY, OPENAI_API_KEY, OLLAMA_BASE_URL, … (see .env.example)"
    more = f" and {len(models) - MODELS_SHOWN} more" if len(models) > MODELS_SHOWN else ""
    return ", ".join(models[:MODELS_SHOWN]) + more


def show_next_steps(steps: list[tuple[str, str]]) -> None:
    """Coloured in a terminal, plain lines elsewhere."""
    if sys.stdout.isatty():
        console = Console(highlight=False, soft_wrap=True)
        for label, line in steps:
            console.print(f"  [bold cyan]{label:>8}[/]  {escape(line)}")
    else:
        print("\n".join(f"{label}: {line}" for label, line in steps), flush=True)

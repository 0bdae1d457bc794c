"""`antiphon serve --reload`: beside the server a process that starts it anew when code or settings change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import typer

import antiphon

LOOK_SECONDS: Final = 0.5
STOP_SECONDS: Final = 15.0
"""How long a server may take to end, with what it drains, before it is killed; it keeps what it has told."""
BESIDE: Final = (".env", "antiphon.toml")

Seen = Mapping[Path, tuple[int, int]]
"""When a file was changed, in ns, and its size."""


def run_reloading(options: Sequence[str], *, config: Path | None = None) -> None:
    """Run `antiphon serve` with these options, again and again, until this process is told to stop."""
    stopping: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopping.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    names = [Path(name) for name in BESIDE] + ([config] if config is not None else [])
    while not stopping:
        seen = look(names)
        server = _started(options)
        try:
            while not stopping and look(names) == seen:
                if server.poll() is not None:
                    typer.echo(
                        "antiphon: the server has ended; it starts again after the next change", err=True
                    )
                    _await_change(names, seen, stopping)
                    break
                time.sleep(LOOK_SECONDS)
        finally:
            _end(server)
        if not stopping:
            typer.echo("antiphon: something changed, starting again", err=True)


def look(names: Iterable[Path]) -> Seen:
    """Return the state of the server's own code and of the files named, as far as they are there."""
    seen: dict[Path, tuple[int, int]] = {}
    for path in (*Path(antiphon.__file__).parent.rglob("*.py"), *names):
        try:
            found = path.stat()
        except OSError:
            continue  # it is being written, or is not there
        seen[path] = (found.st_mtime_ns, found.st_size)
    return seen


def _await_change(names: Sequence[Path], seen: Seen, stopping: Sequence[int]) -> None:
    while not stopping and look(names) == seen:
        time.sleep(LOOK_SECONDS)


def _started(options: Sequence[str]) -> subprocess.Popen[bytes]:
    # Whoever changes the code does not want to wait for answers to end; what they have said is kept.
    environment = {"DRAIN_SECONDS": "0", **os.environ}
    command = [sys.executable, "-m", "antiphon", "serve", *options]
    return subprocess.Popen(command, env=environment, start_new_session=True)


def _end(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is not None:
        return
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()

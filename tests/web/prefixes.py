"""A page that has nothing but the chat page's Markdown, built and served."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from antiphon.api.page import CONTENT_POLICY
from hatch_build import SOURCE, node


def build(target: Path) -> None:
    """Build it into a directory."""
    runs = node()
    command = [
        runs.program,
        "node_modules/vite/bin/vite.js",
        "build",
        "tests/prefixes",
        "--outDir",
        str(target),
    ]
    done = subprocess.run([*command, "--assetsInlineLimit", "0"], cwd=SOURCE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class _Open(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Guarded(_Open):
    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", CONTENT_POLICY)
        super().end_headers()


@contextmanager
def served(directory: Path, *, with_policy: bool) -> Iterator[str]:
    """Serve what was built; gives its address."""
    handler = partial(_Guarded if with_policy else _Open, directory=str(directory))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()

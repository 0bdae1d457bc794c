"""What is measured: the upstream itself, nginx in front of it, and Antiphon in front of it."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.dialects import CHAT, RESPONSES, Dialect, JsonScanner
from bench.load import Plan
from bench.machine import Cores, raise_file_limit
from bench.processes import Process, StartError, free_port, running

ROOT: Final = Path(__file__).resolve().parent.parent
_KEPT_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH")
_NGINX: Final = """\
{user}daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log warn;
events {{ worker_connections {files}; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000;
    upstream model {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /health {{ return 200; }}
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 300s;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """One way to ask: a server by name and the dialect spoken to it. ``server`` is what gets started."""

    name: str
    server: str
    dialect: Dialect
    model_prefix: str = ""

    def plan(self, port: int, model: str, *, tokens: int, streamed: bool = True, **load: float) -> Plan:
        """The plan that asks this target for ``tokens`` tokens of ``model``; ``load`` as in Plan."""
        return Plan(
            port=port,
            request=self.dialect.request(self.model_prefix + model, streamed=streamed),
            scanner=self.dialect.scanner if streamed else JsonScanner,
            tokens=tokens,
            **load,  # type: ignore[arg-type]
        )


DIRECT: Final = Target("direct", "", CHAT)
NGINX: Final = Target("nginx", "nginx", CHAT)
ANTIPHON: Final = Target("antiphon", "antiphon", RESPONSES, "openai/")
ANTIPHON_CHAT: Final = Target("antiphon-chat", "antiphon", CHAT, "openai/")
TARGETS: Final = (DIRECT, NGINX, ANTIPHON, ANTIPHON_CHAT)


class Stage:
    """Starts servers for one row, each fresh, with logs and data under ``directory``."""

    def __init__(
        self,
        directory: Path,
        cores: Cores,
        settings: Mapping[str, str] | None = None,
        store: Callable[[Path], Mapping[str, str]] = lambda _: {},
    ) -> None:
        """``settings`` are further environment variables for Antiphon, ``store`` tells more by its data."""
        self._directory = directory
        self._cores = cores
        self._settings = dict(settings or {})
        self._store = store
        self._files = raise_file_limit()

    @contextmanager
    def upstream(self) -> Iterator[Process]:
        """The scripted model server."""
        port = free_port()
        command = [sys.executable, "-m", "tests.harness.upstream", "--port", str(port), "--remember", "0"]
        log = self._directory / "upstream.log"
        with running(command, port=port, log=log, core=self._cores.rest, cwd=ROOT) as process:
            yield process

    @contextmanager
    def server(self, name: str, upstream_port: int, data: Path | None = None) -> Iterator[Process]:
        """The server ``name`` in front of the upstream; ``data`` is a data directory to use again."""
        start = self._nginx if name == "nginx" else self._antiphon
        with start(upstream_port, data) as process:
            yield process

    @contextmanager
    def _nginx(self, upstream_port: int, _data: Path | None) -> Iterator[Process]:
        binary = shutil.which("nginx")
        if binary is None:
            raise StartError("nginx is not installed; install it or leave it out with --no-nginx")
        port = free_port()
        user = f"user {pwd.getpwuid(os.geteuid()).pw_name};\n" if os.geteuid() == 0 else ""
        files = min(self._files, 65_536)
        text = _NGINX.format(
            user=user, files=files, directory=self._directory, upstream=upstream_port, port=port
        )
        configuration = self._directory / "nginx.conf"
        configuration.write_text(text)
        command = [binary, "-p", str(self._directory), "-c", str(configuration)]
        log = self._directory / "nginx.log"
        with running(command, port=port, log=log, core=self._cores.server, cwd=self._directory) as process:
            yield process

    @contextmanager
    def _antiphon(self, upstream_port: int, data: Path | None) -> Iterator[Process]:
        port, data = free_port(), data or self._fresh_data()
        kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        environment = (
            kept
            | dict(self._store(data))
            | self._settings
            | {
                "HOST": "127.0.0.1",
                "PORT": str(port),
                "DATA_DIR": str(data),
                "OPENAI_API_KEY": "bench",
                "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream_port}/v1",
                "PYTHONPATH": str(ROOT / "src"),
            }
        )
        command = [sys.executable, "-m", "antiphon", "serve"]
        with running(
            command,
            port=port,
            log=self._directory / "antiphon.log",
            core=self._cores.server,
            cwd=self._directory,
            environment=environment,
        ) as process:
            yield process

    def _fresh_data(self) -> Path:
        """A data directory that does not exist yet."""
        number = sum(1 for _ in self._directory.glob("data-*"))
        directory = self._directory / f"data-{number}"
        directory.mkdir()
        return directory

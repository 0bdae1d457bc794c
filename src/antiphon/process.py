"""The serving process: its sockets, signals, logs and memory, around one application."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import re
import signal
import socket
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
import structlog
import uvicorn
import uvloop

from antiphon.api.front import Front
from antiphon.api.http_protocol import BoundedHttp
from antiphon.application import Application
from antiphon.bootstrap import Drain, open_application, open_at_rest
from antiphon.bootstrap.ending import process_drain
from antiphon.bootstrap.open_files import raise_limit
from antiphon.bootstrap.refusals import refusal_of
from antiphon.domain.chat_exports.chats import Kind
from antiphon.domain.errors import NotFound, Unavailable
from antiphon.services.runs import follow
from antiphon.services.runs.engine import Engine
from antiphon.settings import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)

CLOSING_SECONDS = 3
"""How long connections may take to close after the drain before they are cut."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGE_BUFFER_BYTES = 32 * 1024
YOUNG_OBJECTS = 50_000
OBJECTS_PER_REQUEST = 250
"""An open stream holds some 150 objects that the collector counts, none of them garbage."""
SLOW_TICKS = 50
"""So many ticks of uvicorn, a tenth of a second each, between two looks for requests that do not arrive."""
MAX_FRAMES, MAX_CAUSES = 12, 4
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line ends, half characters, and what turns the direction of writing around."""


def serve(settings: Settings) -> None:
    """Run the server until it is told to stop; raises what keeps it from starting, see `refusals`."""
    configure_logging(settings.log_level)
    _tame_allocator()
    raise_limit()
    create_app = _create_app()
    drain = process_drain(settings.drain_seconds)
    opening = Opening(settings, drain)
    config = _server_config(settings, create_app(opening.opened, settings.spoken_dialects))
    server = DrainingServer(config, drain, opening.end_runs)
    # Until uvicorn listens, and when it raises them again in the end: being told to stop is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    listening = _listening(settings.host, settings.port)
    # Connections inherit it: the kernel ends those whose client takes nothing for a minute.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(follow.STALLED_SECONDS * 1000))
    try:
        server.run(sockets=[listening])
    except SystemExit:
        if opening.refused is not None:
            raise opening.refused from None
        raise


def _create_app() -> Callable[..., Front]:
    """Import the surfaces, which commands that call no route do without: it is half of their start."""
    from antiphon.api.app import create_app  # noqa: PLC0415

    return create_app


def _listening(host: str, port: int) -> socket.socket:
    """Return the socket of the server, bound; raises Unavailable."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Unavailable(
            f"Port {port} of '{host}' cannot be had ({error.strerror or error}): end the program that has it,"
            " or choose another PORT or HOST."
        ) from error
    where = f"[{host}]" if ":" in host else host
    log.info("listening on http://%s:%d", where, listening.getsockname()[1])
    return listening


class Opening:
    """Opens the application for a server; `refused` is why it could not, if its surroundings are why."""

    def __init__(self, settings: Settings, drain: Drain) -> None:
        self._settings = settings
        self._drain = drain
        self._engines: list[Engine] = []
        self.refused: Exception | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Application]:
        """Be open for the block."""
        async with AsyncExitStack() as stack:
            try:
                application = await stack.enter_async_context(open_application(self._settings, self._drain))
            except Exception as error:
                if refusal_of(error) is not None:
                    self.refused = error
                    logging.getLogger("uvicorn.error").disabled = True  # it would tell the traceback
                raise
            self._engines.append(application.answers.engine)
            _tame_collector()
            yield application

    async def end_runs(self) -> None:
        """Wait for the drain, then end the answers that are left."""
        await self._drain.over()
        for engine in self._engines:
            await engine.close()


def work(settings: Settings) -> None:
    """Do the background work of the servers on one database until told to stop; raises Unavailable."""
    configure_logging(settings.log_level)
    _tame_allocator()
    raise_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_told(settings))


async def _until_told(settings: Settings) -> None:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with open_application(settings, process_drain(settings.drain_seconds)):
        _tame_collector()
        log.info("working")
        await told.wait()


def _server_config(settings: Settings, app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=BoundedHttp,
        ws="websockets-sansio",
        ws_max_size=settings.max_body_bytes,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_level="info" if settings.log_level == "debug" else settings.log_level,
        log_config=None,
        backlog=4096,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.drain_seconds) + CLOSING_SECONDS,
    )


class DrainingServer(uvicorn.Server):
    """A server that lets its streams end at SIGTERM, for as long as the drain lasts."""

    def __init__(self, config: uvicorn.Config, drain: Drain, end_runs: Any) -> None:
        super().__init__(config)
        self._drain = drain
        self._end_runs = end_runs
        self._unseen: list[Any] = []
        self._slice = 1

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; told so a second time, stop waiting for answers."""
        if self.should_exit:
            self._drain.hurry()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """See uvicorn; every five seconds also end requests that do not arrive and idle connections.

        A part of them at a time: a look at thousands at once would hold up everybody's tokens.
        """
        if not self._unseen:
            self._unseen = list(self.server_state.connections) if counter % SLOW_TICKS == 0 else []
            self._slice = len(self._unseen) // SLOW_TICKS + 1
        gc.set_threshold(YOUNG_OBJECTS + OBJECTS_PER_REQUEST * len(self.server_state.tasks), 20, 100)
        seen, self._unseen = self._unseen[: self._slice], self._unseen[self._slice :]
        for connection in seen:
            if isinstance(connection, BoundedHttp):
                connection.end_if_slow()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: Sequence[Any] | None = None) -> None:
        """Begin the drain, then shut down as uvicorn does."""
        self._drain.begin()
        ending = asyncio.create_task(self._end_runs())
        try:
            await super().shutdown(list(sockets) if sockets else None)
        finally:
            ending.cancel()


class DirectCalls:
    """Calls of the HTTP API without a server and without credentials: whoever has the data is its owner."""

    def __init__(self, runner: asyncio.Runner, application: Application) -> None:
        self._runner = runner
        policy = replace(application.policy, needs_credentials=False, allowed_hosts=None)
        opened = replace(application, policy=policy)
        self._front = _create_app()(lambda: nullcontext(opened), ())
        self._front.application = opened

    def request(
        self,
        method: str,
        target: str,
        body: Iterable[bytes] = (),
        content_type: str = "application/json",
    ) -> tuple[int, bytes]:
        """Return status and body of the answer to one call."""
        return self._runner.run(self._request(method, target, iter(body), content_type))

    def wait(self, seconds: float) -> None:
        """Let what goes on beside the calls go on."""
        self._runner.run(asyncio.sleep(seconds))

    async def _request(
        self, method: str, target: str, body: Iterator[bytes], content_type: str
    ) -> tuple[int, bytes]:
        path, _, query = target.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": unquote(path), "raw_path": path.encode(), "root_path": "",
            "query_string": query.encode(), "client": None, "server": None,
            "headers": [(b"host", b"localhost"), (b"content-type", content_type.encode())],
        }  # fmt: skip
        status, parts = 0, list[bytes]()

        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if sent:
                await asyncio.Event().wait()  # a caller that never leaves
            piece = next(body, None)
            sent = piece is None
            return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            parts.append(message.get("body", b""))

        await self._front(scope, receive, send)
        return status, b"".join(parts)


@contextmanager
def direct_calls(settings: Settings, *, indexing: bool = False) -> Iterator[DirectCalls]:
    """Open the application for the block; raises Unavailable while another process has its data.

    With `indexing` documents are read and embedded while calls or waits go on.
    """
    with _at_rest(settings, indexing=indexing) as (runner, application):
        yield DirectCalls(runner, application)


@contextmanager
def _at_rest(settings: Settings, *, indexing: bool = False) -> Iterator[tuple[asyncio.Runner, Application]]:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        opening = stack.enter_async_context(open_at_rest(settings, indexing=indexing))
        try:
            yield runner, runner.run(opening)
        finally:
            runner.run(stack.aclose())


class DirectImport:
    """The service that takes over what older servers kept, run one call after the other."""

    def __init__(self, runner: asyncio.Runner, application: Application) -> None:
        self._runner = runner
        self.old_chats = application.old_chats
        self.imports = application.imports

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Return what a call returns."""
        return self._runner.run(call)

    def file(self, owner: str, path: Path, kind: Kind | None) -> Iterator[dict[str, Any]]:
        """Import a file for an account; yields what becomes of each conversation, as a JSON object.

        Raises NotFound if there is no such account.
        """
        account = self.run(self.old_chats.account(owner))
        if account is None:
            raise NotFound(f"There is no account '{owner}'.")
        lines = self.imports.run(account.principal(), path, kind)
        try:
            while (one := self.run(anext(lines, None))) is not None:
                yield msgspec.to_builtins(one)
        finally:
            self.run(lines.aclose())


@contextmanager
def direct_import(settings: Settings) -> Iterator[DirectImport]:
    """Open the application for the block; raises Unavailable while another process has its data."""
    with _at_rest(settings) as (runner, application):
        yield DirectImport(runner, application)


def _tame_collector() -> None:
    """Keep the collector's pauses short: at 5,000 streams the default costs 133 ms at p99.

    Everything made at start is frozen, and the young generation is collected rarely: the hot
    path makes no cycles, so there is little to find. While streams are being opened their objects would
    still have it collected every few hundred, 10 to 20 ms each time; so the threshold grows with them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 100)


def _tame_allocator() -> None:
    """Give large buffers back to the system at once, where the C library is glibc.

    By default glibc raises the size from which it does so to the largest buffer ever freed, and holes
    stay (mallopt(3)): after 20 answers of 1.6 MB 261 to 268 MiB are resident, with the size fixed 201 to 205.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            mallopt(option, LARGE_BUFFER_BYTES)


class OneLine(logging.Formatter):
    """Makes one line of printable characters of a record, whatever a client or a model put into it.

    Of an exception it tells kind and place only: its words may quote a question, an answer or a key.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        message = record.getMessage()
        if record.name == "asyncio":
            message = message.partition("\n")[0]  # then come reprs of tasks, with their exceptions' words
        moment = f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3]
        line = f"{moment}Z {record.levelname} {record.name}: {message}"
        if record.exc_info and record.exc_info[1] is not None:
            line = f"{line} | Traceback: {_told(record.exc_info[1])}"
        return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode(), line)


def _told(error: BaseException) -> str:
    """Return the kinds of an exception and of what led to it, each with its innermost frames."""
    told: list[str] = []
    seen: set[int] = set()
    while id(error) not in seen and len(told) < MAX_CAUSES:
        seen.add(id(error))
        frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
        places = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
        # The words of the system and of SQLite's codes are fixed; all others may be anybody's.
        words = (isinstance(error, OSError) and error.strerror) or getattr(error, "sqlite_errorname", "")
        told.append(f"{type(error).__name__}{f' ({words})' if words else ''} at {places or 'no place'}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__) or error
    return ", after ".join(told)


def configure_logging(level: str) -> None:
    """Log to standard error from `level` up; libraries are quieter."""
    number = getattr(logging, level.upper())
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    # Libraries never say more than `info`: at `debug` the WebSocket's writes every header and frame.
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler], force=True)
    logging.getLogger("antiphon").setLevel(number)
    logging.getLogger("alembic").setLevel(max(number, logging.WARNING if level == "info" else logging.INFO))
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
    )

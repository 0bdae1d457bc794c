"""The way to Redis: whether it is there, and what each server does when it is not.

After a failure nobody waits again: calls are refused at once until a look, every half second, finds
Redis answering. Calls that come together share a way there and back; one that is abandoned is answered to
nobody, and what takes too long gives its connection up, so that no answer can reach another call.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError

from antiphon.storage.redis.connection import CONNECTIONS, Client

BEAT_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 5.0
"""How long a look may take that nobody waits for: a cluster's client first learns where everything lies."""
LOST: Final = (RedisError, RedisClusterException, OSError, TimeoutError)

Beat = Callable[[], Awaitable[None]]
Word = str | bytes | int | float
Call = tuple[tuple[Word, ...], asyncio.Future[Any]]
"""A call's words, and who waits for its answer."""

log = logging.getLogger(__name__)


class Away(Exception):
    """Redis did not do it: it cannot be reached, or it refuses. It may have been done all the same."""


class Refused(Away):
    """It answers, though not this: a read-only copy, no memory left, a key of another's."""


class Script:
    """A script by its text; it is sent once to a server, and by its hash afterwards."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisLink:
    """Calls to one Redis. All keys begin with `prefix`; a call takes `seconds` at most."""

    def __init__(self, client: Client, *, prefix: str, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._beats: list[Beat] = []
        self._watching: asyncio.Task[None] | None = None
        self._complaints: set[str] = set()
        self._gathered: list[Call] = []
        self._exchanges: set[asyncio.Task[None]] = set()
        self.prefix = prefix
        self.is_up = True

    async def run(self, script: Script, keys: Sequence[Word], *values: Word) -> Any:
        """Return what a script returns; raises Away."""
        try:
            return await self._ask("EVALSHA", script.sha, len(keys), *keys, *values)
        except NoScriptError:
            pass
        try:
            return await self._ask("EVAL", script.text, len(keys), *keys, *values)
        except NoScriptError as error:
            raise Away(type(error).__name__) from error

    async def call(self, *words: Word) -> Any:
        """Return what a command returns; raises Away."""
        try:
            return await self._ask(*words)
        except NoScriptError as error:
            raise Away(type(error).__name__) from error

    async def answers(self) -> bool:
        """Whether Redis answers now; asked only while it did a moment ago."""
        try:
            await self.call("PING")
        except Away:
            return False
        return True

    async def _ask(self, *words: Word) -> Any:
        if not self.is_up:
            raise Away("Redis is away")
        try:
            return await self._with_others(words)
        except ResponseError as error:
            if isinstance(error, NoScriptError):
                raise
            self._refused(error)
            raise Refused(type(error).__name__) from error
        except LOST as error:
            self._lost(error)
            raise Away(type(error).__name__) from error

    async def _send(self, seconds: float, *words: Word) -> Any:
        async with asyncio.timeout(seconds), self._room:
            return await self._client.execute_command(*words)

    async def _with_others(self, words: tuple[Word, ...]) -> Any:
        """Send a call with those that come in the same pass of the event loop; raises what it is answered."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if not self._gathered:
            loop.call_soon(self._begin)
        self._gathered.append((words, answer))
        return await answer

    def _begin(self) -> None:
        gathered, self._gathered = self._gathered, []
        task = asyncio.get_running_loop().create_task(self._exchange(gathered), name="redis calls")
        self._exchanges.add(task)
        task.add_done_callback(self._exchanges.discard)

    async def _exchange(self, gathered: list[Call]) -> None:
        try:
            if len(gathered) == 1:
                answers = [await self._send(self._seconds, *gathered[0][0])]
            else:
                answers = await self._send_all([words for words, _ in gathered])
        except Exception as error:
            answers = [error] * len(gathered)
        for (_, waiting), answer in zip(gathered, answers, strict=True):
            if waiting.done():
                continue
            if isinstance(answer, Exception):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)

    async def _send_all(self, calls: list[tuple[Word, ...]]) -> list[Any]:
        async with asyncio.timeout(self._seconds), self._room:
            pipeline = self._client.pipeline(transaction=False)
            for words in calls:
                pipeline.execute_command(*words)
            return await pipeline.execute(raise_on_error=False)

    def _lost(self, error: BaseException) -> None:
        if self.is_up:
            self.is_up = False
            self._complaints.clear()
            log.warning(
                "Redis is away (%s): this server counts by itself and caches nothing until it is back",
                type(error).__name__,
            )

    def _refused(self, error: ResponseError) -> None:
        """Say so, once for each kind until Redis was away."""
        kind = type(error).__name__
        if kind not in self._complaints:
            self._complaints.add(kind)
            log.warning("Redis answers, but refuses what is asked of it (%s)", kind)

    # --- looking after it

    def every_beat(self, beat: Beat) -> None:
        """Have `beat` called twice a second while Redis answers, and first of all when it is back."""
        self._beats.append(beat)

    async def open(self) -> BaseException | None:
        """Try Redis and begin to look after it; returns why it could not be reached, None if it was."""
        problem: BaseException | None = None
        try:
            await self._send(PATIENCE_SECONDS, "PING")
        except LOST as error:
            problem, self.is_up = error, False
        self._watching = asyncio.create_task(self._watch(), name="redis")
        return problem

    async def _watch(self) -> None:
        while True:
            try:
                if not self.is_up:
                    await self._send(PATIENCE_SECONDS, "PING")
                    self.is_up = True
                    log.warning("Redis is back")
                for beat in self._beats:
                    await beat()
            except (*LOST, Away):
                pass
            except Exception:
                log.exception("what is done with Redis now and then failed")
            await asyncio.sleep(BEAT_SECONDS)

    async def close(self) -> None:
        """Hang up."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._client.aclose()

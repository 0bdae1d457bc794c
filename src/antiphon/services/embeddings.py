"""Embeddings of knowledge: of questions at once, of documents now or later, of all after a new model.

Which model questions are embedded with is a mark in the index. A changed configuration leaves it
alone at first: the old model, if it still can be built, answers questions until every live text
has a vector of the new one; then the mark moves, and the old vectors go in slices. All of this is
found again after a crash, since it is nothing but the mark and the vectors themselves.

Words never wait for vectors: where the model fails, a document is published without, and embedded
by the loop in `run` when the model answers again. The same where its owner's limits leave too little:
its texts are passed over until the limit is as good as new.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Literal, Protocol

import msgspec

from antiphon.domain.errors import ProviderError, RateLimited
from antiphon.ports.clock import Clock
from antiphon.ports.embedder import Embedder
from antiphon.ports.jobs import Jobs
from antiphon.ports.locks import Locks
from antiphon.ports.passage_index import Unembedded, Vectors
from antiphon.services.embedding_models import Configured
from antiphon.services.embedding_use import EmbeddingUse
from antiphon.services.text_embedding import TextEmbedding

log = logging.getLogger(__name__)

MARK: Final = "embedding"
PAGE: Final = 512
SLICE: Final = 500
QUERY_SECONDS: Final = 10.0
QUERIES_KEPT: Final = 256
MAX_PENDING: Final = 10_000
LOOK_SECONDS: Final = 600.0
"""How often texts without vectors are looked for when nothing tells of any."""
FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 600.0
GRACE_SECONDS: Final = 10.0
"""How long the vectors of the last model stay for questions that were embedded before the switch."""

Status = Literal["off", "ready", "embedding", "changing", "waiting"]


class Marks(Protocol):
    """What embedding needs of port `IndexScopes`."""

    async def mark(self, name: str, value: bytes) -> None: ...
    async def marked(self, name: str) -> bytes | None: ...


class QueryVector(msgspec.Struct, frozen=True):
    """A question's vector, float32 little-endian of length one, and the model to compare under."""

    model: str
    vector: bytes


class EmbeddingState(msgspec.Struct, frozen=True, kw_only=True):
    """How embedding stands. `serving` answers questions; `vectors` counts those of each model.

    `waiting_sources` are embedded when the model answers again, those of the `limited_owners` when their
    limits allow. `refused` texts are found by their words only: the model takes them in no form.
    """

    status: Status
    model: str | None
    serving: str | None
    vectors: dict[str, int]
    waiting_sources: int
    limited_owners: int
    refused: int
    last_error: str | None
    retry_in_seconds: float


class _Mark(msgspec.Struct):
    model: str
    description: bytes


class Embeddings:
    """What ingestion and retrieval call. Without a configured model all of it does nothing."""

    def __init__(
        self,
        configured: Configured | None,
        vectors: Vectors,
        marks: Marks,
        use: EmbeddingUse,
        clock: Clock,
        locks: Locks,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._configured = configured
        self._target = configured.embedder if configured else None
        self._serving = self._target
        self._vectors = vectors
        self._marks = marks
        self._clock = clock
        self._locks = locks
        self._sleep = sleep
        self._texts = TextEmbedding(vectors, use, clock)
        self._queries: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._pending: OrderedDict[str, str] = OrderedDict()
        self._limited: dict[str, float] = {}  # owners, and when they are looked at again
        self._wake = asyncio.Event()
        self._status: Status = "ready" if configured else "off"
        self._last_error: str | None = None
        self._retry_at = 0.0

    # --- life

    async def open(self) -> None:
        """Learn which model serves; to be awaited once, before anything else."""
        if self._configured is None or self._target is None:
            return
        raw = await self._marks.marked(MARK)
        mark = msgspec.msgpack.decode(raw, type=_Mark) if raw else None
        if mark is not None and mark.model != self._target.model:
            old = self._configured.rebuild(mark.description)
            if old is not None and old.model == mark.model:
                self._serving = old
                self._status = "changing"
                return
            if old is not None:
                await old.close()
            log.warning("the embedding model '%s' cannot be used any more", mark.model)
        await self._mark_target()

    def schedule(self, jobs: Jobs) -> None:
        """Hand over the loop that embeds what has no vector yet."""
        if self._target is not None:
            jobs.once("embed", self.run)

    async def close(self) -> None:
        """Release the models."""
        for embedder in self._embedders():
            await embedder.close()

    async def state(self) -> EmbeddingState:
        """Return how embedding stands."""
        return EmbeddingState(
            status=self._status,
            model=self._target.model if self._target else None,
            serving=self.model,
            vectors=await self._vectors.models(),
            waiting_sources=len(self._pending),
            limited_owners=sum(map(self._is_limited, self._limited)),
            refused=len(self._texts.refused),
            last_error=self._last_error,
            retry_in_seconds=max(0.0, self._retry_at - self._clock.monotonic()),
        )

    def _embedders(self) -> list[Embedder]:
        """Return the model that serves and, during a change, the one that is to."""
        return list({id(one): one for one in (self._serving, self._target) if one is not None}.values())

    # --- questions

    @property
    def model(self) -> str | None:
        """The model questions are embedded with, None if there is none."""
        return self._serving.model if self._serving else None

    async def embed_query(self, text: str) -> QueryVector | None:
        """Return a question's vector, None without a model; raises ProviderError, within 10 s."""
        embedder = self._serving
        if embedder is None:
            return None
        key = (embedder.model, text)
        if key not in self._queries:
            vector = await self._embed_query(embedder, text)
            self._queries[key] = vector
            if len(self._queries) > QUERIES_KEPT:
                self._queries.popitem(last=False)
            return QueryVector(embedder.model, vector)
        self._queries.move_to_end(key)
        return QueryVector(embedder.model, self._queries[key])

    async def _embed_query(self, embedder: Embedder, text: str) -> bytes:
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                return (await self._texts.call(embedder, [text], "query")).vectors[0]
        except TimeoutError:
            raise ProviderError(
                f"upstream_timeout: the embedding model did not answer in {QUERY_SECONDS:g} s."
            ) from None

    # --- documents

    async def embed_source(self, owner_id: str, source_id: str) -> bool:
        """Embed what a source, staged or live, has no vectors of; False if some of it stays without.

        What must wait for the model, or for its owner's limits, is embedded by the loop. While the model
        changes, a source gets vectors of both.
        """
        try:
            found = [await self._embed_source(one, owner_id, source_id) for one in self._embedders()]
            return all(found)
        except RateLimited as error:
            self._limit(owner_id, error)
            return False
        except ProviderError as error:
            self._failed(error)
            self._pending[source_id] = owner_id
            if len(self._pending) > MAX_PENDING:
                self._pending.popitem(last=False)  # found again when all texts are looked through
            self._wake.set()
            return False

    async def _embed_source(self, embedder: Embedder, owner_id: str, source_id: str) -> bool:
        route = self._configured.route if self._configured and embedder is self._target else None
        while True:
            limit = PAGE + len(self._texts.refused)
            found = await self._vectors.missing(embedder.model, source_id, limit)
            todo = self._texts.wanted(embedder, found)
            if not todo:
                return not found
            await self._texts.keep(embedder, owner_id, todo, route)

    # --- the loop

    async def run(self) -> None:
        """Embed what has no vector, change models, drop what is old; again and again.

        The pauses grow while the model fails.
        """
        pause = 0.0
        while True:
            self._wake.clear()
            try:
                if not await self._catch_up_alone():
                    await self._sleep(FIRST_PAUSE_SECONDS)
                    continue
            except ProviderError as error:
                pause = min(max(FIRST_PAUSE_SECONDS, 2 * pause), LONGEST_PAUSE_SECONDS)
                wait = min(max(pause, error.retry_after_seconds or 0.0), LONGEST_PAUSE_SECONDS)
                self._failed(error, wait)
                await self._sleep(wait)
                continue
            except Exception:  # the store; nothing is lost, and what is missing stays missing
                log.exception("embedding failed")
                await self._sleep(LONGEST_PAUSE_SECONDS)
                continue
            pause = 0.0
            await self._news()

    async def _news(self) -> None:
        """Wait until something could not be embedded, or long enough to look through everything."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            self._texts.refused.clear()  # another version of the model may take them
        else:
            await self._sleep(FIRST_PAUSE_SECONDS)

    async def _catch_up_alone(self) -> bool:
        """Catch up unless another server is at it; then embed one's own, and follow its change of model."""
        async with self._locks.if_free(MARK) as held:
            if held:
                await self.catch_up()
                return True
        await self._embed_pending()
        raw = await self._marks.marked(MARK)
        marked = msgspec.msgpack.decode(raw, type=_Mark).model if raw else None
        if self._target is not None and marked == self._target.model:
            self._serving, self._status = self._target, "ready"
        return False

    async def catch_up(self) -> None:
        """Embed all live texts that have no vector of the configured model, then let it serve.

        Raises ProviderError; what was embedded until then stays.
        """
        target = self._target
        if target is None:
            return
        changing = self._serving is not target
        await self._embed_pending()
        while todo := await self._todo(target):
            self._status = "changing" if changing else "embedding"
            route = None if changing or self._configured is None else self._configured.route
            for owner_id, texts in todo.items():
                try:
                    await self._texts.keep(target, owner_id, texts, route)
                except RateLimited as error:
                    self._limit(owner_id, error)
        if changing:
            await self._switch(target)
        await self._drop_others(target.model)
        self._status, self._last_error, self._retry_at = "ready", None, 0.0

    async def _embed_pending(self) -> None:
        while self._pending:
            source_id, owner_id = next(iter(self._pending.items()))
            try:
                for embedder in self._embedders():
                    await self._embed_source(embedder, owner_id, source_id)
            except RateLimited as error:
                self._limit(owner_id, error)
            self._pending.pop(source_id, None)

    def _limit(self, owner_id: str, error: RateLimited) -> None:
        """Pass over an owner's texts until its limit may leave more."""
        now = self._clock.monotonic()
        self._limited = {one: until for one, until in self._limited.items() if until > now}
        self._limited[owner_id] = now + min(error.retry_after_seconds, LOOK_SECONDS)
        log.info("documents are not embedded for now: a limit of their owner is reached")

    def _is_limited(self, owner_id: str) -> bool:
        return self._limited.get(owner_id, 0.0) > self._clock.monotonic()

    async def _todo(self, embedder: Embedder) -> dict[str, list[Unembedded]]:
        """Return a page of texts to embed by owner; nothing if only those are left that must wait."""
        seen: set[tuple[str, bytes]] = set()
        while True:
            by_owner: dict[str, list[Unembedded]] = {}
            for owner_id, one in await self._vectors.missing_anywhere(embedder.model, PAGE):
                by_owner.setdefault(owner_id, []).append(one)
            wanted = {
                owner_id: [] if self._is_limited(owner_id) else self._texts.wanted(embedder, ones)
                for owner_id, ones in by_owner.items()
            }
            found = {(owner_id, one.text_hash) for owner_id, ones in by_owner.items() for one in ones}
            if any(wanted.values()) or found <= seen:
                return {owner_id: ones for owner_id, ones in wanted.items() if ones}
            seen |= found  # all of them must wait; the index goes on behind them

    async def _switch(self, target: Embedder) -> None:
        await self._mark_target()
        old, self._serving = self._serving, target
        log.info("questions are now embedded with '%s'", target.model)
        await self._sleep(GRACE_SECONDS)
        if old is not None:
            await old.close()

    async def _mark_target(self) -> None:
        if self._configured is not None:
            mark = _Mark(self._configured.embedder.model, self._configured.description)
            await self._marks.mark(MARK, msgspec.msgpack.encode(mark))

    async def _drop_others(self, model: str) -> None:
        for other in [name for name in await self._vectors.models() if name != model]:
            while await self._vectors.drop(other, SLICE):
                await self._sleep(0)

    def _failed(self, error: ProviderError, wait: float = 0.0) -> None:
        if self._last_error != error.message:
            log.warning("embedding must wait: %s", error.message)
        self._status, self._last_error = "waiting", error.message
        self._retry_at = self._clock.monotonic() + wait

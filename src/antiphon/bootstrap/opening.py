"""A server's life: open the store, end what an earlier process left, serve, finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog

from antiphon.application import Application
from antiphon.bootstrap import open_files
from antiphon.bootstrap.assembly import assemble
from antiphon.bootstrap.beside import Beside, open_beside
from antiphon.bootstrap.embedding import Embedders, listed_embeddings
from antiphon.bootstrap.identity import first_administrator, local_owner, open_secrets
from antiphon.bootstrap.knowledge import opened_knowledge
from antiphon.bootstrap.providers import build_models, login_providers, problems_of, provider_specs
from antiphon.bootstrap.stores import open_store
from antiphon.bootstrap.timing import Drain, SystemClock
from antiphon.domain.errors import ProviderError
from antiphon.domain.runs import Run
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.providers.http_client import HttpClient
from antiphon.services.counters import LoopLag
from antiphon.services.housekeeping import Housekeeping
from antiphon.services.models import Models
from antiphon.services.provider_keys import ProviderKeys
from antiphon.services.purges import Purges
from antiphon.services.runs.engine import Engine
from antiphon.services.runs.leases import Leases
from antiphon.services.runs.recover import Recovery
from antiphon.settings import Settings
from antiphon.storage.memory.jobs import InProcessJobs

PURGE_SECONDS = 60.0
log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_application(settings: Settings, drain: Drain) -> AsyncIterator[Application]:
    """Open the store, end what an earlier process left, and serve until the context closes."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        storage, notes, changes = await open_store(stack, settings, clock)
        http = HttpClient()
        stack.push_async_callback(http.close)
        models, provider_keys, embedders = await _open_models(settings, storage, http, clock)
        _warn(settings, models)
        owner, logins = await local_owner(storage, clock), login_providers(settings, http, clock)
        knowledge = await opened_knowledge(stack, settings, http, embedders)
        beside = await open_beside(stack, settings, clock)
        application, engine = assemble(
            settings, storage, models, owner, clock, drain, provider_keys, logins, knowledge, notes, changes,
            beside,
        )  # fmt: skip
        await first_administrator(settings, application)
        recovery = Recovery(storage.journal, storage.unit_of_work, models, clock)
        await application.administration.settings.refresh()
        leases = await _take_place(storage, application, engine, recovery, beside)
        application.journal.start()
        application.followers.start()
        await application.presence.start()
        await application.embeddings.open()
        stack.push_async_callback(application.embeddings.close)
        jobs = InProcessJobs()
        stack.push_async_callback(jobs.close)
        Housekeeping(
            storage.unit_of_work, storage.conversations, recovery, application.journal, application.runs,
            clock, storage.workers, leases,
        ).schedule(jobs, _restart(application))  # fmt: skip
        _schedule_services(settings, application, jobs, clock)
        stack.callback(LoopLag(application.counters.lag).start().close)
        try:
            yield application
        finally:
            await _finish(application, engine, drain)
            await leases.close()
            await models.close()


@asynccontextmanager
async def open_at_rest(settings: Settings, *, indexing: bool = False) -> AsyncIterator[Application]:
    """Open the store for the command line: nothing runs, and what an earlier process left stays so.

    With `indexing` documents are read and embedded, and what open providers offer is known. Raises
    Unavailable while another process has the data directory.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        storage, notes, changes = await open_store(stack, settings, clock)
        http = HttpClient()
        stack.push_async_callback(http.close)
        models, keys, embedders = await _open_models(settings, storage, http, clock)
        stack.push_async_callback(models.close)
        owner = await local_owner(storage, clock)
        knowledge = await opened_knowledge(stack, settings, http, embedders)
        application, _ = assemble(
            settings, storage, models, owner, clock, Drain(0.0), keys, {}, knowledge, notes, changes
        )
        stack.push_async_callback(application.accounts.close)
        await application.administration.settings.refresh()
        if indexing:
            await _index(application, models, stack)
        await application.history.stand_in()
        stack.push_async_callback(application.history.hand_over)
        yield application


async def _index(application: Application, models: Models, stack: AsyncExitStack) -> None:
    """Begin to index what waits."""
    await application.embeddings.open()
    stack.push_async_callback(application.embeddings.close)
    jobs = InProcessJobs()
    stack.push_async_callback(jobs.close)
    application.embeddings.schedule(jobs)
    application.ingestion.schedule(jobs)
    await _prepare(models)


async def _open_models(
    settings: Settings, storage: Storage, http: HttpClient, clock: Clock
) -> tuple[Models, ProviderKeys, Embedders]:
    """Return the models with the keys that are stored for their providers; raises WrongSecretKey."""
    vault, stored = await open_secrets(settings, storage, clock)
    models = build_models(settings, http, clock, stored, listed_embeddings(settings))
    keys = ProviderKeys(models, vault, storage.unit_of_work, clock, stored)
    return models, keys, Embedders(settings, models, provider_specs(settings, stored), http)


def _warn(settings: Settings, models: Models) -> None:
    """Say what is wrong with the configuration."""
    if settings.secret_key_weakness is not None:
        log.warning(f"SECRET_KEY {settings.secret_key_weakness}; one of the server's own is used instead")
    for problem in problems_of(settings, models):
        log.warning("configuration", problem=problem)


async def _take_place(
    storage: Storage, application: Application, engine: Engine, recovery: Recovery, beside: Beside
) -> Leases:
    """Become a worker of the store; the only one ends at once what an earlier process left.

    Where others may live, that waits for their leases: see `Housekeeping.take_over`.
    """
    alone = not storage.workers.is_shared
    if alone:
        await recovery.recover(_restart(application))
        await storage.journal.forget_others(application.journal.worker_id)
    await _begin_limits(application, alone=alone)
    leases = Leases(storage.workers, application.journal, application.runs, engine, beside.share)
    await leases.start()
    return leases


async def _begin_limits(application: Application, *, alone: bool) -> None:
    """Release what a dead process reserved, at once if this is the only one, which has begun nothing."""
    await application.quotas.sweep(older_than_us=0 if alone else None)
    await application.local.refresh()


def _restart(application: Application) -> Any:
    async def restart(run: Run) -> None:
        await application.turns.resume(run)

    return restart


def _schedule_services(
    settings: Settings, application: Application, jobs: InProcessJobs, clock: Clock
) -> None:
    """Have the services do again and again what they must."""
    for service in (
        application.credentials, application.sessions, application.members, application.presence,
        application.titles, application.store_health,
    ):  # fmt: skip
        service.schedule(jobs)
    if application.presence.is_shared:
        application.revisions.schedule(jobs)
    application.administration.schedule(jobs)
    application.history.schedule(jobs)
    application.quotas.schedule(jobs, application.local.refresh)
    jobs.every(open_files.LOOK_SECONDS, "look whether files can be opened", open_files.Shortage().look)
    jobs.once("prepare models", lambda: _prepare(application.models))
    if settings.background_jobs == "here":
        _schedule_background(settings, application, jobs, clock)


def _schedule_background(
    settings: Settings, application: Application, jobs: InProcessJobs, clock: Clock
) -> None:
    """Have the work done that any process on the store can do; each piece is held by one at a time."""
    for work in (application.embeddings, application.ingestion, application.document_housekeeping):
        work.schedule(jobs)
    if settings.session_cleanup == "all":
        end_all = application.chat_sessions.end_all
        jobs.every(settings.session_cleanup_seconds, "forget all chat sessions", end_all)
    _schedule_purges(application.purges, jobs, clock)


def _schedule_purges(purges: Purges, jobs: InProcessJobs, clock: Clock) -> None:
    """Finish the purges of a process that was killed, and erase what is due from then on."""

    async def recover() -> None:
        await purges.recover()

    async def erase() -> None:
        await purges.purge_expired(clock.now_us())

    jobs.once("finish purges", recover)
    jobs.every(PURGE_SECONDS, "purge what is due", erase)


async def _prepare(models: Models) -> None:
    """Learn what open providers offer, so that bare names can be resolved."""
    try:
        await models.prepare()
    except ProviderError as error:
        log.warning("models could not be listed", reason=error.message)


async def _finish(application: Application, engine: Engine, drain: Drain) -> None:
    """Let running answers end for as long as the drain lasts, then end them with what they have."""
    drain.begin()
    ends = {asyncio.ensure_future(application.runs.none_left()), asyncio.ensure_future(drain.over())}
    _, rest = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for one in rest:
        one.cancel()
    drain.end()
    await engine.close()
    await application.presence.close()
    await application.followers.close()
    await application.mirrors.close()
    await application.journal.close()
    await application.history.flush()
    await application.accounts.close()

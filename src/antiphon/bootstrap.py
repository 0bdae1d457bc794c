"""The composition root: settings → adapters → services → Application."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog

from antiphon.application import Application, Policy
from antiphon.bootstrap_providers import build_models, login_providers
from antiphon.domain import ids
from antiphon.domain.accounts import LOCAL_OWNER, Principal
from antiphon.domain.errors import ProviderError
from antiphon.domain.limits import parse_limits
from antiphon.domain.runs import Run
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.external_logins import LoginProvider
from antiphon.ports.storage import Storage
from antiphon.providers.http_client import HttpClient
from antiphon.services import external_logins
from antiphon.services.access import Access
from antiphon.services.accounts import Accounts
from antiphon.services.alternatives import Alternatives
from antiphon.services.answers import Answers
from antiphon.services.api_keys import ApiKeys
from antiphon.services.branches import Branches
from antiphon.services.conversations import Conversations
from antiphon.services.credentials import Credentials
from antiphon.services.external_logins import ExternalLogins
from antiphon.services.first_administrator import FirstAdministrator, Made
from antiphon.services.housekeeping import Housekeeping
from antiphon.services.idempotency import Idempotency
from antiphon.services.keyring import Keyring
from antiphon.services.limits import Limits
from antiphon.services.local_owner import LocalOwner
from antiphon.services.login_guard import LoginGuard
from antiphon.services.members import Members
from antiphon.services.models import Models
from antiphon.services.passwords import Passwords
from antiphon.services.provider_keys import ProviderKeys, stored_keys
from antiphon.services.purges import Purges
from antiphon.services.quotas import Quotas
from antiphon.services.response_cache import ResponseCache
from antiphon.services.runs.engine import Engine
from antiphon.services.runs.follow import Followers
from antiphon.services.runs.journal import RunJournal
from antiphon.services.runs.live import LiveRuns
from antiphon.services.runs.recover import Recovery
from antiphon.services.sealing import Sealer
from antiphon.services.secrets import PURPOSE, Secrets
from antiphon.services.shares import Shares
from antiphon.services.tokens import Tokens
from antiphon.services.turns import Turns
from antiphon.services.usage import Usage
from antiphon.settings import MIN_SECRET_BYTES, Settings, names_in
from antiphon.storage.files import FileBlobs
from antiphon.storage.memory.attempts import InProcessAttempts
from antiphon.storage.memory.cache import InProcessCache
from antiphon.storage.memory.jobs import InProcessJobs
from antiphon.storage.memory.limits import MemoryRateLimiter
from antiphon.storage.sql.sqlite import open_sqlite
from antiphon.storage.with_blobs import StorageWithBlobs

OWN_SECRET = "secret_key"  # noqa: S105 - a file name
BLOBS = "blobs"
PURGE_SECONDS = 60.0
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "0.0.0.0", "testserver"})  # noqa: S104
log = structlog.get_logger(__name__)


class SystemClock:
    """Port `Clock` on the system's clocks."""

    def now_us(self) -> int:
        """See the port."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """See the port."""
        return time.monotonic()


class Drain:
    """Tells whether the server is shutting down, and when its runs must end at the latest."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.began: float | None = None
        self._hurried = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """Begin; does nothing the second time."""
        if self.began is None:
            self.began = time.monotonic()

    def hurry(self) -> None:
        """End the drain now; may be called from a signal's handler."""
        self.seconds = 0.0
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._hurried.set)

    async def over(self) -> None:
        """Wait until no time is left, or somebody is in a hurry."""
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.left):
                await self._hurried.wait()

    @property
    def left(self) -> float:
        """Seconds left for running answers."""
        return self.seconds if self.began is None else max(0.0, self.began + self.seconds - time.monotonic())


def policy_of(settings: Settings) -> Policy:
    """Return what configuration says of the surfaces."""
    names = frozenset(name.lower() for name in names_in(settings.allowed_hosts))
    return Policy(
        max_body_bytes=settings.max_body_bytes,
        store_chat_completions=settings.store_chat_completions,
        allowed_hosts=None if settings.needs_credentials and not names else LOOPBACK_NAMES | names,
        needs_credentials=settings.needs_credentials,
        cors_origins=frozenset(names_in(settings.cors_origins)),
        environment=settings.environment,
        caches_answers=settings.response_cache != "off",
    )


def response_cache(settings: Settings, clock: Clock) -> ResponseCache | None:
    """Return the cache of answers, None if it is off."""
    if settings.response_cache == "off":
        return None
    max_bytes = settings.response_cache_mb * 1024 * 1024
    return ResponseCache(
        InProcessCache(max_bytes, clock),
        shared=settings.response_cache == "shared",
        seconds=settings.response_cache_seconds,
        max_bytes=max_bytes,
    )


def keyring_of(settings: Settings) -> Keyring:
    """Return the server's secret: the configured one, else one of its own beside its data (mode 0600)."""
    previous = settings.secret_key_previous
    return Keyring(
        settings.secret_key.get_secret_value() if settings.secret_key else _own_secret(settings),
        [previous.get_secret_value()] if previous else [],
    )


def _own_secret(settings: Settings) -> str:
    path = settings.data_dir / OWN_SECRET
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(MIN_SECRET_BYTES))
    path.chmod(0o600)
    return path.read_text("ascii")


async def _first_administrator(settings: Settings, application: Application) -> None:
    """Make sure that somebody can log in; a password that was drawn is shown here and never again."""
    password = settings.default_admin_password
    made = await application.first_administrator.ensure(
        name=settings.default_admin_username,
        password=password.get_secret_value() if password else None,
        needs_credentials=settings.needs_credentials,
    )
    if made is None:
        return
    if made.is_weak:
        log.warning("the first administrator's password stands in every guide: for this machine only")
    if made.password is not None:
        sys.stdout.write(_announcement(made))
        sys.stdout.flush()


def _announcement(made: Made) -> str:
    line = "=" * 72
    return (
        f"\n{line}\n  The first administrator. This password is shown once, here:\n\n"
        f"    username: {made.name}\n    password: {made.password}\n\n"
        f"  Change it after logging in: POST /v1/auth/password\n{line}\n\n"
    )


async def open_secrets(
    settings: Settings, storage: Storage, clock: Clock
) -> tuple[Secrets, Mapping[str, str]]:
    """Return the secrets, and the providers' keys among them; raises WrongSecretKey."""
    vault = Secrets(storage.secrets, storage.unit_of_work, clock, Sealer(PURPOSE, keyring_of(settings)))
    if settings.discard_unreadable_secrets:
        for name in await vault.discard_unreadable():
            log.warning("secret discarded", name=name)
    return vault, stored_keys(await vault.open_all())


async def local_owner(storage: Storage, clock: Clock) -> Principal:
    """Return the account of whoever runs the server, creating it at the first start."""
    found = await storage.accounts.by_name(LOCAL_OWNER)
    if found is not None:
        return found.principal()
    slot = ids.new_slot()
    account = Principal(ids.new_id(slot), slot, LOCAL_OWNER, "admin")
    await storage.unit_of_work.commit(ws.PutAccount(account=account, created_us=clock.now_us()))
    created = await storage.accounts.by_name(LOCAL_OWNER)
    return created.principal() if created else account


@asynccontextmanager
async def open_application(settings: Settings, drain: Drain) -> AsyncIterator[Application]:
    """Open the store, end what an earlier process left, and serve until the context closes."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        storage = await open_sqlite(settings.data_dir, power_safe=settings.durability == "power")
        stack.push_async_callback(storage.close)
        await FileBlobs(settings.data_dir / BLOBS).clean()
        http = HttpClient()
        stack.push_async_callback(http.close)
        vault, stored = await open_secrets(settings, storage, clock)
        models = build_models(settings, http, clock, stored)
        provider_keys = ProviderKeys(models, vault, storage.unit_of_work, clock, stored)
        for problem in models.problems():
            log.warning("configuration", problem=problem)
        owner, logins = await local_owner(storage, clock), login_providers(settings, http, clock)
        application, engine = assemble(settings, storage, models, owner, clock, drain, provider_keys, logins)
        await _first_administrator(settings, application)
        recovery = Recovery(storage.journal, storage.unit_of_work, models, clock)
        await recovery.recover(_restart(application))
        await _begin_limits(application)
        await storage.journal.forget_others(application.journal.worker_id)
        application.journal.start()
        application.followers.start()
        jobs = InProcessJobs()
        stack.push_async_callback(jobs.close)
        housekeeping = Housekeeping(
            storage.unit_of_work, storage.conversations, recovery, application.journal, application.runs,
            clock,
        )  # fmt: skip
        housekeeping.schedule(jobs, _restart(application))
        for service in (application.credentials, application.accounts, application.members):
            service.schedule(jobs)
        application.quotas.schedule(jobs, application.local.refresh)
        jobs.once("prepare models", lambda: _prepare(models))
        _schedule_purges(application.purges, jobs, clock)
        try:
            yield application
        finally:
            await _finish(application, engine, drain)
            await models.close()


async def _begin_limits(application: Application) -> None:
    """Release what a dead process reserved: on SQLite this one is the only one, and has begun nothing."""
    await application.quotas.sweep(older_than_us=0)
    await application.local.refresh()


def assemble(
    settings: Settings, storage: Storage, models: Models, owner: Principal, clock: Clock, drain: Drain,
    provider_keys: ProviderKeys, logins: Mapping[str, LoginProvider],
) -> tuple[Application, Engine]:  # fmt: skip
    """Wire the services; connects to nothing."""
    blobs = FileBlobs(settings.data_dir / BLOBS)
    storage = StorageWithBlobs(storage, blobs, clock)
    runs = LiveRuns()
    journal = RunJournal(storage.journal, runs)
    engine = Engine(models, journal, runs, storage.unit_of_work, clock)
    access = Access(storage.conversations, storage.tree, storage.runs, storage.members, runs)
    followers = Followers(storage.runs)
    idempotency = Idempotency(storage.runs, clock)
    defaults = parse_limits(settings.default_limits)
    quotas = Quotas(storage, MemoryRateLimiter(), runs, clock, defaults=defaults)
    local = LocalOwner(owner, quotas)
    cache = response_cache(settings, clock)
    days = settings.response_ttl_days
    purges = Purges(storage, blobs, engine, runs, journal, clock, response_ttl_days=days)
    conversations = Conversations(storage, access, idempotency, purges, clock)
    turns = Turns(storage, access, idempotency, models, engine, runs, clock, quotas, cache)
    application = Application(
        owner=owner,
        local=local,
        policy=policy_of(settings),
        **identity_of(settings, storage, owner, clock, quotas, logins),
        models=models,
        provider_keys=provider_keys,
        turns=turns,
        alternatives=Alternatives(storage, access, conversations, turns, idempotency, clock),
        answers=Answers(storage, access, engine, followers, purges, clock),
        conversations=conversations,
        branches=Branches(storage, access, conversations, idempotency, clock),
        purges=purges,
        members=Members(storage, access, conversations, idempotency, followers, clock),
        shares=Shares(storage, access, conversations, idempotency, clock),
        idempotency=idempotency,
        quotas=quotas,
        limits=Limits(storage, quotas, clock, local.refresh),
        usage=Usage(storage, quotas, clock),
        followers=followers,
        runs=runs,
        journal=journal,
        ready=storage.check,
        draining=lambda: drain.began is not None,
    )
    return application, engine


def identity_of(
    settings: Settings,
    storage: Storage,
    owner: Principal,
    clock: Clock,
    quotas: Quotas,
    logins: Mapping[str, LoginProvider],
) -> dict[str, Any]:
    """Return the services that know who is who, by their names in `Application`."""
    keyring = keyring_of(settings)
    tokens = Tokens(
        keyring,
        clock,
        access_seconds=settings.access_token_minutes * 60,
        refresh_seconds=settings.refresh_token_days * 24 * 3600,
    )
    key = settings.api_key.get_secret_value() if settings.api_key and settings.needs_credentials else None
    credentials = Credentials(
        storage.credentials, storage.unit_of_work, tokens, clock, owner=owner,
        api_key_hash=hashlib.sha256(key.encode()).digest() if key else None,
        complete=quotas.limited,
    )  # fmt: skip
    passwords = Passwords()
    guard = LoginGuard(InProcessAttempts(clock.monotonic))
    accounts = Accounts(storage, credentials, tokens, passwords, guard, clock, sign_up=settings.signup)
    sealer = Sealer(external_logins.PURPOSE, keyring)
    return {
        "credentials": credentials,
        "accounts": accounts,
        "external_logins": ExternalLogins(
            logins, storage, accounts, credentials, clock, sealer, public_url=settings.public_url or ""
        ),
        "api_keys": ApiKeys(storage, credentials, clock),
        "first_administrator": FirstAdministrator(storage, passwords, clock),
    }


def _restart(application: Application) -> Any:
    async def restart(run: Run) -> None:
        await application.turns.resume(run)

    return restart


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
    await engine.close()
    await application.followers.close()
    await application.journal.close()
    await application.accounts.close()

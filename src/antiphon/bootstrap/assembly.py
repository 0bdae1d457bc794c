"""All services of one server, wired; connects to nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from antiphon.application import Application, Policy
from antiphon.bootstrap.administration import people_of
from antiphon.bootstrap.beside import MEGABYTE, Beside, in_process
from antiphon.bootstrap.knowledge import OpenKnowledge, attached_of, knowledge_of
from antiphon.bootstrap.recall import search_of
from antiphon.bootstrap.stores import writing_probe
from antiphon.bootstrap.timing import Drain
from antiphon.domain.accounts import Principal
from antiphon.domain.limits import parse_limits
from antiphon.ports.cache import Cache
from antiphon.ports.clock import Clock
from antiphon.ports.external_logins import LoginProvider
from antiphon.ports.limits import RateLimiter
from antiphon.ports.storage import Storage
from antiphon.services.access import Access
from antiphon.services.aliases import Aliases
from antiphon.services.alternatives import Alternatives
from antiphon.services.answers import Answers
from antiphon.services.attached_files import AttachedFiles
from antiphon.services.branch_forks import BranchForks
from antiphon.services.branches import Branches
from antiphon.services.changes import Changes
from antiphon.services.chat_sessions import ChatSessions
from antiphon.services.commit_notes import CommitNotes
from antiphon.services.conversations import Conversations
from antiphon.services.counters import Counters
from antiphon.services.erasure import Erasures
from antiphon.services.exports import Exports
from antiphon.services.feeds import Feeds
from antiphon.services.idempotency import Idempotency
from antiphon.services.limits import Limits
from antiphon.services.local_owner import LocalOwner
from antiphon.services.members import Members
from antiphon.services.models import Models
from antiphon.services.old_chats import OldChats
from antiphon.services.pictures import Pictures
from antiphon.services.presence import Presence
from antiphon.services.provider_keys import ProviderKeys
from antiphon.services.provider_status import ProviderStatuses
from antiphon.services.purges import Purges
from antiphon.services.quotas import Quotas
from antiphon.services.ratings import AnswerRatings
from antiphon.services.readings import MAX_BYTES, Readings
from antiphon.services.recent import Recent
from antiphon.services.response_cache import ResponseCache
from antiphon.services.revisions import Revisions
from antiphon.services.running import Running
from antiphon.services.runs.engine import Engine
from antiphon.services.runs.follow import Followers
from antiphon.services.runs.journal import RunJournal
from antiphon.services.runs.live import LiveRuns
from antiphon.services.runs.mirrors import Mirrors
from antiphon.services.shared_feeds import SharedFeeds
from antiphon.services.shares import Shares
from antiphon.services.store_health import StoreHealth, answering
from antiphon.services.titles import Titles
from antiphon.services.turn_order import TurnOrder
from antiphon.services.turns import Turns
from antiphon.services.usage import Usage
from antiphon.services.users import Stopping
from antiphon.settings import Settings, names_in, networks_in
from antiphon.storage.announced import AnnouncedStorage
from antiphon.storage.refusing import RefusingStorage
from antiphon.storage.with_blobs import StorageWithBlobs

TEMPERATURE, MAX_TOKENS = 0.7, 1024
"""What older chat services ask with where configuration says nothing else."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "0.0.0.0", "testserver"})  # noqa: S104


def policy_of(settings: Settings) -> Policy:
    """Return what configuration says of the surfaces."""
    names = frozenset(name.lower() for name in names_in(settings.allowed_hosts))
    token = settings.metrics_token.get_secret_value() if settings.metrics_token else None
    return Policy(
        max_body_bytes=settings.max_body_bytes,
        store_chat_completions=settings.store_chat_completions,
        allowed_hosts=None if settings.needs_credentials and not names else LOOPBACK_NAMES | names,
        needs_credentials=settings.needs_credentials,
        cors_origins=frozenset(names_in(settings.cors_origins)),
        trusted_proxies=tuple(networks_in(settings.trusted_proxies)),
        metrics_token_hash=hashlib.sha256(token.encode()).digest() if token else None,
        environment=settings.environment,
        dialects=settings.spoken_dialects,
        temperature=TEMPERATURE if settings.temperature is None else settings.temperature,
        max_tokens=settings.max_tokens or MAX_TOKENS,
    )


def response_cache(settings: Settings, cache: Cache) -> ResponseCache:
    """Return the cache of answers; the runtime settings say whether it is used."""
    return ResponseCache(
        cache,
        shared=settings.response_cache == "shared",
        seconds=settings.response_cache_seconds,
        max_bytes=settings.response_cache_mb * MEGABYTE,
    )


def assemble(
    settings: Settings, storage: Storage, models: Models, owner: Principal, clock: Clock, drain: Drain,
    provider_keys: ProviderKeys, logins: Mapping[str, LoginProvider], knowledge: OpenKnowledge,
    notes: CommitNotes | None = None, changes: Changes | None = None, beside: Beside | None = None,
) -> tuple[Application, Engine]:  # fmt: skip
    """Wire the services; connects to nothing. Without `notes` of the store's commits nothing is searched.

    `changes` is what the store announces to, if it does so already; `beside` what is kept elsewhere, if
    not in this process.
    """
    (storage, changes), beside = _announced(storage, changes), beside or in_process(settings, clock)
    storage, health = noticing(settings, StorageWithBlobs(storage, blobs := knowledge.stores.said, clock))
    runs, counters, journal, engine = generation_of(storage, models, clock)
    access = Access(storage.conversations, storage.tree, storage.runs, storage.members, runs)
    followers, mirrors = Followers(storage.runs), Mirrors(storage.workers, storage.runs)
    idempotency = Idempotency(storage.runs, clock)
    limiting = limits_of(settings, storage, access, beside.limiter, runs, owner, clock)
    quotas, cache, named = limiting["quotas"], response_cache(settings, beside.cache), attached_of(knowledge)
    documents, searches, held = knowledge_of(
        settings, knowledge, storage, models, quotas, access, counters, clock
    )
    embeddings = documents["embeddings"]
    searching = search_of(storage, access, models, quotas, clock, knowledge.stores, embeddings, notes)
    purges = Purges(
        storage, blobs, engine, runs, journal, clock, response_ttl_days=settings.response_ttl_days,
        forget=cache.forget, erasures=Erasures((searching["history"], *held.holders)),
    )  # fmt: skip
    turns = Turns(storage, access, idempotency, models, engine, runs, clock, quotas, searches, named, cache)
    people = people_of(
        settings, storage, beside, owner, clock, quotas, logins, models, cache, purges, Stopping(runs, engine)
    )
    conversing = conversations_of(
        settings, storage, access, idempotency, purges, followers, turns, runs, people, named, clock
    )
    answers = Answers(storage, access, engine, followers, mirrors, purges, clock)
    return Application(
        owner=owner, policy=policy_of(settings), models=models, provider_keys=provider_keys,
        provider_statuses=ProviderStatuses(models), purges=purges, answers=answers, idempotency=idempotency,
        turns=turns, followers=followers, mirrors=mirrors, runs=runs, journal=journal, counters=counters,
        **tended_by(settings, storage, turns, answers, quotas, engine, runs, clock),
        store_health=health, ready=answering(storage.check), draining=lambda: drain.began is not None,
        uptime_seconds=uptime_of(clock),
        redis_answers=beside.answers, **people, **documents, **limiting, **searching, **conversing,
        **views_of(storage, access, answers, runs, changes, clock, drain, **conversing),
    ), engine  # fmt: skip


def tended_by(
    settings: Settings, storage: Storage, turns: Turns, answers: Answers, quotas: Quotas, engine: Engine,
    runs: LiveRuns, clock: Clock,
) -> dict[str, Any]:  # fmt: skip
    """Return what looks after answers from outside, by their names in `Application`."""
    is_on, model = settings.titles == "on", settings.title_model or None
    titles = Titles(storage, turns, answers, quotas, clock, is_on=is_on, model=model)
    engine.on_ended = titles.ended
    return {"titles": titles, "running": Running(storage, runs, engine, clock)}


def uptime_of(clock: Clock) -> Callable[[], float]:
    """Return what tells for how many seconds the server has been up."""
    began = clock.monotonic()
    return lambda: clock.monotonic() - began


def _announced(storage: Storage, changes: Changes | None) -> tuple[Storage, Changes]:
    """Return the store as one that announces its changes, and to what."""
    if changes is not None:
        return storage, changes
    changes = Changes()
    return AnnouncedStorage(storage, changes), changes


def views_of(
    storage: Storage, access: Access, answers: Answers, runs: LiveRuns, changes: Changes, clock: Clock,
    drain: Drain, *, conversations: Conversations, shares: Shares, **_: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return what shows conversations otherwise than one by one, by their names in `Application`."""
    presence, shared_feeds = Presence(storage.workers, clock, changes.wake), SharedFeeds(shares, changes)
    feeds = Feeds(access, conversations, answers, runs, storage.runs, changes, presence)
    for following in (feeds, shared_feeds):
        drain.at_begin(following.end_all)
    return {
        "aliases": Aliases(storage),
        "recent": Recent(storage),
        # Of what other processes change nothing is heard here, so where there are some nothing is kept.
        "readings": Readings(changes, clock, max_bytes=0 if storage.workers.is_shared else MAX_BYTES),
        "presence": presence,
        "revisions": Revisions(storage.conversations, changes),
        "feeds": feeds,
        "exports": Exports(storage, access),
        "shared_feeds": shared_feeds,
    }


def noticing(settings: Settings, storage: Storage) -> tuple[Storage, StoreHealth]:
    """Return the store as one whose refusals are noticed, and who notices them."""
    health = StoreHealth(writing_probe(settings))
    return RefusingStorage(storage, health.refused), health


def generation_of(
    storage: Storage, models: Models, clock: Clock
) -> tuple[LiveRuns, Counters, RunJournal, Engine]:
    """Return what generates answers and counts them."""
    runs, counters = LiveRuns(), Counters()
    journal = RunJournal(storage.journal, runs, counters.ticks)
    return runs, counters, journal, Engine(models, journal, runs, storage.unit_of_work, clock, counters)


def limits_of(
    settings: Settings, storage: Storage, access: Access, limiter: RateLimiter, runs: LiveRuns,
    owner: Principal, clock: Clock,
) -> dict[str, Any]:  # fmt: skip
    """Return the services that count use and hold it to its limits, by their names in `Application`."""
    defaults = parse_limits(settings.default_limits)
    quotas = Quotas(storage, limiter, runs, clock, defaults=defaults)
    local = LocalOwner(owner, quotas)
    return {
        "quotas": quotas,
        "local": local,
        "limits": Limits(storage, quotas, clock, local.refresh),
        "usage": Usage(storage, access, quotas, clock),
        "ratings": AnswerRatings(storage, access, clock),
    }


def conversations_of(
    settings: Settings,
    storage: Storage,
    access: Access,
    idempotency: Idempotency,
    purges: Purges,
    followers: Followers,
    turns: Turns,
    runs: LiveRuns,
    people: Mapping[str, Any],
    attached: AttachedFiles,
    clock: Clock,
) -> dict[str, Any]:
    """Return the services of conversations and who shares them, by their names in `Application`."""
    conversations = Conversations(storage, access, idempotency, purges, attached, clock)
    branches = Branches(storage, access, conversations, idempotency, clock)
    shares = Shares(storage, access, conversations, idempotency, clock)
    sessions = ChatSessions(
        storage, conversations, people["administration"].retention, clock,
        ttl_seconds=settings.memory_ttl_seconds, most_sessions=settings.max_cache_size,
        most_messages=settings.session_max_messages,
    )  # fmt: skip
    return {
        "turn_order": TurnOrder(storage, access, turns, conversations, runs),
        "conversations": conversations,
        "chat_sessions": sessions,
        "old_chats": OldChats(storage, conversations, sessions, people["first_administrator"], clock),
        "branches": branches,
        "branch_forks": BranchForks(storage, access, conversations, branches, idempotency, clock),
        "alternatives": Alternatives(storage, access, conversations, turns, idempotency, attached, clock),
        "pictures": Pictures(access, conversations, shares, attached),
        "members": Members(storage, access, conversations, idempotency, followers, clock),
        "shares": shares,
    }

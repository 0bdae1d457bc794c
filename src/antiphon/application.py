"""What a surface receives: all services of one running server, nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from antiphon.domain.accounts import Principal
from antiphon.services.account_credentials import AccountCredentials
from antiphon.services.accounts import Accounts
from antiphon.services.admin import Administration
from antiphon.services.aliases import Aliases
from antiphon.services.alternatives import Alternatives
from antiphon.services.answers import Answers
from antiphon.services.api_keys import ApiKeys
from antiphon.services.branch_forks import BranchForks
from antiphon.services.branches import Branches
from antiphon.services.chat_sessions import ChatSessions
from antiphon.services.collection_files import CollectionFiles
from antiphon.services.collections import Collections
from antiphon.services.conversations import Conversations
from antiphon.services.counters import Counters
from antiphon.services.credentials import Credentials
from antiphon.services.document_housekeeping import DocumentHousekeeping
from antiphon.services.embedding_calls import EmbeddingCalls
from antiphon.services.embeddings import Embeddings
from antiphon.services.exports import Exports
from antiphon.services.external_logins import ExternalLogins
from antiphon.services.feeds import Feeds
from antiphon.services.files import Files
from antiphon.services.first_administrator import FirstAdministrator
from antiphon.services.history import History
from antiphon.services.idempotency import Idempotency
from antiphon.services.identities import Identities
from antiphon.services.imports import Imports
from antiphon.services.ingestion import Ingestion
from antiphon.services.kept_answers import KeptAnswers
from antiphon.services.limits import Limits
from antiphon.services.local_owner import LocalOwner
from antiphon.services.members import Members
from antiphon.services.models import Models
from antiphon.services.old_chats import OldChats
from antiphon.services.pictures import Pictures
from antiphon.services.preferences import Preferences
from antiphon.services.presence import Presence
from antiphon.services.provider_keys import ProviderKeys
from antiphon.services.provider_status import ProviderStatuses
from antiphon.services.purges import Purges
from antiphon.services.quotas import Quotas
from antiphon.services.ratings import AnswerRatings
from antiphon.services.readings import Readings
from antiphon.services.recall import Recall
from antiphon.services.recent import Recent
from antiphon.services.retrieval import Retrieval
from antiphon.services.revisions import Revisions
from antiphon.services.running import Running
from antiphon.services.runs.follow import Followers
from antiphon.services.runs.journal import RunJournal
from antiphon.services.runs.live import LiveRuns
from antiphon.services.runs.mirrors import Mirrors
from antiphon.services.search import Search
from antiphon.services.sessions import Sessions
from antiphon.services.shared_feeds import SharedFeeds
from antiphon.services.shares import Shares
from antiphon.services.store_health import StoreHealth
from antiphon.services.titles import Titles
from antiphon.services.turn_order import TurnOrder
from antiphon.services.turns import Turns
from antiphon.services.uploads import Uploads
from antiphon.services.usage import Usage
from antiphon.services.web_imports import WebImports


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What configuration says of the surfaces. Sizes in bytes."""

    max_body_bytes: int
    store_chat_completions: Literal["asked", "always", "never"]
    allowed_hosts: frozenset[str] | None
    needs_credentials: bool
    cors_origins: frozenset[str]
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    metrics_token_hash: bytes | None
    environment: str
    dialects: frozenset[str]
    temperature: float
    max_tokens: int


@dataclass(frozen=True, kw_only=True)
class Application:
    """All services; `ready` tells whether the store answers, `redis_answers` whether Redis does.

    The latter is None where no Redis is configured.

    `owner` is the local owner's account, `local` the same with the limits that hold for it now.
    """

    owner: Principal
    local: LocalOwner
    policy: Policy
    credentials: Credentials
    accounts: Accounts
    account_credentials: AccountCredentials
    api_keys: ApiKeys
    sessions: Sessions
    identities: Identities
    external_logins: ExternalLogins
    preferences: Preferences
    first_administrator: FirstAdministrator
    models: Models
    provider_keys: ProviderKeys
    provider_statuses: ProviderStatuses
    embedding_calls: EmbeddingCalls
    embeddings: Embeddings
    retrieval: Retrieval
    turns: Turns
    turn_order: TurnOrder
    alternatives: Alternatives
    pictures: Pictures
    answers: Answers
    conversations: Conversations
    chat_sessions: ChatSessions
    old_chats: OldChats
    imports: Imports
    branches: Branches
    aliases: Aliases
    feeds: Feeds
    shared_feeds: SharedFeeds
    titles: Titles
    running: Running
    exports: Exports
    presence: Presence
    revisions: Revisions
    recall: Recall
    recent: Recent
    readings: Readings
    branch_forks: BranchForks
    purges: Purges
    members: Members
    shares: Shares
    history: History
    search: Search
    idempotency: Idempotency
    files: Files
    uploads: Uploads
    web_imports: WebImports
    collections: Collections
    collection_files: CollectionFiles
    ingestion: Ingestion
    document_housekeeping: DocumentHousekeeping
    kept_answers: KeptAnswers
    quotas: Quotas
    limits: Limits
    usage: Usage
    ratings: AnswerRatings
    followers: Followers
    mirrors: Mirrors
    runs: LiveRuns
    journal: RunJournal
    store_health: StoreHealth
    counters: Counters
    administration: Administration
    ready: Callable[[], Awaitable[None]]
    draining: Callable[[], bool]
    uptime_seconds: Callable[[], float]
    redis_answers: Callable[[], Awaitable[bool]] | None = None

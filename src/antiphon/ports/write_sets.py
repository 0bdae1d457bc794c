"""Write sets: everything that can be written, as a closed set of frozen commands.

A service reads, decides, and hands over one list of commands. Commands marked `GUARD` are
compare-and-sets: if one does not hold, the whole set is rejected with `Conflict` naming it,
nothing of it is written, and the service reads again. Nothing reads its own writes.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Branch, Conversation, Segment
from antiphon.domain.items import NewItem, Position
from antiphon.domain.runs import Run
from antiphon.domain.usage import Usage


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all commands; `GUARD` tells whether it may reject its set."""

    GUARD: ClassVar[bool] = False


class PutAccount(Command, frozen=True, kw_only=True):
    """Store an account; nothing happens if the name is taken."""

    account: Principal
    created_us: int


class PutKey(Command, frozen=True, kw_only=True):
    """Take an idempotency key; lost if it exists and has not expired.

    `conversation_id` tells what `body` speaks of, so that it can be erased with it.
    """

    GUARD: ClassVar[bool] = True
    owner_id: str
    slot: int
    key: str
    fingerprint: bytes
    run_id: str | None
    status: int | None
    body: bytes | None
    created_us: int
    expires_us: int
    conversation_id: str | None = None


class FreeKey(Command, frozen=True, kw_only=True):
    """Forget an idempotency key, so that a retry acts."""

    owner_id: str
    run_id: str


class NewConversation(Command, frozen=True, kw_only=True):
    """Create a conversation; lost if its owner has one of its external key.

    Its first branch comes with a `NewBranch`.
    """

    GUARD: ClassVar[bool] = True
    conversation: Conversation


class UpdateConversation(Command, frozen=True, kw_only=True):
    """Change title, metadata, a time or the folder; UNSET (for the metadata None) leaves a field as it is."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    title: str | UnsetType | None = UNSET
    metadata: str | None = None
    expires_us: int | UnsetType | None = UNSET
    revision: int | None = None
    pinned_us: int | UnsetType | None = UNSET
    archived_us: int | UnsetType | None = UNSET
    folder: str | UnsetType | None = UNSET


class TitleConversation(Command, frozen=True, kw_only=True):
    """Give a conversation a title; lost if it has one by now, or is gone."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    title: str


class DeleteConversation(Command, frozen=True, kw_only=True):
    """Make a conversation invisible and its key free; its items stay for responses and forks."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    now_us: int


class ExpireConversation(Command, frozen=True, kw_only=True):
    """Make a conversation invisible whose time has passed; its `expires` tells the purge to erase it.

    Lost if it has changed since `updated_us`, when it was looked at.
    """

    GUARD: ClassVar[bool] = True
    conversation_id: str
    now_us: int
    updated_us: int


class RenewConversation(Command, frozen=True, kw_only=True):
    """Put the end of a conversation off; lost if its time has passed, or it is gone."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    now_us: int
    expires_us: int


class NewBranch(Command, frozen=True, kw_only=True):
    """Create a branch; lost if the conversation has one of that name."""

    GUARD: ClassVar[bool] = True
    branch: Branch
    owner_id: str
    slot: int


class RenameBranch(Command, frozen=True, kw_only=True):
    """Rename a branch; lost if the name is taken or the branch gone."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    branch_id: str
    name: str


class DeleteBranch(Command, frozen=True, kw_only=True):
    """Delete a branch that is not the active one."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    branch_id: str


class ActivateBranch(Command, frozen=True, kw_only=True):
    """Make a branch the one that linear views show."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    branch_id: str


class ClaimBranch(Command, frozen=True, kw_only=True):
    """Claim a branch for a run while its head is where it was read."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    branch_id: str
    run_id: str
    head: Position


class AdvanceHead(Command, frozen=True, kw_only=True):
    """Move an unclaimed branch's head from where it was read."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    branch_id: str
    expected: Position
    head: Position


class EndClaim(Command, frozen=True, kw_only=True):
    """Give a claim back, moving the head if `head` is given and the conversation was not deleted.

    Nothing happens if the claim is gone.
    """

    conversation_id: str
    branch_id: str
    run_id: str
    head: Position | None


class NewSegment(Command, frozen=True, kw_only=True):
    """Open a segment."""

    segment: Segment
    owner_id: str
    slot: int


class PutItems(Command, frozen=True, kw_only=True):
    """Store items one after another following `after`; lost if a place is taken."""

    GUARD: ClassVar[bool] = True
    after: Position
    owner_id: str
    slot: int
    author_id: str | None
    run_id: str | None
    created_us: int
    items: tuple[NewItem, ...]


class HideItem(Command, frozen=True, kw_only=True):
    """Leave an item out of a conversation's views and contexts."""

    conversation_id: str
    item_id: str
    owner_id: str
    slot: int


class HideAsIn(Command, frozen=True, kw_only=True):
    """Leave out of a conversation, which is new, what is left out of the one that it is forked from."""

    conversation_id: str
    origin_id: str
    owner_id: str
    slot: int


class OpenRun(Command, frozen=True, kw_only=True):
    """Store a run, leased to `worker_id`."""

    run: Run
    worker_id: str


class FinishRun(Command, frozen=True, kw_only=True):
    """Store a run's terminal state with its compacted log; lost if it has ended: terminal is final.

    `sealed` tells that chunks of it exist.
    """

    GUARD: ClassVar[bool] = True
    run: Run
    log: bytes
    is_script: bool
    sealed: bool = False


class StartRun(Command, frozen=True, kw_only=True):
    """A background run begins (again) on `worker_id`; lost if it has ended."""

    GUARD: ClassVar[bool] = True
    run_id: str
    worker_id: str
    attempt: int


class UpdateRunMetadata(Command, frozen=True, kw_only=True):
    """Replace a run's metadata."""

    run_id: str
    metadata: str


class RateRun(Command, frozen=True, kw_only=True):
    """Say what a person thought of an answer, or with None take that back."""

    run_id: str
    rating: int | None


class DeleteRun(Command, frozen=True, kw_only=True):
    """Make a run invisible."""

    run_id: str
    now_us: int


class RequestCancel(Command, frozen=True, kw_only=True):
    """Ask the owner of a run to stop it; nothing happens if it has ended."""

    run_id: str


class AddChange(Command, frozen=True, kw_only=True):
    """Raise a conversation's revision and record the change for its live feed.

    Lost if the conversation is being purged or gone: nothing is added to it any more.
    """

    GUARD: ClassVar[bool] = True
    conversation_id: str
    owner_id: str
    slot: int
    kind: str
    body: str
    now_us: int


class AddLastChange(AddChange, frozen=True, kw_only=True):
    """The change of what began earlier and ends now; nothing happens if the conversation is gone."""

    GUARD: ClassVar[bool] = False


class AddQuietChange(AddChange, frozen=True, kw_only=True):
    """A change that is no use of the conversation: it was last used when it was before."""


class Forget(Command, frozen=True, kw_only=True):
    """Erase up to `limit` expired idempotency keys, and the old changes of some conversations.

    Those of the conversations from `first_conversation_id` to `last_conversation_id` (by id)
    that are older than `changes_before_us`: a slice at a time holds up nothing else. With `full` a lost
    guard if fewer keys than `limit` have expired.
    """

    now_us: int
    changes_before_us: int
    first_conversation_id: str
    last_conversation_id: str
    limit: int
    full: bool = False


class PutLedger(Command, frozen=True, kw_only=True):
    """Record what a run used and cost (micro-units of money); `cached` if no model was called for it."""

    run_id: str
    owner_id: str
    slot: int
    author_id: str
    credential_id: str | None
    provider: str | None
    model: str
    state: str
    usage: Usage
    cost: int
    created_us: int
    latency_us: int
    cached: bool = False


WriteSet = tuple[Command, ...]

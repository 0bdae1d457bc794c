"""Runs: answers being generated, and the states they pass through.

    (none) → in_progress | queued      queued → in_progress | cancelled
    in_progress → completed | incomplete | failed | cancelled

Terminal is final: the first terminal op in the journal is the state.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from antiphon.domain.items import Position
from antiphon.domain.usage import Usage

State = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
TERMINAL: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})
ANSWERED: Final = frozenset({"completed", "incomplete"})
"""Ends with an answer, whole or cut off at a limit."""

Surface = Literal["responses", "chat"]

CONTINUES: Final = "continues"
KEEPS_QUESTION: Final = "keeps_question"
"""Keys of a run's `request`: what the turn was told beside its message, see `Run`."""

WIRE_VERSION: Final = 1
"""Raised by a release that changes a frame's bytes; old encoders stay for old runs."""


class RunError(msgspec.Struct, frozen=True):
    """Why a run failed; `code` is from OpenAI's closed list for `response.error.code`."""

    code: str
    message: str


GOOD: Final = 1
BAD: Final = -1
RATINGS: Final = {GOOD: "good", BAD: "bad"}
"""As they are told."""


def rating_word(rating: int | None) -> str | None:
    """Return a rating as it is told; None where nobody said."""
    return None if rating is None else RATINGS[rating]


class Ratings(msgspec.Struct, frozen=True):
    """How many answers of a model people called good, and how many bad."""

    model: str
    good: int
    bad: int


class Run(msgspec.Struct, kw_only=True):
    """One answer.

    `request` echoes what was asked in the surface's own shape. `parent` is where the turn
    attached, `input_end` the last of its own input (or the parent if it brought none),
    `output_end` the last of its answer on the main line. `input_hash` is the path hash at
    `input_end`, known only while the run goes on and only where hashes are kept. `reserved` is set
    where something may be reserved for the run, which its end must settle. `rating` is `GOOD`, `BAD`, or
    None where nobody said.
    """

    id: str
    owner_id: str
    slot: int
    conversation_id: str | None
    branch_id: str | None
    author_id: str
    credential_id: str | None
    surface: Surface
    parent: Position | None
    input_end: Position | None
    output_end: Position | None = None
    state: State
    background: bool
    stored: bool
    request: dict[str, Any]
    model: str
    provider: str | None = None
    wire_version: int = WIRE_VERSION
    error: RunError | None = None
    incomplete_reason: str | None = None
    usage: Usage | None = None
    metadata: str = "{}"
    cancel_requested: bool = False
    attempt: int = 1
    created_us: int
    ended_us: int | None = None
    input_hash: bytes | None = None
    reserved: bool = False
    rating: int | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self.state in TERMINAL

    @property
    def continues(self) -> bool:
        """Whether its answer is to be the rest of the one before, which was cut off."""
        return bool(self.request.get(CONTINUES))

    @property
    def keeps_question(self) -> bool:
        """Whether what was asked stays in line though no answer comes."""
        return bool(self.request.get(KEEPS_QUESTION))

    def asked_under(self, mark: str) -> bool:
        """Whether its question stays, and was asked under the idempotency key of that mark."""
        return self.request.get(KEEPS_QUESTION) == mark


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ends: its terminal state and what belongs to it."""

    state: State
    usage: Usage
    error: RunError | None = None
    incomplete_reason: str | None = None

    @property
    def item_status(self) -> str:
        """Status of items that were still open when the run ended."""
        return "completed" if self.state == "completed" else "incomplete"

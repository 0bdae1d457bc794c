"""Request bodies of the conversation routes; fields that are not listed are refused."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from antiphon.domain.conversations import MAX_FOLDER, MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE

Metadata = Annotated[
    dict[
        Annotated[str, Field(max_length=MAX_METADATA_KEY)],
        Annotated[str, Field(max_length=MAX_METADATA_VALUE)],
    ],
    Field(max_length=MAX_METADATA),
]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Model = Annotated[str, Field(min_length=1, max_length=256)]
Items = Annotated[list[dict[str, Any]], Field(max_length=20)]


class Body(BaseModel):
    """Base: strict types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class ExpiresAfter(Body):
    """Seconds from now; at most ten years."""

    seconds: Annotated[int, Field(ge=1, le=315_360_000)]


FOLDER = r"^[^\x00-\x1f\x7f\s]([^\x00-\x1f\x7f]*[^\x00-\x1f\x7f\s])?$"
"""A name of one line, without blanks at its ends."""


class CreateConversation(Body):
    """First items and metadata."""

    items: Items | None = None
    metadata: Metadata | None = None
    title: Annotated[str, Field(max_length=500)] | None = None
    expires_after: ExpiresAfter | None = None


class UpdateConversation(Body):
    """New metadata (the whole of it), title, end or place in lists; null takes one away."""

    metadata: Metadata | None = None
    title: Annotated[str, Field(max_length=500)] | None = None
    expires_after: ExpiresAfter | None = None
    pinned: bool | None = None
    archived: bool | None = None
    folder: Annotated[str, Field(min_length=1, max_length=MAX_FOLDER, pattern=FOLDER)] | None = None


class AddItems(Body):
    """Items to append to a branch, the active one if none is named."""

    items: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=20)]
    branch_id: str | None = None


class CreateBranch(Body):
    """A name and the item that is to be the head; the active head by default."""

    name: Name | None = None
    item_id: str | None = None
    activate: bool = False


class UpdateBranch(Body):
    """A new name."""

    name: Name


class Fork(Body):
    """The last shared item; the active head by default."""

    item_id: str | None = None
    title: Annotated[str, Field(max_length=500)] | None = None


class Answering(Body):
    """How an answer is to be made, shared by edit, regenerate and fan-out."""

    model: Model | None = None
    instructions: str | None = None
    stream: bool = False
    background: bool = False
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    include: list[str] | None = None
    metadata: Metadata | None = None
    branch_name: Name | None = None


class Edit(Answering):
    """New content for an item; with `respond` false no answer is made."""

    content: str | list[dict[str, Any]]
    respond: bool = True


class Regenerate(Answering):
    """Another answer, perhaps by another model."""


class FanOut(Answering):
    """One input for several models."""

    models: Annotated[list[Model], Field(min_length=1, max_length=8)]
    input: str | list[dict[str, Any]]

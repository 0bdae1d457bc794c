"""The shapes of the branching chat: what it takes and what it tells."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from antiphon.api.dialects.forms import moment, uuid_text
from antiphon.domain.conversations import BranchFork, Conversation

MAX_METADATA_BYTES: Final = 16 * 1024

CHAT_EXAMPLE: Final = "7d1f0f0e-2f7c-4c5a-9a52-0c3a7f6c1b11"
ChatId = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    Field(description="A chat's UUID, or the id it had before it was imported.", examples=[CHAT_EXAMPLE]),
]
ResponseId = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    Field(
        description="A response's UUID, or the id it had before it was imported.",
        examples=["0b10fd23-e0aa-488d-8759-20dc5f1c01d6"],
    ),
]
Name = Annotated[str, Field(max_length=200, examples=["Trip to Lisbon"])]


class NewChat(BaseModel):
    """A chat to be made."""

    name: Name | None = None
    metadata: Annotated[dict[str, Any], Field(examples=[{"topic": "travel"}])] | None = None

    @field_validator("metadata")
    @classmethod
    def _is_small(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None and len(msgspec.json.encode(value)) > MAX_METADATA_BYTES:
            raise ValueError(f"is larger than {MAX_METADATA_BYTES} bytes")
        return value

    @property
    def encoded(self) -> str | None:
        """The metadata as it is stored."""
        return msgspec.json.encode(self.metadata).decode() if self.metadata is not None else None


class ChatUpdate(NewChat):
    """A chat's new name or metadata (the whole of it)."""

    chat_id: ChatId


class NamedChat(BaseModel):
    """A call that names a chat and nothing else."""

    chat_id: ChatId


class NewMessage(BaseModel):
    """A question; with a response both are stored as they are, without one the model answers."""

    model_config = ConfigDict(populate_by_name=True)

    chat_id: ChatId
    question: str = Field(
        validation_alias=AliasChoices("question", "message"),
        description="Also as `message`.",
        examples=["Where should we stay?"],
    )
    response: str | None = None


class NewBranch(BaseModel):
    """A place to branch off from: the response (or question) after which the branch goes its own way."""

    chat_id: ChatId
    response_id: ResponseId
    name: Name | None = None


class ActiveBranch(BaseModel):
    """The branch a chat is to show; null or the chat's own id is the trunk."""

    chat_id: ChatId
    branch_chat_id: ChatId | None


def chat_object(conversation: Conversation, *, parent: str | None, active: str | None) -> dict[str, Any]:
    """Return a chat; `parent` is what it is a branch of, `active` the branch it shows (the core's ids)."""
    return {
        "chat_id": uuid_text(conversation.id),
        "name": conversation.title,
        "metadata": msgspec.json.decode(conversation.metadata),
        "parent_chat_id": uuid_text(parent) if parent is not None else None,
        "active_branch_chat_id": uuid_text(active) if active is not None else None,
        "created_at": moment(conversation.created_us),
        "updated_at": moment(conversation.updated_us),
    }


def made_branch(made: BranchFork, chat_id: str, response_id: str) -> dict[str, Any]:
    """Return a branch that was made."""
    return {
        "branch_chat_id": uuid_text(made.fork.id),
        "chat_id": uuid_text(chat_id),
        "response_id": uuid_text(response_id),
        "name": made.fork.title or made.branch.name,
        "created_at": moment(made.fork.created_us),
    }


def listed_branch(one: BranchFork, *, is_active: bool) -> dict[str, Any]:
    """Return a branch in a list."""
    base = one.fork.base
    return {
        "branch_chat_id": uuid_text(one.fork.id),
        "response_id": uuid_text(base.item_id) if base is not None and base.item_id is not None else None,
        "name": one.fork.title or one.branch.name,
        "is_active": is_active,
        "created_at": moment(one.fork.created_us),
    }

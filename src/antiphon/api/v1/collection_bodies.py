"""Request bodies of vector stores and their files; fields that are not listed are refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from antiphon.api.v1.conversation_bodies import Body, Metadata
from antiphon.domain.collections import (
    MAX_ATTRIBUTE_KEY,
    MAX_ATTRIBUTE_TEXT,
    MAX_ATTRIBUTES,
    Attributes,
    Chunking,
)
from antiphon.services.collections import NewMember

MAX_FILES = 2000
"""OpenAI's bound of a batch."""

Id = Annotated[str, Field(max_length=64)]
Integer = Annotated[int, Field(ge=-(2**53), le=2**53)]
Number = Annotated[float, Field(allow_inf_nan=False)]
AttributeMap = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=MAX_ATTRIBUTE_KEY)],
        Annotated[str, Field(max_length=MAX_ATTRIBUTE_TEXT)] | bool | Integer | Number,
    ],
    Field(max_length=MAX_ATTRIBUTES),
]


class Static(Body):
    """Sizes in tokens."""

    max_chunk_size_tokens: Annotated[int, Field(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, Field(ge=0, le=2048)]

    @model_validator(mode="after")
    def _fits(self) -> Static:
        if 2 * self.chunk_overlap_tokens > self.max_chunk_size_tokens:
            raise ValueError("the overlap may be half of the chunk at most")
        return self


class Strategy(Body):
    """How texts are cut: by the server's choice, or in sizes that are given."""

    type: Literal["auto", "static"]
    static: Static | None = None

    @model_validator(mode="after")
    def _whole(self) -> Strategy:
        if (self.type == "static") != (self.static is not None):
            raise ValueError("'static' comes with its sizes, 'auto' without")
        return self


class CollectionExpiresAfter(Body):
    """Days after the last use."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Field(ge=1, le=365)]


class CreateCollection(Body):
    """A new vector store, with its first files."""

    name: Annotated[str, Field(max_length=256)] | None = None
    description: Annotated[str, Field(max_length=1024)] | None = None
    file_ids: Annotated[list[Id], Field(max_length=MAX_FILES)] | None = None
    chunking_strategy: Strategy | None = None
    expires_after: CollectionExpiresAfter | None = None
    metadata: Metadata | None = None


class UpdateCollection(Body):
    """What is to change; `"expires_after": null` takes the end away."""

    name: Annotated[str, Field(max_length=256)] | None = None
    expires_after: CollectionExpiresAfter | None = None
    metadata: Metadata | None = None


class AddFile(Body):
    """A file, what is said of it, and how it is to be cut."""

    file_id: Id
    attributes: AttributeMap | None = None
    chunking_strategy: Strategy | None = None

    def member(self, param: str = "file_id") -> NewMember:
        """Return it as the services take it."""
        return NewMember(
            file_id=self.file_id, attributes=attributes_of(self.attributes),
            chunking=chunking_of(self.chunking_strategy), param=param,
        )  # fmt: skip


class AddBatch(Body):
    """Several files: all alike, or each with its own attributes."""

    file_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_FILES)] | None = None
    files: Annotated[list[AddFile], Field(min_length=1, max_length=MAX_FILES)] | None = None
    attributes: AttributeMap | None = None
    chunking_strategy: Strategy | None = None

    @model_validator(mode="after")
    def _one_way(self) -> AddBatch:
        if (self.file_ids is None) == (self.files is None):
            raise ValueError("either 'file_ids' or 'files'")
        return self

    def members(self) -> list[NewMember]:
        """Return them as the services take them."""
        if self.files is not None:
            return [one.member("files") for one in self.files]
        return members_of(self.file_ids or [], self.attributes, self.chunking_strategy)


class Describe(Body):
    """The whole of the new attributes."""

    attributes: AttributeMap | None


class Stand(Body):
    """The vector stores that every turn retrieves from."""

    vector_store_ids: Annotated[list[Id], Field(max_length=64)]


def members_of(
    file_ids: list[str], attributes: AttributeMap | None, strategy: Strategy | None
) -> list[NewMember]:
    """Return files that are all alike."""
    alike, cut = attributes_of(attributes), chunking_of(strategy)
    return [NewMember(file_id=one, attributes=alike, chunking=cut, param="file_ids") for one in file_ids]


def attributes_of(attributes: AttributeMap | None) -> Attributes:
    """Return attributes as the domain has them."""
    return dict(attributes or {})


def chunking_of(strategy: Strategy | None) -> Chunking:
    """Return how a text is to be cut."""
    if strategy is None or strategy.static is None:
        return Chunking()
    sizes = strategy.static
    return Chunking(sizes.max_chunk_size_tokens, sizes.chunk_overlap_tokens, automatic=False)

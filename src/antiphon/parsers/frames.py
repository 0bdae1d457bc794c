"""How a reading process speaks: frames of msgpack, each after its length, of a bounded size."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from antiphon.domain.collections import Chunking
from antiphon.domain.passages import NewPassage
from antiphon.ports.document_parser import Limits, Parsed, Passages, Progress, TextSlice

MAX_FRAME: Final = 4 * 1024 * 1024
"""Bytes. A worker's frames are a few hundred KiB; whoever announces more is ended."""

LENGTH: Final = struct.Struct(">I")


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The document cannot be read; the fields are ParseFailed's."""

    message: str
    code: str
    page: int | None = None


class Job(msgspec.Struct, frozen=True, tag="job"):
    """A document to read, whose descriptors come beside: the document's, and where the answer goes.

    `text` says that it is a canonical text which is only to be cut, with what was learnt of it then.
    """

    number: int
    filename: str
    chunking: Chunking
    limits: Limits
    fast_pdf: bool = False
    text: Parsed | None = None


class Kill(msgspec.Struct, frozen=True, tag="kill"):
    """End the process of a job."""

    number: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The reading process has started; `missing` says which confinement it has to do without."""

    missing: tuple[str, ...] = ()


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The process of a job has ended, by `signal` if that is not 0."""

    number: int
    signal: int = 0


Answer = Progress | TextSlice | Passages | Parsed | Failed
Order = Job | Kill
Word = Ready | Ended

_encoder = msgspec.msgpack.Encoder()
read_answer: Final = msgspec.msgpack.Decoder(Answer).decode
read_order: Final = msgspec.msgpack.Decoder(Order).decode
read_word: Final = msgspec.msgpack.Decoder(Word).decode


def frame(message: Answer | Order | Word) -> bytes:
    """Encode a message with its length before it."""
    data = _encoder.encode(message)
    return LENGTH.pack(len(data)) + data


def weight(passage: NewPassage) -> int:
    """About how many bytes a passage takes in a frame."""
    return 4 * len(passage.text) + 4 * len(passage.body_terms) + 256

"""Reads one document, in a process of its own: its text, cut into passages with their analysed words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from antiphon.domain.analysis import analyse
from antiphon.domain.blocks import Shape
from antiphon.domain.chunking import Cutter, Piece
from antiphon.domain.languages import MAX_CHARACTERS, guess_language
from antiphon.domain.passages import NewPassage
from antiphon.parsers.formats import FORMATS, HEAD_BYTES, format_of
from antiphon.parsers.frames import Answer, Failed, Job, frame, weight
from antiphon.parsers.readers import read
from antiphon.parsers.reading import Document, Note, PageStart, Part, Title
from antiphon.ports.document_parser import Limits, Parsed, ParseFailed, Passages, Progress, TextSlice

SLICE_CHARACTERS: Final = 1 << 16
FRAME_BYTES: Final = 1 << 18
MAX_NOTES: Final = 50

_SURROGATES: Final = re.compile("[\ud800-\udfff]")


class Output:
    """Writes frames to a socket; blocks while the other side does not read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, answer: Answer) -> None:
        """Write a frame as a whole."""
        data = memoryview(frame(answer))
        while data:
            data = data[os.write(self._descriptor, data) :]


def work(job: Job, file: BinaryIO, output: Output) -> None:
    """Do a job, and answer with its end or with why there is none."""
    try:
        if job.text is None:
            _read(job, file, output)
        else:
            _cut(job, job.text, file, output)
    except ParseFailed as error:
        output.send(Failed(error.message, error.code, error.page))
    except MemoryError:
        output.send(_too_much(job.limits))
    except RecursionError:
        output.send(Failed("The document nests too deeply.", "invalid_file"))
    except Exception as error:
        output.send(Failed(f"The document cannot be read ({type(error).__name__}).", "invalid_file"))


def _too_much(limits: Limits) -> Failed:
    mebibytes = limits.memory_bytes >> 20
    return Failed(f"Reading the document takes more than {mebibytes:,} MiB of memory.", "invalid_file")


def _read(job: Job, file: BinaryIO, output: Output) -> None:
    size = os.fstat(file.fileno()).st_size
    head = file.read(HEAD_BYTES)
    file.seek(0)
    judged = format_of(job.filename, head, fast_pdf=job.fast_pdf)
    found, parts = read(Document(file, size, job.filename, judged, job.limits))
    text = _Text(found.shape, job, output)
    for part in parts:
        text.take(part)
    text.finish(found.name, found.media_type)


def _cut(job: Job, known: Parsed, file: BinaryIO, output: Output) -> None:
    found = FORMATS.get(known.parser)
    shape: Shape = found.shape if found is not None else "plain"
    text = _Text(shape, job, output, known)
    offset = 0
    starts = iter(known.page_starts)
    following = next(starts, None)
    for part in iter_text(file):
        done = 0
        while following is not None and following <= offset + len(part):
            text.take(part[done : following - offset])
            done = following - offset
            text.take(PageStart())
            following = next(starts, None)
        text.take(part[done:])
        offset += len(part)
    text.finish(known.parser, known.media_type)


def iter_text(file: BinaryIO) -> Iterator[str]:
    """Read a canonical text as it was handed over: UTF-8."""
    wrapped = open(file.fileno(), encoding="utf-8", newline="", closefd=False)  # noqa: SIM115
    while part := wrapped.read(SLICE_CHARACTERS):
        yield part


class _Text:
    """The canonical text in the making. It holds back its beginning until its language is known."""

    def __init__(self, shape: Shape, job: Job, output: Output, known: Parsed | None = None) -> None:
        self._job = job
        self._output = output
        self._known = known
        self._title = known.title if known is not None else None
        self._shape: Shape = shape
        self._language = known.language if known is not None else None
        self._cutter: Cutter | None = None
        self._held: list[str | PageStart] = []
        self._slice: list[str] = []
        self._slice_length = 0
        self._written = 0
        self._characters = 0
        self._page_starts: list[int] = []
        self._notes: list[str] = []
        self._passages: list[NewPassage] = []
        self._count = 0
        self._weight = 0

    def take(self, part: Part) -> None:
        """Go on with the next part of the document."""
        if isinstance(part, Title):
            self._title = self._title or " ".join(clean(part.text).split())[:500] or None
        elif isinstance(part, Note):
            if len(self._notes) < MAX_NOTES:
                self._notes.append(part.text)
        elif isinstance(part, PageStart):
            self._page_starts.append(self._characters)
            if len(self._page_starts) > self._job.limits.pages:
                raise ParseFailed(
                    f"The document has more than {self._job.limits.pages:,} pages.", code="invalid_file"
                )
            self._output.send(Progress(len(self._page_starts), part.total))
            self._pass_on(part)
        elif part:
            self._add(clean(part))

    def _add(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > self._job.limits.characters:
            raise ParseFailed(
                f"The document has more than {self._job.limits.characters:,} characters.", code="invalid_file"
            )
        for start in range(0, len(text), SLICE_CHARACTERS):
            part = text[start : start + SLICE_CHARACTERS]
            if self._known is None:
                self._slice.append(part)
                self._slice_length += len(part)
            self._pass_on(part)
            if self._slice_length >= SLICE_CHARACTERS:
                self._flush()

    def _pass_on(self, part: str | PageStart) -> None:
        if self._cutter is None:
            self._held.append(part)
            if self._known is not None or self._characters >= MAX_CHARACTERS:
                self._begin()
        elif isinstance(part, str):
            self._keep(self._cutter.add(part))
        else:
            self._keep(self._cutter.page())

    def _begin(self) -> Cutter:
        if self._known is None:
            self._language = guess_language("".join(part for part in self._held if isinstance(part, str)))
        self._cutter = Cutter(self._shape, self._job.chunking, self._title or self._job.filename)
        held, self._held = self._held, []
        for part in held:
            self._pass_on(part)
        return self._cutter

    def _keep(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            passage = NewPassage(
                ordinal=self._count,
                start=piece.start,
                end=piece.end,
                text=piece.text,
                heading=piece.heading,
                page=piece.page,
                title_terms=analyse(piece.heading, self._language),
                body_terms=analyse(piece.text, self._language),
            )
            self._count += 1
            if self._count > self._job.limits.passages:
                raise ParseFailed(
                    f"The document has more than {self._job.limits.passages:,} passages.", code="invalid_file"
                )
            self._passages.append(passage)
            self._weight += weight(passage)
            if self._weight >= FRAME_BYTES:
                self._flush()

    def _flush(self) -> None:
        """Send the text, then the passages that were cut from it."""
        if self._slice:
            text = "".join(self._slice)
            self._output.send(TextSlice(self._written, text))
            self._written += len(text)
            self._slice, self._slice_length = [], 0
        if self._passages:
            self._output.send(Passages(self._passages))
            self._passages, self._weight = [], 0

    def finish(self, parser: str, media_type: str) -> None:
        """Send what is left, and what was learnt."""
        cutter = self._cutter or self._begin()
        self._keep(cutter.end())
        self._flush()
        if not self._count:
            raise ParseFailed("The document has no text.", code="invalid_file")
        parsed = Parsed(
            parser=parser,
            media_type=media_type,
            language=self._language,
            title=self._title,
            characters=self._characters,
            page_starts=tuple(self._page_starts),
            passages=self._count,
            notes=tuple(self._notes),
        )
        self._output.send(parsed)


def clean(text: str) -> str:
    """Replace what no text may hold: NUL, which databases end at, and halves of UTF-16 pairs."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def run(job: Job, document: int, answer: int) -> None:
    """Do a job with its two descriptors; a reader that goes away ends it."""
    try:
        with open(document, "rb", closefd=False) as file:
            work(job, file, Output(answer))
    except BrokenPipeError:
        return

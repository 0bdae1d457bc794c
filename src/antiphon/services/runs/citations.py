"""Citations while an answer streams: markers out of the text, annotations into the log.

An annotation's quote is cut out of the text that was read from the version the model was given, so
`text[start:end] == quote` holds by construction; a source whose text could not be read back is never
given (`services.runs.grounding`). That proves that the quote stands in the document, not that it bears out
the claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.analysis import telling_terms
from antiphon.domain.citations import Marker, MarkerFilter, Quotable, ends_sentence
from antiphon.domain.collections import COLLECTION
from antiphon.domain.files import FILE
from antiphon.domain.relevance import DEFAULT_LANGUAGE
from antiphon.domain.run_events import TEXT, RunLog
from antiphon.domain.sources import Source
from antiphon.ports.model_provider import ProviderEvent, TextDelta
from antiphon.services.counters import Counters
from antiphon.services.runs.emitter import Emitter

MAX_CITATIONS: Final = 200
"""In one answer; a model that goes on is repeating itself."""

FEW_TERMS: Final = 2
"""With fewer words before it, as in "[1] says that …", a marker belongs to what follows."""

MAX_WAIT: Final = 300
"""Characters after which a marker waits no longer for the end of its sentence."""


class Given:
    """The sources as a model was given them. Making it costs some ms for long sources."""

    def __init__(self, sources: Sequence[Source], question: str) -> None:
        self.count = len(sources)
        self._question = question
        self._sources = {source.number: (source, Quotable(source.text)) for source in sources}

    def annotation(self, number: int, claim: str, index: int) -> dict[str, Any] | None:
        """Return the citation of a source by a claim that ends at `index` of the answer's text.

        None if the source has nothing to quote.
        """
        source, quotable = self._sources[number]
        start, end = quotable.best(claim, self._question)
        quote = source.text[start:end]
        if not quote:
            return None
        start, end = source.start + start, source.start + end
        place = source.place_of(start)
        return {
            "type": "file_citation",
            "index": index,
            "file_id": FILE + source.file_id,
            "filename": source.filename,
            "antiphon": {
                "version": source.version, "start": start, "end": end, "quote": quote, "page": place.page,
                "heading": place.heading or None, "collection_id": COLLECTION + source.collection_id,
            },
        }  # fmt: skip


class _Waiting(msgspec.Struct):
    """A marker at `index` whose sentence has not been said yet."""

    index: int
    numbers: Sequence[int]
    said: str


class _Speech:
    """One choice's text, of which `length` code points have been shown."""

    __slots__ = ("length", "markers", "places", "waiting")

    def __init__(self, known: int, length: int) -> None:
        self.length = length
        self.markers = MarkerFilter(known)
        self.waiting: list[_Waiting] = []
        self.places: set[tuple[int, int]] = set()


class CitingEmitter(Emitter):
    """An emitter whose model was given sources. Until `give` is called it does what every emitter does."""

    def __init__(self, log: RunLog, slot: int, counters: Counters) -> None:
        super().__init__(log, slot)
        self._counters = counters
        self._given: Given | None = None
        self._speeches: dict[int, _Speech] = {}
        self._outcomes = {"cited": 0, "unknown": 0, "unverified": 0, "too_many": 0}

    def give(self, given: Given) -> None:
        """Say which sources the model is given."""
        self._given = given

    def take(self, batch: Sequence[ProviderEvent]) -> None:
        """Append the ops of one batch, without the markers in its texts."""
        if self._given is None:
            super().take(batch)
            return
        for event in batch:
            if isinstance(event, TextDelta):
                self._say(self._given, event)
            else:
                choice = getattr(event, "choice", None)
                if choice is not None:
                    self._end_speech(choice)
                super().take((event,))

    def _say(self, given: Given, event: TextDelta) -> None:
        speech = self._speeches.get(event.choice)
        if speech is None:
            speech = self._speeches[event.choice] = _Speech(given.count, self._shown(event.choice))
        pieces = speech.markers.feed(event.text)
        if pieces == [event.text]:
            super().take((event,))  # with the probabilities of its tokens, if it has any
            self._hear(event.choice, speech, event.text)
            return
        self._show(event.choice, speech, pieces)

    def _show(self, choice: int, speech: _Speech, pieces: Sequence[str | Marker]) -> None:
        for piece in pieces:
            if isinstance(piece, Marker):
                self._mark(choice, speech, piece)
            else:
                super().take((TextDelta(choice, piece),))
                self._hear(choice, speech, piece)

    def _mark(self, choice: int, speech: _Speech, marker: Marker) -> None:
        self._outcomes["unknown"] += marker.unknown
        index = speech.length
        # Looked at first: what says the same source a thousand times in one place costs nothing.
        numbers = [number for number in marker.numbers if (number, index) not in speech.places]
        if not numbers:
            return
        speech.places.update((number, index) for number in numbers)
        self._settle(choice, speech)
        if len(telling_terms(marker.claim, DEFAULT_LANGUAGE)) >= FEW_TERMS:
            self._cite(choice, index, numbers, marker.claim)
        else:
            speech.waiting.append(_Waiting(index, numbers, f"{marker.claim} "))

    def _hear(self, choice: int, speech: _Speech, text: str) -> None:
        """Note what was shown, also for the markers that wait for the end of their sentence."""
        speech.length += len(text)
        if speech.waiting:
            for waiting in speech.waiting:
                waiting.said += text
            self._settle(choice, speech)

    def _settle(self, choice: int, speech: _Speech) -> None:
        """Cite by what has been said since, where that is a sentence or long enough."""
        for waiting in list(speech.waiting):
            end = ends_sentence(waiting.said)
            if end is not None or len(waiting.said) > MAX_WAIT:
                speech.waiting.remove(waiting)
                self._cite(choice, waiting.index, waiting.numbers, waiting.said[:end])

    def _cite(self, choice: int, index: int, numbers: Sequence[int], claim: str) -> None:
        output, part = self._part(choice, TEXT)
        known = self._log.outputs[output].part(TEXT, part).annotations
        for number in numbers:
            if len(known) >= MAX_CITATIONS:
                self._outcomes["too_many"] += 1
                continue
            found = self._given.annotation(number, claim, index) if self._given is not None else None
            if found is None:
                self._outcomes["unverified"] += 1
                continue
            self._outcomes["cited"] += 1
            self._log.append(("N", output, part, len(known), found))
            self._speaking = None

    def _shown(self, choice: int) -> int:
        """Return how much of a choice's text its open message holds already."""
        output, part = self._part(choice, TEXT)
        self._speaking = None
        return len(self._log.outputs[output].part(TEXT, part).text)

    def _end_speech(self, choice: int) -> None:
        """Show what was held back: something else than text comes, or nothing more."""
        speech = self._speeches.pop(choice, None)
        if speech is None:
            return
        self._show(choice, speech, speech.markers.finish())
        for waiting in speech.waiting:
            self._cite(choice, waiting.index, waiting.numbers, waiting.said)

    def close(self, status: str) -> None:
        """Close whatever is open, and count what became of the markers."""
        for choice in list(self._speeches):
            self._end_speech(choice)
        if self._given is not None:
            self.notes = (dict(self._outcomes),)
            self._counters.citations_made(self._outcomes)
        super().close(status)

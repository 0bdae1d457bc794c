"""What a worker says is checked as if the document itself had written it."""

from __future__ import annotations

from antiphon.ports.document_parser import Event, Limits, Parsed, Passages, Progress, TextSlice


class Nonsense(Exception):
    """A worker's answer that no honest worker gives."""


class AnswerCheck:
    """Follows one worker's answers and raises Nonsense where they break the port's promises."""

    def __init__(self, limits: Limits, characters: int | None = None) -> None:
        self._limits = limits
        self._text_known = characters is not None
        self._characters = characters or 0
        self._passages = 0
        self._start = 0

    def check(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case TextSlice():
                self._slice(event)
            case Passages():
                self._batch(event)
            case Parsed():
                self._end(event)
            case Progress():
                _hold(0 <= event.done <= self._limits.pages and event.total >= 0)

    def _slice(self, event: TextSlice) -> None:
        _hold(not self._text_known and event.start == self._characters and bool(event.text))
        _hold("\0" not in event.text)
        self._characters += len(event.text)
        _hold(self._characters <= self._limits.characters)

    def _batch(self, event: Passages) -> None:
        for passage in event.passages:
            _hold(passage.ordinal == self._passages and passage.item_id is None)
            _hold(self._start <= passage.start < passage.end <= self._characters)
            _hold(passage.end - passage.start == len(passage.text) and "\0" not in passage.text)
            self._passages += 1
            self._start = passage.start
        _hold(self._passages <= self._limits.passages)

    def _end(self, event: Parsed) -> None:
        _hold(event.characters == self._characters and event.passages == self._passages)
        _hold(len(event.page_starts) <= self._limits.pages)
        last = 0
        for start in event.page_starts:
            _hold(last <= start <= self._characters)
            last = start


def _hold(condition: bool) -> None:
    if not condition:
        raise Nonsense

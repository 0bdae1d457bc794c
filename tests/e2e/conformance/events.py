"""The events of a response's stream: their shapes, and the order in which they may come."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.e2e.conformance.shapes import (
    Exact,
    FileCitation,
    Index,
    Item,
    LogProb,
    OutputText,
    ReasoningText,
    Refusal,
    Response,
    SummaryText,
    UrlCitation,
    parse,
)


class Event(Exact):
    """What every event has."""

    sequence_number: Index


class WithResponse(Event):
    response: Response


class Created(WithResponse, tag="response.created"):
    pass


class Queued(WithResponse, tag="response.queued"):
    pass


class InProgress(WithResponse, tag="response.in_progress"):
    pass


class Completed(WithResponse, tag="response.completed"):
    pass


class Incomplete(WithResponse, tag="response.incomplete"):
    pass


class Failed(WithResponse, tag="response.failed"):
    pass


class ItemAdded(Event, tag="response.output_item.added"):
    output_index: Index
    item: Item


class ItemDone(Event, tag="response.output_item.done"):
    output_index: Index
    item: Item


class OfItem(Event):
    item_id: str
    output_index: Index


class OfPart(OfItem):
    content_index: Index


class PartAdded(OfPart, tag="response.content_part.added"):
    part: OutputText | Refusal | ReasoningText


class PartDone(OfPart, tag="response.content_part.done"):
    part: OutputText | Refusal | ReasoningText


class TextDelta(OfPart, tag="response.output_text.delta"):
    delta: str
    logprobs: list[LogProb]


class TextDone(OfPart, tag="response.output_text.done"):
    text: str
    logprobs: list[LogProb]


class AnnotationAdded(OfPart, tag="response.output_text.annotation.added"):
    annotation_index: Index
    annotation: UrlCitation | FileCitation


class RefusalDelta(OfPart, tag="response.refusal.delta"):
    delta: str


class RefusalDone(OfPart, tag="response.refusal.done"):
    refusal: str


class ReasoningDelta(OfPart, tag="response.reasoning_text.delta"):
    delta: str


class ReasoningDone(OfPart, tag="response.reasoning_text.done"):
    text: str


class OfSummary(OfItem):
    summary_index: Index


class SummaryPartAdded(OfSummary, tag="response.reasoning_summary_part.added"):
    part: SummaryText


class SummaryPartDone(OfSummary, tag="response.reasoning_summary_part.done"):
    part: SummaryText


class SummaryDelta(OfSummary, tag="response.reasoning_summary_text.delta"):
    delta: str


class SummaryDone(OfSummary, tag="response.reasoning_summary_text.done"):
    text: str


class ArgumentsDelta(OfItem, tag="response.function_call_arguments.delta"):
    delta: str


class ArgumentsDone(OfItem, tag="response.function_call_arguments.done"):
    name: str
    arguments: str


class SearchInProgress(OfItem, tag="response.file_search_call.in_progress"):
    pass


class SearchSearching(OfItem, tag="response.file_search_call.searching"):
    pass


class SearchCompleted(OfItem, tag="response.file_search_call.completed"):
    pass


Terminal = Completed | Incomplete | Failed
Delta = TextDelta | RefusalDelta | ReasoningDelta | SummaryDelta | ArgumentsDelta
Done = TextDone | RefusalDone | ReasoningDone | SummaryDone | ArgumentsDone
AnyEvent = (
    Created
    | Queued
    | InProgress
    | Completed
    | Incomplete
    | Failed
    | ItemAdded
    | ItemDone
    | PartAdded
    | PartDone
    | AnnotationAdded
    | TextDelta
    | TextDone
    | RefusalDelta
    | RefusalDone
    | ReasoningDelta
    | ReasoningDone
    | SummaryPartAdded
    | SummaryPartDone
    | SummaryDelta
    | SummaryDone
    | ArgumentsDelta
    | ArgumentsDone
    | SearchInProgress
    | SearchSearching
    | SearchCompleted
)


def parse_event(data: str) -> AnyEvent:
    """Decode one event, or fail saying what is wrong with it."""
    return parse(data, AnyEvent)


class OpenItem:
    """An output item between its `added` and its `done`."""

    def __init__(self, item: Item) -> None:
        self.id = item.id
        self.type = type(item)
        self.texts: dict[tuple[str, int], str] = {}
        self.complete: set[tuple[str, int]] = set()
        self.open_parts: set[tuple[str, int]] = set()


def channel_of(event: Any) -> tuple[str, int]:
    """Which text of an item a delta or done belongs to."""
    if isinstance(event, ArgumentsDelta | ArgumentsDone):
        return "arguments", 0
    if isinstance(event, OfSummary):
        return "summary", event.summary_index
    return "content", event.content_index


def text_of(shape: Any) -> str:
    """The text of a part or of a done event, whatever its field is called."""
    for field in ("text", "refusal", "arguments"):
        if hasattr(shape, field):
            text: str = getattr(shape, field)
            return text
    raise AssertionError(f"no text in {shape}")


class Grammar:
    """Takes a stream's events one by one and fails at the first that may not stand where it does."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.open: dict[int, OpenItem] = {}
        self.done: dict[int, Item] = {}
        self.terminal: Terminal | None = None

    def take(self, event: AnyEvent) -> None:
        """Check the next event."""
        assert self.terminal is None, f"{event} after the terminal event"
        assert event.sequence_number == len(self.events), f"gap before {event}"
        place = len(self.events)
        self.events.append(event)
        if isinstance(event, WithResponse):
            self._response(event, place)
        else:
            assert place >= 2, f"{event} before response.in_progress"
            self._output(event)

    def _response(self, event: WithResponse, place: int) -> None:
        assert isinstance(event, Created) is (place == 0), "response.created is first, and only once"
        first = self.events[0]
        assert isinstance(first, Created)
        assert event.response.id == first.response.id
        if isinstance(event, Created | Queued | InProgress):
            assert not self.open and not self.done, f"{event} after output"
            assert event.response.status in ("queued", "in_progress")
            assert event.response.output == []
        else:
            self._terminal(event)

    def _terminal(self, event: Any) -> None:
        assert not self.open, f"items without an end: {[item.id for item in self.open.values()]}"
        response = event.response
        allowed = {Completed: ("completed",), Failed: ("failed",), Incomplete: ("incomplete", "cancelled")}
        assert response.status in allowed[type(event)]
        assert response.output == [self.done[index] for index in sorted(self.done)]
        assert response.usage is not None, "a terminal event has usage"
        self.terminal = event

    def _output(self, event: Any) -> None:
        if isinstance(event, ItemAdded):
            expected = len(self.open) + len(self.done)
            assert event.output_index == expected, f"item {event.output_index} where {expected} comes next"
            assert getattr(event.item, "status", "in_progress") == "in_progress"
            self.open[event.output_index] = OpenItem(event.item)
            return
        assert event.output_index in self.open, f"{event} outside its item"
        item = self.open[event.output_index]
        if isinstance(event, ItemDone):
            self._item_done(event, item)
            return
        assert event.item_id == item.id
        self._within(event, item)

    def _within(self, event: Any, item: OpenItem) -> None:
        if isinstance(event, SearchInProgress | SearchSearching | SearchCompleted):
            return
        channel = channel_of(event)
        if isinstance(event, PartAdded | SummaryPartAdded):
            assert channel not in item.texts, f"{event} opens a part twice"
            assert text_of(event.part) == ""
            item.texts[channel] = ""
            item.open_parts.add(channel)
            return
        if channel[0] == "arguments":
            item.texts.setdefault(channel, "")
        else:
            assert channel in item.open_parts, f"{event} outside its part"
        if isinstance(event, Delta):
            assert channel not in item.complete, f"{event} after its done"
            item.texts[channel] += event.delta
        elif isinstance(event, Done):
            assert text_of(event) == item.texts[channel], f"{event} is not what its deltas said"
            item.complete.add(channel)
        elif isinstance(event, PartDone | SummaryPartDone):
            assert channel in item.complete, f"{event} before its text was done"
            assert text_of(event.part) == item.texts[channel]
            item.open_parts.discard(channel)

    def _item_done(self, event: ItemDone, item: OpenItem) -> None:
        assert event.item.id == item.id
        assert type(event.item) is item.type
        assert not item.open_parts, f"{event} with an open part"
        if self.whole(event.item):
            said = {channel: text for channel, text in item.texts.items() if channel[0] != "summary"}
            assert said == texts_of(event.item), f"{event} is not what its deltas said"
        del self.open[event.output_index]
        self.done[event.output_index] = event.item

    @staticmethod
    def whole(item: Item) -> bool:
        """Whether the item's texts come as deltas."""
        return type(item).__name__ in ("Message", "FunctionCall", "Reasoning")


def texts_of(item: Any) -> dict[tuple[str, int], str]:
    """Every text of a finished item by its channel, summaries aside."""
    if hasattr(item, "arguments"):
        return {("arguments", 0): item.arguments}
    parts = getattr(item, "content", None) or []
    if parts is msgspec.UNSET:
        return {}
    return {("content", index): text_of(part) for index, part in enumerate(parts)}


def check_stream(frames: list[str]) -> list[AnyEvent]:
    """Hold a whole stream to shapes and grammar and return its events."""
    grammar = Grammar()
    for frame in frames:
        grammar.take(parse_event(frame))
    assert grammar.terminal is not None, "the stream has no terminal event"
    return grammar.events

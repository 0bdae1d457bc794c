"""Turns a provider's events into ops: which items open and close, and in what order."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain import ids
from antiphon.domain.run_events import ARGUMENTS, REASONING, REFUSAL, TEXT, RunLog
from antiphon.ports.model_provider import (
    Finish,
    ProviderEvent,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)


class _Choice:
    """What is open of one choice: output indices, None when closed."""

    __slots__ = ("calls", "message", "parts", "reasoning")

    def __init__(self) -> None:
        self.message: int | None = None
        self.parts: dict[str, int] = {}
        self.reasoning: int | None = None
        self.calls: dict[int, int] = {}


class Emitter:
    """Feeds one run's log. `take` is on the path of every token."""

    def __init__(self, log: RunLog, slot: int) -> None:
        self._log = log
        self._slot = slot
        self._choices: dict[int, _Choice] = {}
        self.usage: UsageReport | None = None
        self.started: Started | None = None
        self.reasons: dict[int, str] = {}
        self.characters = 0
        # The choice whose text is the log's current channel; None if something else is.
        self._speaking: int | None = None
        # What the terminal op holds besides the reasons.
        self.notes: tuple[dict[str, int], ...] = ()

    def take(self, batch: Sequence[ProviderEvent]) -> None:
        """Append the ops of one batch."""
        for event in batch:
            if type(event) is TextDelta:
                if event.choice == self._speaking and event.logprobs is None:
                    self.characters += len(event.text)
                    self._log.text(event.text)
                    continue
                self._text(event)
                continue
            self._speaking = None
            if type(event) is ToolCallDelta:
                self._tool_call(event)
            elif type(event) is ReasoningDelta:
                self._reasoning(event)
            elif type(event) is RefusalDelta:
                self._refusal(event)
            elif type(event) is Finish:
                self.reasons[event.choice] = event.reason
            elif type(event) is UsageReport:
                self.usage = event
            elif type(event) is Started:
                self.started = event

    def _choice(self, index: int) -> _Choice:
        found = self._choices.get(index)
        if found is None:
            found = self._choices[index] = _Choice()
        return found

    def _open(self, choice: int, fields: dict[str, str]) -> int:
        index = len(self._log.outputs)
        self._log.append(("A", index, choice, {"id": ids.new_id(self._slot)} | fields))
        return index

    def _part(self, number: int, kind: str) -> tuple[int, int]:
        """Return (output, part) of an open message part of `kind`, opening what is missing."""
        choice = self._choice(number)
        if choice.reasoning is not None:
            self._close_reasoning(choice, "completed")
        if choice.message is None:
            choice.message = self._open(number, {"type": "message", "role": "assistant"})
            choice.parts = {}
        part = choice.parts.get(kind)
        if part is None:
            part = choice.parts[kind] = len(choice.parts)
            self._log.append(("B", choice.message, kind, part))
        return choice.message, part

    def _text(self, event: TextDelta) -> None:
        if not event.text and not self._has_text(event.choice):
            return  # what is said of tokens is no reason to begin a text
        output, part = self._part(event.choice, TEXT)
        self.characters += len(event.text)
        if event.logprobs is None:
            self._log.delta(output, TEXT, part, event.text)
        else:
            self._log.append(("L", output, TEXT, part, event.text, event.logprobs))
        self._speaking = event.choice

    def _has_text(self, number: int) -> bool:
        choice = self._choice(number)
        return choice.message is not None and choice.reasoning is None and TEXT in choice.parts

    def _refusal(self, event: RefusalDelta) -> None:
        output, part = self._part(event.choice, REFUSAL)
        self.characters += len(event.text)
        self._log.delta(output, REFUSAL, part, event.text)

    def _reasoning(self, event: ReasoningDelta) -> None:
        choice = self._choice(event.choice)
        self.characters += len(event.text)
        if choice.reasoning is None:
            choice.reasoning = self._open(event.choice, {"type": "reasoning"})
            self._log.append(("B", choice.reasoning, REASONING, 0))
        self._log.delta(choice.reasoning, REASONING, 0, event.text)

    def _tool_call(self, event: ToolCallDelta) -> None:
        choice = self._choice(event.choice)
        output = choice.calls.get(event.index)
        if output is None:
            self._close_reasoning(choice, "completed")
            self._close_message(choice, "completed")
            call_id = event.call_id or f"call_{ids.new_id(self._slot)}"
            fields = {"type": "function_call", "call_id": call_id, "name": event.name or ""}
            output = choice.calls[event.index] = self._open(event.choice, fields)
        self.characters += len(event.arguments)
        if event.arguments:
            self._log.delta(output, ARGUMENTS, 0, event.arguments)

    def _close_reasoning(self, choice: _Choice, status: str) -> None:
        if choice.reasoning is not None:
            self._close_parts(choice.reasoning, {REASONING: 0})
            self._log.append(("G", choice.reasoning, status))
            choice.reasoning = None

    def _close_message(self, choice: _Choice, status: str) -> None:
        if choice.message is not None:
            self._close_parts(choice.message, choice.parts)
            self._log.append(("G", choice.message, status))
            choice.message = None

    def _close_parts(self, output: int, parts: dict[str, int]) -> None:
        for kind, part in parts.items():
            self._log.append(("E", output, kind, part))
            self._log.append(("F", output, kind, part))

    def close(self, status: str) -> None:
        """Close whatever is open, with the status the run's end gives it."""
        self._speaking = None
        for choice in self._choices.values():
            self._close_reasoning(choice, status)
            self._close_message(choice, status)
            for output in choice.calls.values():
                self._log.append(("E", output, ARGUMENTS, 0))
                self._log.append(("G", output, status))
            choice.calls = {}

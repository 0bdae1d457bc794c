"""What the chat shows: Markdown that grows in a terminal, bare text everywhere else."""

import re
import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from antiphon.cli.answers import Answer
from antiphon.cli.api_client import Json, ServerEvent

REFRESHES_A_SECOND = 12
PREVIEW_CHARACTERS = 72
# A model's words must not move the cursor, set the title or fill the clipboard.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    return CONTROL.sub("", text)


class GrowingMarkdown:
    """Renders the end of the answer so far, as much as the screen holds."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._spinner = Spinner("dots", "thinking", style="dim")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._answer.text:
            yield self._spinner
            return
        lines = console.render_lines(Markdown(harmless(self._answer.text)), options, pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()


class View:
    """Writes answers and lists; `console.is_terminal` decides how."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.errors = Console(stderr=True, highlight=False)

    def answer(self, events: Iterable[ServerEvent]) -> Answer:
        """Show an answer while it arrives; the result is the whole of it."""
        return self._live(events) if self.console.is_terminal else self._plain(events)

    def _live(self, events: Iterable[ServerEvent]) -> Answer:
        answer = Answer()
        live = Live(
            GrowingMarkdown(answer),
            console=self.console,
            refresh_per_second=REFRESHES_A_SECOND,
            transient=True,
        )
        try:
            with live:
                for event in events:
                    answer.apply(event)
        finally:
            if answer.text:
                self.console.print(Markdown(harmless(answer.text)))
        self._outcome(answer)
        return answer

    def _plain(self, events: Iterable[ServerEvent]) -> Answer:
        answer = Answer()
        try:
            for event in events:
                if text := answer.apply(event):
                    self.console.file.write(text)
                    self.console.file.flush()
        finally:
            if answer.text and not answer.text.endswith("\n"):
                self.console.file.write("\n")
        self._outcome(answer)
        return answer

    def _outcome(self, answer: Answer) -> None:
        if answer.status != "completed":
            self.error(f"{answer.status}: {answer.problem}" if answer.problem else answer.status)

    def say(self, text: str) -> None:
        self.console.print(Text(harmless(text), style="dim"))

    def error(self, text: str) -> None:
        self.errors.print(Text(harmless(text), style="red"))

    def table(self, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        grid = Table(*headings, box=None, header_style="dim", pad_edge=False)
        for row in rows:
            grid.add_row(*(Text(harmless(cell)) for cell in row))
        self.console.print(grid)

    def tree(self, title: str, segments: Iterable[Json], branches: Iterable[Json]) -> None:
        self.console.print(segment_tree(title, segments, branches))


def preview(item: Json) -> str:
    """An item in one line: who, and how it begins."""
    if item.get("type", "message") != "message":
        return f"{item.get('type')} {item.get('name', '')}".strip()
    words = " ".join(content_text(item.get("content")).split())
    return f"{item.get('role', '?')}: {_shortened(words)}"


def content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(str(part.get("text") or part.get("refusal") or "") for part in parts)


def segment_tree(title: str, segments: Iterable[Json], branches: Iterable[Json]) -> Tree:
    """The conversation's segments, each under its parent; one whose parent is elsewhere hangs on the root."""
    heads: dict[str, list[str]] = {}
    for branch in branches:
        name = f"{branch.get('name')}{'*' if branch.get('active') else ''}"
        heads.setdefault(_digits(branch.get("head_item_id")), []).append(name)
    root = Tree(Text(harmless(title), style="bold"))
    nodes: dict[str, Tree] = {}
    for segment in segments:
        above = nodes.get(str(segment.get("parent_segment_id")), root)
        nodes[str(segment["id"])] = above.add(Text(harmless(segment_label(segment, heads))))
    return root


def segment_label(segment: Json, heads: dict[str, list[str]]) -> str:
    """How the segment begins, how many items follow, and which branches end where it ends."""
    first, last = segment.get("first_item") or {}, segment.get("last_item") or {}
    more = segment.get("item_count", 1) - 1
    label = f"{first.get('role') or first.get('type', '')}: {_shortened(str(first.get('preview', '')))}"
    if more > 0:
        label += f"  +{more}"
    if names := heads.get(_digits(last.get("id"))):
        label += f"  ({', '.join(names)})"
    return label


def _digits(item_id: object) -> str:
    # An item has one set of digits; its prefix depends on who shows it.
    return str(item_id).rpartition("_")[2]


def _shortened(words: str) -> str:
    return words if len(words) <= PREVIEW_CHARACTERS else f"{words[: PREVIEW_CHARACTERS - 1]}…"


def is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()

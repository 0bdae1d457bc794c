"""A small bar chart as SVG: panels of horizontal bars, each panel with a scale of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

_COLUMNS: Final = 2
_PANEL_WIDTH: Final = 430
_LABEL_WIDTH: Final = 105
_VALUE_WIDTH: Final = 60
_BAR_HEIGHT: Final = 16
_BAR_STEP: Final = 22
_TITLE_HEIGHT: Final = 26
_GAP: Final = 20
_STYLE: Final = """\
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.label { text-anchor: end; }
.other { fill: #9aa4af; }
.ours { fill: #2f6fde; }
@media (prefers-color-scheme: dark) {
  text { fill: #d6dde4; }
  .other { fill: #69737d; }
  .ours { fill: #5a93f5; }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; ``ours`` sets it apart by colour."""

    label: str
    value: float
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars that share a scale."""

    title: str
    bars: Sequence[Bar]


def svg(panels: Sequence[Panel]) -> str:
    """The chart as a document of its own. Lines are filled from left to right."""
    drawn: list[str] = []
    top = _GAP
    for first in range(0, len(panels), _COLUMNS):
        line = panels[first : first + _COLUMNS]
        for column, panel in enumerate(line):
            drawn += _panel(panel, _GAP + column * (_PANEL_WIDTH + _GAP), top)
        top += _TITLE_HEIGHT + _BAR_STEP * max(len(panel.bars) for panel in line) + _GAP
    width = _GAP + _COLUMNS * (_PANEL_WIDTH + _GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" role="img">'
    title = "<title>" + escape("; ".join(_in_words(panel) for panel in panels)) + "</title>"
    return "\n".join([head, title, f"<style>\n{_STYLE}</style>", *drawn, "</svg>", ""])


def _panel(panel: Panel, left: int, top: int) -> list[str]:
    scale = (_PANEL_WIDTH - _LABEL_WIDTH - _VALUE_WIDTH) / max(bar.value for bar in panel.bars)
    drawn = [_text("title", left, top + 13, panel.title)]
    for number, bar in enumerate(panel.bars):
        y = top + _TITLE_HEIGHT + number * _BAR_STEP
        width = max(1.0, bar.value * scale)
        drawn += [
            _text("label", left + _LABEL_WIDTH - 8, y + 13, bar.label),
            f'<rect class="{"ours" if bar.ours else "other"}" x="{left + _LABEL_WIDTH}" y="{y}" '
            f'width="{width:.1f}" height="{_BAR_HEIGHT}" rx="2"/>',
            _text("value", left + _LABEL_WIDTH + width + 6, y + 13, f"{bar.value:.3g}"),
        ]
    return drawn


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _in_words(panel: Panel) -> str:
    """A panel for those who do not see it."""
    return f"{panel.title}: " + ", ".join(f"{bar.label} {bar.value:.3g}" for bar in panel.bars)

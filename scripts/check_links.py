"""Every relative link in Markdown leads to a file, and every anchor to a heading."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from scripts.project_files import ROOT, project_files, relative, report

MARKDOWN = MarkdownIt("commonmark").enable("table")
TARGET_ATTRIBUTES = {"href", "src"}
ANCHOR_ATTRIBUTES = {"id", "name"}


class EmbeddedHtml(HTMLParser):
    """Collects link targets and anchors from HTML inside Markdown."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value for name, value in attrs if name in TARGET_ATTRIBUTES and value]
        self.anchors |= {value for name, value in attrs if name in ANCHOR_ATTRIBUTES and value}


def flat_tokens(text: str) -> Iterator[Token]:
    for token in MARKDOWN.parse(text):
        yield token
        yield from token.children or ()


def embedded_html(text: str) -> EmbeddedHtml:
    parser = EmbeddedHtml()
    parser.feed("\n".join(t.content for t in flat_tokens(text) if t.type in {"html_block", "html_inline"}))
    return parser


def slug(heading: str) -> str:
    """The anchor that forges give a heading: lower case, punctuation gone, spaces as hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def heading_texts(text: str) -> Iterator[str]:
    for opening, inline in pairwise(MARKDOWN.parse(text)):
        if opening.type == "heading_open":
            yield "".join(t.content for t in inline.children or () if t.type in {"text", "code_inline"})


def anchors(text: str) -> set[str]:
    """All anchors of a page; a repeated heading gets a number."""
    seen: Counter[str] = Counter()
    found = set(embedded_html(text).anchors)
    for heading in heading_texts(text):
        name = slug(heading)
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def targets(text: str) -> Iterator[str]:
    for token in flat_tokens(text):
        target = token.attrGet("href") if token.type == "link_open" else None
        if token.type == "image":
            target = token.attrGet("src")
        if target:
            yield str(target)
    yield from embedded_html(text).targets


def link_problem(page: Path, target: str, root: Path) -> str | None:
    """Why the link is dead, or None. Links to other sites are not followed."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return None
    path = unquote(parts.path)
    base = root if path.startswith("/") else page.parent
    file = (base / path.lstrip("/")).resolve() if path else page
    if not file.is_relative_to(root.resolve()):
        return "leaves the project"
    if not file.exists():
        return "no such file"
    if parts.fragment and file.suffix == ".md" and unquote(parts.fragment) not in anchors(file.read_text()):
        return "no such heading"
    return None


def problems(root: Path = ROOT) -> Iterator[str]:
    for page in project_files(root):
        if page.suffix == ".md":
            for target in targets(page.read_text()):
                if problem := link_problem(page, target, root):
                    yield f"{relative(page, root)}: {target}: {problem}"


if __name__ == "__main__":
    sys.exit(report("links", problems()))

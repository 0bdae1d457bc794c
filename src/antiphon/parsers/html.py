"""HTML: headings, paragraphs, lists, tables and preformatted text, without what is not read by people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from antiphon.parsers import markup
from antiphon.parsers.reading import Document, Note, Part, Title
from antiphon.parsers.text import decoded, find_encoding
from antiphon.ports.document_parser import ParseFailed

MAX_BYTES: Final = 64 * 1024 * 1024
"""Larger pages are refused: the tree of one takes many times its size."""

_CHARSET: Final = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})", re.I)
_SKIPPED: Final = frozenset((
    "script", "style", "nav", "noscript", "template", "svg", "math", "head", "iframe", "object", "embed",
    "canvas", "audio", "video", "select", "button", "dialog",
))  # fmt: skip
_BREAKING: Final = frozenset((
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hgroup", "hr", "html", "legend", "li", "main", "menu", "ol", "p", "pre", "section",
    "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
))  # fmt: skip
_LISTS: Final = frozenset(("ul", "ol", "menu"))
_LAYOUT: Final = "table, h1, h2, h3, h4, ul, ol"
"""A table that holds one of these only arranges the page."""

MAX_DEPTH: Final = 20_000
"""Elements within each other. The tree builder's time grows with the square of this; 20,000 take 1.5 s."""

_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_NEVER_DEEP: Final = frozenset((
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr", "p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "option", "optgroup",
    "body", "html", "head",
))  # fmt: skip


def read_html(document: Document) -> Iterator[Part]:
    """Yield a page's title and text."""
    if document.size > MAX_BYTES:
        raise ParseFailed(f"The page is larger than {MAX_BYTES >> 20} MiB.", code="invalid_file")
    head = document.file.read(4096)
    encoding = find_encoding(document.file)
    name, note = encoding.name, encoding.note
    if note and (found := _CHARSET.search(head)) and (declared := _known(found[1].decode("ascii"))):
        name, note = declared, ""
    if note:
        yield Note(note)
    yield from html_parts("".join(decoded(document.file, name)))


def _known(charset: str) -> str | None:
    """The name of an encoding Python decodes text with, None of any other (`rot13`, `base64`)."""
    try:
        "".encode(charset)
    except (LookupError, UnicodeError, ValueError):
        return None
    return charset


def html_parts(source: str) -> Iterator[Part]:
    """Yield the title and the text of HTML source."""
    _refuse_depths(source)
    tree = LexborHTMLParser(source)
    title = tree.css_first("head > title")
    if title is not None and (text := markup.collapse(title.text())):
        yield Title(text[:1_000])
    body = tree.body
    if body is not None:
        yield from _Walk().text(body)


def _refuse_depths(source: str) -> None:
    depth = 0
    for match in _TAG.finditer(source):
        if match[2].lower() not in _NEVER_DEEP:
            depth = max(depth - 1, 0) if match[1] else depth + 1
            if depth > MAX_DEPTH:
                raise ParseFailed(
                    f"The page nests elements more than {MAX_DEPTH:,} deep.", code="invalid_file"
                )


def _arranges(table: LexborNode) -> bool:
    return any(inner.mem_id != table.mem_id for inner in table.css(_LAYOUT))


class _Walk:
    """Goes through a tree without recursion, however deep it is, and writes down what it meets."""

    def __init__(self) -> None:
        self._inline: list[str] = []
        self._cells: list[str] | None = None
        self._rows = 0
        self._tables: list[bool] = []  # whether each open table is one of data
        self._depth = 0
        self._pre = 0
        self._out: list[str] = []

    def text(self, root: LexborNode) -> Iterator[str]:
        node: LexborNode | None = root
        while node is not None:
            below = self._enter(node)
            node = below if below is not None else self._onwards(node, root)
            if self._out:
                yield "".join(self._out)
                self._out = []
        self._break()
        yield "".join(self._out)

    def _onwards(self, node: LexborNode, root: LexborNode) -> LexborNode | None:
        """The node after `node` and all below it, None at the end; leaves what is behind."""
        while True:
            self._leave(node)
            if node.mem_id == root.mem_id:
                return None
            if node.next is not None:
                return node.next
            above = node.parent
            if above is None:
                return None
            node = above

    def _enter(self, node: LexborNode) -> LexborNode | None:
        """Take in a node; return its first child if that is to be visited."""
        tag = node.tag
        if tag == "-text":
            self._inline.append(node.text_content or "")
            return None
        if tag is None or tag in _SKIPPED or tag[0] in "-_!" or "hidden" in node.attributes:
            return None
        if tag == "br":
            self._inline.append("\n" if self._pre else "\v")
        elif tag in _BREAKING:
            self._open(node, tag)
        return node.child

    def _open(self, node: LexborNode, tag: str) -> None:
        if self._cells is None:
            self._break()
        else:
            self._inline.append(" ")
        if tag in _LISTS:
            self._depth += 1
        elif tag == "pre":
            self._pre += 1
        elif tag == "table":
            if not any(self._tables):
                self._rows = 0
            self._tables.append(any(self._tables) or not _arranges(node))
        elif tag == "tr" and self._in_data():
            self._cells, self._inline = [], []
        elif tag in ("td", "th") and self._in_data() and self._cells is not None:
            self._inline = []

    def _in_data(self) -> bool:
        """Whether this is a table of data, and not one within another."""
        return bool(self._tables) and self._tables[-1] and self._tables.count(True) == 1

    def _leave(self, node: LexborNode) -> None:
        tag = node.tag
        if tag not in _BREAKING or "hidden" in node.attributes:
            return
        if tag in ("td", "th") and self._in_data() and self._cells is not None:
            self._cells.append(self._take())
        elif tag == "tr" and self._in_data() and self._cells is not None:
            self._out.append(markup.row(self._cells, first=self._rows == 0))
            self._rows += 1
            self._cells = None
        elif self._cells is None:
            self._break(tag)
        else:
            self._inline.append(" ")
        self._close(tag)

    def _close(self, tag: str) -> None:
        if tag in _LISTS:
            self._depth = max(self._depth - 1, 0)
            if not self._depth and self._cells is None:
                self._out.append("\n")
        elif tag == "pre":
            self._pre = max(self._pre - 1, 0)
        elif tag == "table" and self._tables and self._tables.pop() and not any(self._tables):
            self._cells = None
            self._out.append("\n")

    def _take(self) -> str:
        text = markup.collapse("".join(self._inline))
        self._inline = []
        return text

    def _break(self, tag: str | None = None) -> None:
        """Write down the text since the last break, as what it stood in."""
        if not self._inline:
            return
        raw, self._inline = "".join(self._inline), []
        if self._pre:
            self._out.append(markup.code(raw))
            return
        lines = [markup.collapse(line) for line in raw.split("\v")]
        text = "\n".join(line for line in lines if line)
        if tag is not None and len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self._out.append(markup.heading(int(tag[1]), text))
        elif self._depth:
            self._out.append(markup.item(text, self._depth - 1))
        else:
            self._out.append(markup.paragraph(text))

"""How what an export cites is told: as links of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from antiphon.domain.chat_exports.values import line, text

_ADDRESS: Final = re.compile(r"https?://([^\s/?#]+)\S*", re.IGNORECASE)
_BRACKETS: Final = re.compile(r"[][\\]")
_ESCAPED: Final = r"\\\g<0>"
_PLAIN: Final = "%/:?#@!$&'*+,;=~[]"
"""What may stand in an address besides letters and digits; round brackets would end the link."""
MAX_ADDRESS: Final = 4_000
MAX_TITLE: Final = 200


def address(value: Any) -> str | None:
    """Return an address of the web, None for anything else."""
    found = text(value).strip()
    return found if len(found) <= MAX_ADDRESS and _ADDRESS.fullmatch(found) else None


def link(title: Any, url: Any) -> str:
    """Return a link, the title alone where `url` leads nowhere, "" for neither."""
    shown, to = line(title, MAX_TITLE), address(url)
    if to is None:
        return shown or ""
    host = _ADDRESS.fullmatch(to)
    shown = shown if shown and shown != to else (host[1] if host else to)
    return f"[{_BRACKETS.sub(_ESCAPED, shown)}]({quote(to, safe=_PLAIN)})"


def listed(sources: Iterable[tuple[Any, Any]]) -> str:
    """Return titles and addresses as a numbered list under an answer, "" without any."""
    links = [link(title, url) for title, url in sources]
    return "\n".join(f"[{number}] {one}" for number, one in enumerate(links, 1) if one)


def passage(title: Any, url: Any, words: str) -> str:
    """Return what a tool found, below its title and address."""
    return "\n".join(one for one in (line(title, MAX_TITLE), address(url), words.strip()) if one)

"""Messages as passages: their readable text, cut and analysed. All of it is work for a thread."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import structs

from antiphon.domain.analysis import analyse, query_terms
from antiphon.domain.chunking import cut
from antiphon.domain.collections import Chunking
from antiphon.domain.items import text_of
from antiphon.domain.languages import guess_language
from antiphon.domain.passages import NewPassage, Source
from antiphon.domain.search import Question
from antiphon.ports.history import Said

MAX_CHARACTERS: Final = 1_000_000
"""Of a longer message only the beginning is indexed: some 250,000 tokens."""
SCOPE: Final = "h"
CHUNKING: Final = Chunking()

_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+[^,\s]{0,200},[A-Za-z0-9+/=_%-]{64,}")
_decode = msgspec.json.Decoder().decode

log = logging.getLogger(__name__)

Cut = tuple[Source, list[NewPassage]]


def scope_of(owner_id: str) -> str:
    """Return the scope of the history of an owner's conversations."""
    return SCOPE + owner_id


def message_text(payload: str) -> str:
    """Return what of a message's payload can be read, without data URLs that stand in the text."""
    decoded: Any = _decode(payload)
    text = text_of(decoded[0] if isinstance(decoded, list) else decoded)
    if "data:" in text:
        text = _DATA_URL.sub(" ", text)
    return text[:MAX_CHARACTERS]


def cut_messages(messages: Iterable[Said]) -> list[Cut]:
    """Return the passages of messages by conversation; one that cannot be read is logged and left out."""
    found: dict[str, Cut] = {}
    for said in messages:
        try:
            text = message_text(said.payload)
            language = guess_language(text)
            passages = _cut(said, text, language)[::-1]  # what has its first passage is whole
        except Exception:
            log.exception("message %s cannot be indexed", said.item_id)
            continue
        if passages:
            source, known = found.get(said.conversation_id, (_source(said), []))
            source = structs.replace(source, language=language or source.language)
            known.extend(passages)
            found[said.conversation_id] = (source, known)
    return list(found.values())


def _source(said: Said) -> Source:
    return Source(
        id=said.conversation_id, kind="history", owner_id=said.owner_id, scope=scope_of(said.owner_id),
        ref_id=said.conversation_id,
    )  # fmt: skip


def _cut(said: Said, text: str, language: str | None) -> list[NewPassage]:
    return [
        NewPassage(
            ordinal=ordinal, start=piece.start, end=piece.end, text=piece.text, heading=piece.heading,
            title_terms=message_terms(piece.heading, language), item_id=said.item_id, role=said.role,
            body_terms=message_terms(piece.text, language), model=said.model, author_id=said.author_id,
            created_us=said.created_us,
        )
        for ordinal, piece in enumerate(cut((text,), "markdown", CHUNKING))
    ]  # fmt: skip


def message_terms(text: str, language: str | None) -> str:
    """Return the terms of a piece of a message: as it is written, and stemmed as well if it can be.

    A conversation has messages of several languages, and short ones of none that can be told. So
    every word is found in the form it was written in, whatever the question's language.
    """
    plain = analyse(text, None)
    if not language:
        return plain
    stemmed = analyse(text, language)
    known = set(stemmed.split())
    return " ".join((stemmed, *(term for term in plain.split() if term not in known)))


class Terms(msgspec.Struct, frozen=True):
    """A question as the index has it, in the `languages` of what is searched; "" is as written.

    `words` are alternatives, `wanted` all of their terms.
    """

    languages: tuple[str, ...]
    words: tuple[str, ...]
    wanted: frozenset[str]
    prefix: str | None
    phrases: tuple[tuple[str, ...], ...]
    excluded: tuple[str, ...]

    def matches(self, word: str) -> bool:
        """Whether a word of a message is one of those asked for, in any of its forms."""
        return any(not self.wanted.isdisjoint(analyse(word, one).split()) for one in self.languages)


def question_terms(question: Question, languages: Sequence[str]) -> Terms:
    """Return a question's terms as written, and as the languages of what is searched have them."""
    asked = guess_language(question.text)
    known = tuple(dict.fromkeys(("", *languages, *((asked,) if asked else ()))))

    def forms(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(form for one in known if (form := analyse(text, one))))

    words = query_terms(question.text, known)
    return Terms(
        languages=known,
        words=words,
        wanted=frozenset(term for one in words for term in one.split()),
        prefix=question.prefix,
        phrases=tuple(found for one in question.phrases if (found := forms(one))),
        excluded=tuple(form for one in question.excluded for form in forms(one)),
    )

"""Messages as passages: their readable text, cut and analysed. All of it is work for a thread."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.analysis import analyse, analyse_in_both, query_terms
from antiphon.domain.chunking import cut, cut_short
from antiphon.domain.collections import Chunking
from antiphon.domain.items import text_of
from antiphon.domain.languages import guess_language
from antiphon.domain.passages import Cut, NewPassage, Source
from antiphon.domain.search import Question
from antiphon.ports.history import Said

MAX_CHARACTERS: Final = 1_000_000
"""Of a longer message only the beginning is indexed: some 250,000 tokens."""
SCOPE: Final = "h"
CHUNKING: Final = Chunking()

_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+[^,\s]{0,200},[A-Za-z0-9+/=_%-]{64,}")
_decode = msgspec.json.Decoder().decode

log = logging.getLogger(__name__)


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
    found: dict[str, list[NewPassage]] = {}
    owners: dict[str, str] = {}
    languages: dict[str, str] = {}
    for said in messages:
        try:
            text = message_text(said.payload)
            language = guess_language(text)
            passages = _cut(said, text, language)[::-1]  # what has its first passage is whole
        except Exception:
            log.exception("message %s cannot be indexed", said.item_id)
            continue
        if passages:
            found.setdefault(said.conversation_id, []).extend(passages)
            owners[said.conversation_id] = said.owner_id
            if language:
                languages[said.conversation_id] = language
    return [(_source(one, owners[one], languages.get(one)), found[one]) for one in found]


def _source(conversation_id: str, owner_id: str, language: str | None) -> Source:
    return Source(
        id=conversation_id, kind="history", owner_id=owner_id, scope=scope_of(owner_id),
        ref_id=conversation_id, language=language,
    )  # fmt: skip


def _cut(said: Said, text: str, language: str | None) -> list[NewPassage]:
    """Cut one message. Its terms are as they are written, and stemmed as well if they can be.

    A conversation has messages of several languages, and short ones of none that can be told. So
    every word is found in the form it was written in, whatever the question's language.
    """
    only = cut_short(text, CHUNKING)
    pieces = cut((text,), "markdown", CHUNKING) if only is None else (only,)
    return [
        NewPassage(
            ordinal=ordinal, start=piece.start, end=piece.end, text=piece.text, heading=piece.heading,
            title_terms=analyse_in_both(piece.heading, language) if piece.heading else "",
            body_terms=analyse_in_both(piece.text, language), item_id=said.item_id, role=said.role,
            model=said.model, author_id=said.author_id, created_us=said.created_us,
        )
        for ordinal, piece in enumerate(pieces)
    ]  # fmt: skip


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

"""Provider `offline`: a server that answers before any model is connected.

Model `extractive` generates nothing. It looks for the earlier sentences that have most in
common with the last question and quotes them, and says how to connect a real model.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain import relevance
from antiphon.domain.errors import ProviderError
from antiphon.domain.sentences import sentences
from antiphon.domain.sources import Source
from antiphon.ports.model_provider import ModelInfo, ModelRequest, ProviderEvent
from antiphon.providers import local_answers as local

NAME: Final = "offline"
MODEL: Final = "extractive"
MODELS: Final = (MODEL,)

MAX_CHARACTERS: Final = 100_000
"""The newest part of the conversation that is searched; about 25,000 tokens, some 20 ms."""

THREAD_FROM: Final = 4_000
"""Above this many characters the search runs beside the event loop, not on it."""

QUOTES: Final = 3
CONNECT: Final = (
    "(This is Antiphon's built-in offline model, which only quotes. To connect a real one set GROQ_API_KEY, "
    "OPENAI_API_KEY, HF_TOKEN or OLLAMA_BASE_URL, or add a provider to antiphon.toml, and restart.)"
)
GREETING: Final = "Hello! Tell me things and ask about them later: I find what was said and quote it."
NOTED: Final = "I have read this. Nothing said earlier in this conversation has to do with it."
IN_DOCUMENTS: Final = "In the documents it says:"
UNFOUND: Final = "Nothing was found in the documents, and nothing said earlier answers that."
UNSAID: Final = "No sentence of the documents that were found has a word in common with the question."
NOTHING: Final = "Nothing said earlier in this conversation answers that."

_GREETING = re.compile(
    r"\W*(hi|hello|hey|hallo|moin|hola|salut|bonjour|ciao|good (morning|day|afternoon|evening)|"
    r"guten (tag|morgen|abend)|greetings|howdy|yo)( (there|all|everyone|antiphon|bot))?\W*",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\s?\[\d[\d,\s–-]*\]")
"""A document's own references to literature, which would pass for citations of the sources."""

_SPEAKERS: Final = {
    "user": "you said",
    "assistant": "I said",
    "system": "the instructions say",
    "developer": "the instructions say",
    "tool": "a tool answered",
    "function": "a tool answered",
}


class Offline:
    """The `offline` provider."""

    name = NAME

    def __repr__(self) -> str:
        return "Offline()"

    async def models(self) -> Sequence[ModelInfo]:
        """Return the one model."""
        return [ModelInfo(id=f"{NAME}/{MODEL}", provider=NAME)]

    def stream(self, request: ModelRequest) -> AsyncIterator[Sequence[ProviderEvent]]:
        """Answer from the conversation."""
        if request.model != MODEL:
            unknown = f"The offline provider has no model '{request.model}'."
            return local.failing(ProviderError(unknown, status=404))
        return _stream(request)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""


async def _stream(request: ModelRequest) -> AsyncIterator[Sequence[ProviderEvent]]:
    schema = local.wanted_json(request)
    size = sum(len(local.text_of(message)) for message in request.messages)
    if schema is not None:
        text = msgspec.json.encode(local.json_value(schema)).decode()
    elif size > THREAD_FROM:
        text = await asyncio.to_thread(compose, request.messages, request.sources)
    else:
        text = compose(request.messages, request.sources)
    async for batch in local.answer(request, text):
        yield batch


def compose(messages: Sequence[dict[str, Any]], sources: Sequence[Source] | None = None) -> str:
    """Return the answer to a conversation's last message.

    Documents come before what was said: `sources` are what a search found, None if there was none.
    """
    if sources is not None:  # the system's words are ours then: how to use the sources
        messages = [one for one in messages if one.get("role") not in ("system", "developer")]
    question, earlier = _question_and_earlier(messages, given=bool(sources))
    if not question.strip() or _GREETING.fullmatch(question):
        return f"{GREETING} {CONNECT}"
    lines = _from_documents(question, sources or ())
    if not lines:
        lines = [_quoted(quote) for quote in relevance.best(question, earlier, QUOTES)]
    if lines:
        return "\n".join([*lines, "", CONNECT])
    if sources is not None:
        return f"{UNSAID if sources else UNFOUND} {CONNECT}"
    return f"{NOTHING if '?' in question else NOTED} {CONNECT}"


def _from_documents(question: str, sources: Sequence[Source]) -> list[str]:
    """Return the sentences of the sources that have most in common with a question, cited."""
    found = relevance.quotes(question, [source.text for source in sources], QUOTES)
    said = []
    for quote in found:
        source = sources[quote.text]
        text = " ".join(_REFERENCE.sub("", source.text[quote.start : quote.end]).split())
        said.append(f"“{text}” [{source.number}]")
    return [IN_DOCUMENTS, *said] if said else []


def _question_and_earlier(
    messages: Sequence[dict[str, Any]], *, given: bool
) -> tuple[str, list[relevance.Sentence]]:
    """Return the last question and all other sentences, oldest first, within MAX_CHARACTERS.

    A program may put documents and the question into one message, so only the last paragraph
    of the last user message is the question. What stands before it is left out if sources were
    `given`, since then it is those.
    """
    at = max((i for i, m in enumerate(messages) if m.get("role") == "user"), default=-1)
    question = ""
    found: list[list[relevance.Sentence]] = []
    room = MAX_CHARACTERS
    for i in range(len(messages) - 1, -1, -1):
        text = local.text_of(messages[i])[-room:] if room > 0 else ""
        room -= len(text)
        if i == at:
            text, _, question = text.rstrip().rpartition("\n\n")
            text = "" if given else text
        role = str(messages[i].get("role"))
        if not (role == "assistant" and CONNECT in text):  # quoting ourselves would go round in circles
            found.append([relevance.Sentence(role, sentence) for sentence in sentences(text)])
    return question, [sentence for message in reversed(found) for sentence in message]


def _quoted(sentence: relevance.Sentence) -> str:
    return f"Earlier {_SPEAKERS.get(sentence.role, 'it was said')}: “{sentence.text}”"

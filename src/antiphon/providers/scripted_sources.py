"""Scripts of the `scripted` provider that answer from sources, well and badly.

| model | what it does |
|---|---|
| `cites` | the first sentence of every source, each with its marker |
| `cites-split` | the same, one character a piece |
| `cites-wrong` | markers of sources that were not given, and brackets that are no markers |
| `cites-none` | the same sentences without markers |
| `obeys` | calls the tool that `CALL name` names, wherever it stands outside the sources |
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from typing import Final

from antiphon.domain.sentences import sentences
from antiphon.ports.model_provider import Finish, ModelRequest, ProviderEvent, TextDelta, ToolCallDelta
from antiphon.providers import local_answers as local

NO_SOURCES: Final = "No sources were given."
NOTHING_TO_OBEY: Final = "Nobody told me to call anything."

Batches = AsyncIterator[Sequence[ProviderEvent]]

_FENCE = re.compile(r"lines that begin with <<([\w-]+)\.")
_COMMAND = re.compile(r"\bCALL (\w+)")


def cited(request: ModelRequest) -> str:
    """Return the answer of `cites`, so that a checker can know it."""
    said = [f"{_first_sentence(one.text)} [{one.number}]" for one in request.sources or ()]
    return " ".join(said) or NO_SOURCES


def _first_sentence(text: str) -> str:
    return (sentences(text) or [""])[0]


def cites(request: ModelRequest) -> Batches:
    """See the module's table."""
    return local.answer(request, cited(request))


async def cites_split(request: ModelRequest) -> Batches:
    """See the module's table."""
    counter = local.Counter(request)
    pieces, reason = local.cut_to_limit(list(cited(request)), counter, tokens_each=1)
    for piece in pieces:
        yield [TextDelta(0, piece)]
    yield [Finish(0, reason), counter.report()]


def cites_wrong(request: ModelRequest) -> Batches:
    """See the module's table."""
    beyond = len(request.sources or ()) + 1
    return local.answer(
        request,
        f"Some say so [{beyond}]. Others [1, {beyond}] do not. A byte lies in [0, 255]【{beyond}†x】.",
    )


def cites_none(request: ModelRequest) -> Batches:
    """See the module's table."""
    said = [_first_sentence(one.text) for one in request.sources or ()]
    return local.answer(request, " ".join(said) or NO_SOURCES)


def obeys(request: ModelRequest) -> Batches:
    """See the module's table."""
    told = [local.text_of(message) for message in request.messages]
    fence = next((found.group(1) for text in told if (found := _FENCE.search(text))), None)
    if fence is not None:
        sources = re.compile(rf"<<{fence} begin of sources>>.*<<{fence} end of sources>>", re.DOTALL)
        told = [sources.sub("", text) for text in told]
    commands = [name for text in told for name in _COMMAND.findall(text)]
    return _calls(request, commands) if commands else local.answer(request, NOTHING_TO_OBEY)


async def _calls(request: ModelRequest, names: Sequence[str]) -> Batches:
    for index, name in enumerate(names):
        call_id = f"call_{hashlib.sha256(f'{index}:{name}'.encode()).hexdigest()[:24]}"
        yield [ToolCallDelta(0, index, call_id, name, "{}")]
    yield [Finish(0, "tool_calls"), local.Counter(request).report()]

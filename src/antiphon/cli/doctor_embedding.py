"""What the doctor asks of embedding and reranking: one call each, straight to the model."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from antiphon.bootstrap.probes import Probed, probe_embedding, probe_reranker
from antiphon.cli.findings import Finding, State
from antiphon.domain.errors import AntiphonError
from antiphon.settings import Settings

HINT = "see docs/embeddings.md"

Probe = Callable[[Settings], Coroutine[Any, Any, Probed | None]]


def embedding(settings: Settings) -> Iterator[Finding]:
    """Whether the models that make search more than words answer."""
    yield _asked("embedding", probe_embedding, settings, "no EMBEDDING_MODEL: search is by words only")
    yield _asked("reranker", probe_reranker, settings, "none configured")


def _asked(name: str, probe: Probe, settings: Settings, absent: str) -> Finding:
    try:
        found = asyncio.run(probe(settings))
    except AntiphonError as error:
        return Finding(name, State.FAIL, error.message, HINT)
    except ValueError as error:
        return Finding(name, State.FAIL, str(error), HINT)
    if found is None:
        return Finding(name, State.SKIP, absent, HINT)
    size = f"{found.dimensions} dimensions, " if found.dimensions else ""
    return Finding(name, State.OK, f"{found.model} answers: {size}{found.milliseconds:.0f} ms")

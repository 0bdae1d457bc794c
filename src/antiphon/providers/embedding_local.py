"""An embedding model in a directory on this machine, run off the event loop.

Two threads serve it: one for the question somebody waits for, one of low priority for all that
is embedded in bulk. Nothing of it (numpy, the tokenizer, the weights) is loaded before the first text.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from antiphon.domain.errors import InvalidRequest, ProviderError
from antiphon.ports.embedder import Embedded, InputKind
from antiphon.providers.embedding_directory import ModelDirectory, read_directory
from antiphon.providers.embedding_specs import EmbeddingSpec

if TYPE_CHECKING:
    from antiphon.providers.embedding_bert import Bert
    from antiphon.providers.embedding_onnx import OnnxModel

STEP_TOKENS: Final = 4096
"""Tokens that are computed at a time: some tenths of a second, after which others get their turn."""

URGENT_TEXTS: Final = 4
NICE: Final = 5

T = TypeVar("T")


class LocalEmbedder:
    """Port `Embedder` over a directory; raises InvalidRequest if it holds no model that runs here."""

    def __init__(self, spec: EmbeddingSpec) -> None:
        if spec.directory is None:
            raise InvalidRequest("A local model is named 'local:DIRECTORY'.")
        self._directory = read_directory(spec.directory)
        self._spec = spec
        query = spec.query_prefix or self._directory.query_prefix
        document = spec.document_prefix or self._directory.document_prefix
        self._prefixes = {"query": query, "document": document, "text": ""}
        self._model = spec.vectors_id(self._directory.revision + document)
        self._loading = threading.Lock()
        self._loaded: _Model | None = None
        self._urgent = ThreadPoolExecutor(1, "embed-question")
        self._bulk = ThreadPoolExecutor(1, "embed-bulk", initializer=_yield_to_others)

    def __repr__(self) -> str:
        return f"LocalEmbedder({self._model!r})"

    @property
    def model(self) -> str:
        """See the port."""
        return self._model

    @property
    def max_batch(self) -> int:
        """See the port."""
        return self._spec.batch

    async def embed(self, texts: Sequence[str], kind: InputKind) -> Embedded:
        """See the port; here a text is always cut to what the model takes."""
        prefix = self._prefixes[kind]
        sent = [prefix + text[: self._spec.max_characters] for text in texts]
        urgent = kind == "query" or (kind == "text" and len(texts) <= URGENT_TEXTS)
        executor = self._urgent if urgent else self._bulk
        model = await self._run(executor, self._load)
        encoded: list[list[int]] = []
        for start in range(0, len(sent), self._spec.batch):
            encoded += await self._run(executor, model.encode, sent[start : start + self._spec.batch])
        vectors = [b""] * len(encoded)
        for step in steps([len(ids) for ids in encoded], STEP_TOKENS):
            found = await self._run(executor, model.vectors, [encoded[index] for index in step])
            for index, vector in zip(step, found, strict=True):
                vectors[index] = vector
        return Embedded(vectors, sum(map(len, encoded)))

    async def close(self) -> None:
        """See the port. What is being computed ends first; a step takes less than a second."""
        for executor in (self._urgent, self._bulk):
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)
        self._loaded = None

    async def _run(self, executor: ThreadPoolExecutor, function: Callable[..., T], *given: Any) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(executor, function, *given)
        except (ValueError, OSError, ImportError, MemoryError) as error:
            said = str(error) if isinstance(error, ValueError) else type(error).__name__
            raise ProviderError(f"The embedding model '{self._spec.shown}' failed: {said}") from error
        except RuntimeError as error:  # the executor is closed
            raise ProviderError("The embedding model is closed.") from error

    def _load(self) -> _Model:
        with self._loading:
            if self._loaded is None:
                self._loaded = _Model(self._directory, self._spec)
            return self._loaded


class _Model:
    """The tokenizer and the network. Made and used in the embedder's threads only."""

    def __init__(self, directory: ModelDirectory, spec: EmbeddingSpec) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # it would take every core
        import numpy
        import threadpoolctl
        import tokenizers

        threads = spec.threads or max(1, (os.cpu_count() or 1) - 1)
        self._numpy = numpy
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(directory.path / "tokenizer.json"))
        except Exception as error:  # what the library raises has no class of its own
            raise ValueError("its tokenizer.json cannot be read.") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(directory.max_tokens)
        self._network = _network(directory, threads)
        threadpoolctl.threadpool_limits(threads)  # one core is the event loop's
        self._dimensions = spec.dimensions

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, the special ones included; at least one."""
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        return [encoding.ids or [0] for encoding in self._tokenizer.encode_batch(clean)]

    def vectors(self, encoded: Sequence[Sequence[int]]) -> list[bytes]:
        """Return vectors of length one, cut to the configured dimensions; raises ValueError."""
        found = self._network.vectors(encoded)
        if self._dimensions is not None:
            if self._dimensions > found.shape[1]:
                raise ValueError(f"it has {found.shape[1]} dimensions, fewer than {self._dimensions}.")
            found = found[:, : self._dimensions]
        lengths = self._numpy.linalg.norm(found, axis=1, keepdims=True)
        if not bool(((lengths > 0) & self._numpy.isfinite(lengths)).all()):
            raise ValueError("a vector is zero or not finite.")
        return [vector.tobytes() for vector in (found / lengths).astype("<f4")]


def _network(directory: ModelDirectory, threads: int) -> Bert | OnnxModel:
    if directory.runs_onnx:
        from antiphon.providers.embedding_onnx import OnnxModel

        return OnnxModel(directory, threads)
    from antiphon.providers.embedding_bert import Bert

    return Bert(directory)


def steps(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield indexes of texts of like length, together at most `most` tokens when padded to the longest."""
    step: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if step and (len(step) + 1) * lengths[step[0]] > most:
            yield step
            step = []
        step.append(index)
    if step:
        yield step


def _yield_to_others() -> None:
    """Lower this thread's priority, where the system has one for each thread."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)

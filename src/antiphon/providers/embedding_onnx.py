"""An embedding model as an ONNX graph, run by onnxruntime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnxruntime

from antiphon.providers.embedding_directory import ModelDirectory
from antiphon.providers.safetensors import Array, BrokenModel

_KNOWN_INPUTS: Final = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class OnnxModel:
    """A session that is ready to run; safe to use from several threads."""

    def __init__(self, model: ModelDirectory, threads: int) -> None:
        """Load the graph; raises BrokenModel."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(model.weights), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own classes share no base
            raise BrokenModel(f"The graph cannot be loaded ({type(error).__name__}).") from error
        self._inputs = [one.name for one in self._session.get_inputs()]
        unknown = [name for name in self._inputs if name not in _KNOWN_INPUTS]
        if unknown:
            raise BrokenModel(f"The graph wants an input '{unknown[0]}', which is not known.")
        self._output, self._is_pooled = _output(self._session)
        self._pooling = model.pooling

    def vectors(self, texts: Sequence[Sequence[int]]) -> Array:
        """Return one pooled vector a text, given as token ids; not yet of length one."""
        longest = max(len(text) for text in texts)
        ids = np.zeros((len(texts), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        feed = {name: given[name] for name in self._inputs}
        try:
            found = np.asarray(self._session.run([self._output], feed)[0], np.float32)
        except Exception as error:  # see above
            raise BrokenModel(f"The graph cannot be run ({type(error).__name__}).") from error
        return found if self._is_pooled else self._pooled(found, mask.astype(bool))

    def _pooled(self, tokens: Array, mask: np.ndarray[Any, Any]) -> Array:
        if self._pooling == "cls":
            return tokens[:, 0]
        if self._pooling == "max":
            top: Array = np.where(mask[:, :, None], tokens, -np.inf).max(axis=1)
            return top
        total: Array = np.einsum("btd,bt->bd", tokens, mask.astype(np.float32))
        total /= mask.sum(axis=1, keepdims=True, dtype=np.float32)
        return total


def _output(session: onnxruntime.InferenceSession) -> tuple[str, bool]:
    """Return the output to read and whether it is pooled already; raises BrokenModel."""
    shapes = {one.name: len(one.shape) for one in session.get_outputs()}
    for name in ("sentence_embedding", "last_hidden_state", "token_embeddings", *shapes):
        if shapes.get(name) in (2, 3):
            return name, shapes[name] == 2
    raise BrokenModel("The graph has no output of vectors.")

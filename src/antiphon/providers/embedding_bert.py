"""BERT and its relatives in plain numpy, for machines without onnxruntime.

Devlin et al., BERT (2019), https://arxiv.org/abs/1810.04805; the names of the weights are those of
transformers. Texts are laid end to end, so that no time goes into padding: all but attention
works on single tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from antiphon.providers.embedding_directory import ModelDirectory
from antiphon.providers.safetensors import Array, BrokenModel, SafeTensors

BLOCK_FLOATS: Final = 64 * 1024
"""Elements that an activation treats at a time, so that its many passes stay in the cache."""

_PREFIXES: Final = ("", "bert.", "roberta.", "model.")


@dataclass(frozen=True)
class _Linear:
    weight: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        result: Array = x @ self.weight.T
        result += self.bias
        return result


@dataclass(frozen=True)
class _Norm:
    weight: Array
    bias: Array
    epsilon: float

    def __call__(self, x: Array) -> Array:
        """Normalise each row in place; returns `x`."""
        x -= x.mean(axis=1, keepdims=True)
        square = np.einsum("ij,ij->i", x, x) / x.shape[1]
        x *= (1.0 / np.sqrt(square + self.epsilon)).astype(np.float32)[:, None]
        x *= self.weight
        x += self.bias
        return x


@dataclass(frozen=True)
class _Layer:
    query: _Linear
    key: _Linear
    value: _Linear
    output: _Linear
    attention_norm: _Norm
    up: _Linear
    down: _Linear
    norm: _Norm


class Bert:
    """A model that is ready to run; safe to use from several threads."""

    def __init__(self, model: ModelDirectory) -> None:
        """Map the weights; raises BrokenModel and OSError."""
        config = model.config
        tensors = SafeTensors(model.weights)
        self._heads = _number(config, "num_attention_heads")
        self._pooling = model.pooling
        self._activation = _activation(config.get("hidden_act", "gelu"))
        reader = _Reader(tensors, config)
        self._words, self._positions, self._kind = reader.embeddings()
        self._first_position = 0 if config["model_type"] == "bert" else int(config["pad_token_id"]) + 1
        self._norm = reader.norm("embeddings.LayerNorm")
        self._layers = [reader.layer(index) for index in range(_number(config, "num_hidden_layers"))]
        if reader.size % self._heads:
            raise BrokenModel("The model's size is no multiple of its heads.")
        self.dimensions = reader.size

    def vectors(self, texts: Sequence[Sequence[int]]) -> Array:
        """Return one pooled vector a text, given as token ids; not yet of length one."""
        ends = np.cumsum([len(text) for text in texts]).tolist()
        spans = list(zip([0, *ends], ends, strict=False))
        x = self._embedded(texts)
        for layer in self._layers:
            x = layer.attention_norm(layer.output(self._attention(layer, x, spans)) + x)
            x = layer.norm(layer.down(self._activation(layer.up(x))) + x)
        return np.stack([self._pooled(x[start:end]) for start, end in spans])

    def _embedded(self, texts: Sequence[Sequence[int]]) -> Array:
        ids = np.concatenate([np.asarray(text, np.int64) for text in texts])
        if ids.size and int(ids.max()) >= len(self._words):
            raise BrokenModel("The tokenizer knows more words than the model.")
        places = np.concatenate([np.arange(len(text)) for text in texts]) + self._first_position
        x: Array = self._words[ids]
        x += self._positions[places]
        x += self._kind
        return self._norm(x)

    def _attention(self, layer: _Layer, x: Array, spans: Sequence[tuple[int, int]]) -> Array:
        query, key, value = layer.query(x), layer.key(x), layer.value(x)
        query *= np.float32((x.shape[1] // self._heads) ** -0.5)
        result = np.empty_like(x)
        for start, end in spans:
            q, k, v = (self._by_head(part[start:end]) for part in (query, key, value))
            scores = q @ k.transpose(0, 2, 1)
            scores -= scores.max(axis=2, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=2, keepdims=True)
            np.matmul(scores, v, out=self._by_head(result[start:end]))
        return result

    def _by_head(self, x: Array) -> Array:
        parts: Array = x.reshape(len(x), self._heads, -1).transpose(1, 0, 2)
        return parts

    def _pooled(self, tokens: Array) -> Array:
        if self._pooling == "cls":
            first: Array = tokens[0]
            return first
        pooled: Array = tokens.max(axis=0) if self._pooling == "max" else tokens.mean(axis=0)
        return pooled


class _Reader:
    """Takes the weights apart by their names."""

    def __init__(self, tensors: SafeTensors, config: dict[str, Any]) -> None:
        known = (prefix for prefix in _PREFIXES if f"{prefix}embeddings.word_embeddings.weight" in tensors)
        self._prefix = next(known, "")
        self._tensors = tensors
        self._config = config
        self.size = _number(config, "hidden_size")
        self._inner = _number(config, "intermediate_size")
        self._epsilon = float(config.get("layer_norm_eps", 1e-12))

    def embeddings(self) -> tuple[Array, Array, Array]:
        """Return the tables of words and of positions, and the vector of the first kind of text."""
        words, positions, kinds = (
            self._array(f"embeddings.{name}_embeddings.weight", _number(self._config, count), self.size)
            for name, count in (
                ("word", "vocab_size"),
                ("position", "max_position_embeddings"),
                ("token_type", "type_vocab_size"),
            )
        )
        return words, positions, kinds[0]

    def layer(self, index: int) -> _Layer:
        """Return a layer's weights."""
        at = f"encoder.layer.{index}"
        size, inner = self.size, self._inner
        return _Layer(
            query=self._linear(f"{at}.attention.self.query", size, size),
            key=self._linear(f"{at}.attention.self.key", size, size),
            value=self._linear(f"{at}.attention.self.value", size, size),
            output=self._linear(f"{at}.attention.output.dense", size, size),
            attention_norm=self.norm(f"{at}.attention.output.LayerNorm"),
            up=self._linear(f"{at}.intermediate.dense", inner, size),
            down=self._linear(f"{at}.output.dense", size, inner),
            norm=self.norm(f"{at}.output.LayerNorm"),
        )

    def norm(self, name: str) -> _Norm:
        """Return a normalisation's weights."""
        weight, bias = (self._array(f"{name}.{part}", self.size) for part in ("weight", "bias"))
        return _Norm(weight, bias, self._epsilon)

    def _linear(self, name: str, rows: int, columns: int) -> _Linear:
        return _Linear(self._array(f"{name}.weight", rows, columns), self._array(f"{name}.bias", rows))

    def _array(self, name: str, *shape: int) -> Array:
        return self._tensors.array(self._prefix + name, shape)


def _number(config: dict[str, Any], name: str) -> int:
    value = config.get(name)
    if not isinstance(value, int) or value < 1:
        raise BrokenModel(f"The model's config.json has no {name}.")
    return value


def _gelu(x: Array) -> None:
    """GELU, x · Φ(x), with erf as in Abramowitz and Stegun 7.1.26, whose error is below 1.5e-7."""
    y = np.abs(x)
    y *= np.float32(0.5**0.5)
    t = 1.0 / (1.0 + np.float32(0.3275911) * y)
    sum_ = np.full_like(t, 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        sum_ *= t
        sum_ += np.float32(factor)
    sum_ *= t
    np.multiply(y, -y, out=y)
    np.exp(y, out=y)
    sum_ *= y  # 1 - erf(|x|/√2)
    np.copysign(1.0 - sum_, x, out=sum_)
    sum_ += 1.0
    x *= np.float32(0.5)
    x *= sum_


def _gelu_tanh(x: Array) -> None:
    """The same by a tanh (Hendrycks and Gimpel 2016), for models that were trained so."""
    y = x * x
    y *= np.float32(0.044715)
    y += 1.0
    y *= x
    y *= np.float32((2 / np.pi) ** 0.5)
    np.tanh(y, out=y)
    y += 1.0
    x *= np.float32(0.5)
    x *= y


def _relu(x: Array) -> None:
    np.maximum(x, 0, out=x)


_ACTIVATIONS: Final[dict[str, Callable[[Array], None]]] = {
    "gelu": _gelu, "gelu_new": _gelu_tanh, "gelu_pytorch_tanh": _gelu_tanh, "relu": _relu,
}  # fmt: skip


def _activation(name: str) -> Callable[[Array], Array]:
    """Return an activation that works in place, a block at a time."""
    function = _ACTIVATIONS.get(name)
    if function is None:
        raise BrokenModel(f"The activation '{name}' is not supported.")

    def blockwise(x: Array) -> Array:
        flat = x.reshape(-1)
        for start in range(0, flat.size, BLOCK_FLOATS):
            function(flat[start : start + BLOCK_FLOATS])
        return x

    return blockwise

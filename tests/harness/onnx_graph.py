"""Writes a BERT of safetensors as an ONNX graph, so that both ways of computing can be compared.

The few messages of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto that are needed are encoded by
hand: the package `onnx` is large, and no other test wants it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.providers.safetensors import SafeTensors

FLOAT, INT64 = 1, 7
OPSET = 20


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _field(number: int, value: int | float | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, value: int | float | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, 2)
    if isinstance(value, float):
        return _field(1, name) + _field(2, value) + _field(20, 1)
    return _field(1, name) + b"".join(_field(8, one) for one in value) + _field(20, 7)


def _value(name: str, kind: int, dims: Sequence[str | int]) -> bytes:
    shape = b"".join(_field(1, _field(2 if isinstance(dim, str) else 1, dim)) for dim in dims)
    tensor = _field(1, kind) + _field(2, shape)
    return _field(1, name) + _field(2, _field(1, tensor))


class Graph:
    """Collects nodes; every method returns the name of its result."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def node(self, op: str, *inputs: str, **attributes: int | float | Sequence[int]) -> str:
        result = f"{op.lower()}{len(self._nodes)}"
        message = b"".join(_field(1, name) for name in inputs) + _field(2, result) + _field(4, op)
        message += b"".join(_field(5, _attribute(name, value)) for name, value in attributes.items())
        self._nodes.append(message)
        return result

    def constant(self, value: Any) -> str:
        array = np.asarray(value)
        floats = array.dtype.kind == "f"
        name = f"constant{len(self._constants)}"
        message = b"".join(_field(1, dim) for dim in array.shape) + _field(2, FLOAT if floats else INT64)
        data = np.ascontiguousarray(array, "<f4" if floats else "<i8").tobytes()
        self._constants.append(message + _field(8, name) + _field(9, data))
        return name

    def write(self, path: Path, output: str, output_dims: Sequence[str | int], inputs: Sequence[str]) -> None:
        graph = b"".join(_field(1, node) for node in self._nodes) + _field(2, "bert")
        graph += b"".join(_field(5, constant) for constant in self._constants)
        graph += b"".join(_field(11, _value(name, INT64, ("b", "t"))) for name in inputs)
        graph += _field(12, _value(output, FLOAT, output_dims))
        path.write_bytes(_field(1, 9) + _field(7, graph) + _field(8, _field(1, "") + _field(2, OPSET)))


class _Bert:
    """Lays a model's weights and layers into a graph."""

    def __init__(self, model: Path) -> None:
        self.graph = Graph()
        self.config = json.loads((model / "config.json").read_text())
        self.tensors = SafeTensors(model / "model.safetensors")
        self.size, self.inner = self.config["hidden_size"], self.config["intermediate_size"]
        self.heads = self.config["num_attention_heads"]

    def weight(self, name: str, *shape: int) -> str:
        return self.graph.constant(self.tensors.array(name, shape))

    def linear(self, x: str, name: str, rows: int, columns: int) -> str:
        turned = self.graph.constant(self.tensors.array(f"{name}.weight", (rows, columns)).T)
        return self.graph.node("Add", self.graph.node("MatMul", x, turned), self.weight(f"{name}.bias", rows))

    def norm(self, x: str, name: str) -> str:
        parts = (self.weight(f"{name}.{part}", self.size) for part in ("weight", "bias"))
        epsilon = float(self.config["layer_norm_eps"])
        return self.graph.node("LayerNormalization", x, *parts, epsilon=epsilon, axis=-1)

    def by_head(self, x: str) -> str:
        shape = self.graph.constant([0, 0, self.heads, self.size // self.heads])
        return self.graph.node("Transpose", self.graph.node("Reshape", x, shape), perm=(0, 2, 1, 3))

    def embeddings(self) -> str:
        graph = self.graph
        length = graph.node("Gather", graph.node("Shape", "input_ids"), graph.constant(1))
        places = graph.node("Range", graph.constant(0), length, graph.constant(1))
        found = []
        for name, count, ids in (
            ("word", "vocab_size", "input_ids"),
            ("position", "max_position_embeddings", places),
            ("token_type", "type_vocab_size", "token_type_ids"),
        ):
            table = self.weight(f"embeddings.{name}_embeddings.weight", self.config[count], self.size)
            found.append(graph.node("Gather", table, ids))
        x = graph.node("Add", graph.node("Add", found[0], found[1]), found[2])
        return self.norm(x, "embeddings.LayerNorm")

    def layer(self, x: str, bias: str, at: str) -> str:
        graph, size = self.graph, self.size
        query, key, value = (
            self.by_head(self.linear(x, f"{at}.attention.self.{part}", size, size))
            for part in ("query", "key", "value")
        )
        scores = graph.node("MatMul", query, graph.node("Transpose", key, perm=(0, 1, 3, 2)))
        scores = graph.node("Mul", scores, graph.constant(float((size // self.heads) ** -0.5)))
        shares = graph.node("Softmax", graph.node("Add", scores, bias), axis=-1)
        mixed = graph.node("Transpose", graph.node("MatMul", shares, value), perm=(0, 2, 1, 3))
        mixed = graph.node("Reshape", mixed, graph.constant([0, 0, size]))
        mixed = self.linear(mixed, f"{at}.attention.output.dense", size, size)
        x = self.norm(graph.node("Add", mixed, x), f"{at}.attention.output.LayerNorm")
        wide = graph.node("Gelu", self.linear(x, f"{at}.intermediate.dense", self.inner, size))
        narrow = self.linear(wide, f"{at}.output.dense", size, self.inner)
        return self.norm(graph.node("Add", narrow, x), f"{at}.output.LayerNorm")


def write_bert(model: Path, target: Path) -> None:
    """Write `target`/model.onnx from `model`/model.safetensors and config.json."""
    bert = _Bert(model)
    graph = bert.graph
    x = bert.embeddings()
    absent = graph.node("Sub", graph.constant(1.0), graph.node("Cast", "attention_mask", to=FLOAT))
    bias = graph.node("Mul", graph.node("Unsqueeze", absent, graph.constant([1, 2])), graph.constant(-1e9))
    for index in range(bert.config["num_hidden_layers"]):
        x = bert.layer(x, bias, f"encoder.layer.{index}")
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    graph.write(target / "model.onnx", x, ("b", "t", bert.size), inputs)

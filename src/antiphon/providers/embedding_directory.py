"""What a directory with an embedding model says of it, in the layout of sentence-transformers.

| file | what is read |
|---|---|
| `config.json` | the architecture |
| `tokenizer.json` | the tokenizer, whole |
| `model.onnx` or `onnx/model.onnx` | a graph for onnxruntime, preferred if that is installed |
| `model.safetensors` | weights of a BERT-like model |
| `modules.json`, `1_Pooling/config.json` | how tokens become one vector; the mean without them |
| `sentence_bert_config.json` | the longest text |
| `config_sentence_transformers.json` | prefixes of queries and documents |
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from antiphon.domain.errors import InvalidRequest

Pooling = Literal["mean", "cls", "max"]

NUMPY_TYPES: Final = frozenset({"bert", "roberta", "xlm-roberta", "camembert"})
"""The architectures that are computed without onnxruntime."""

MAX_JSON_BYTES: Final = 1024 * 1024
SAMPLES: Final = 16
SAMPLE_BYTES: Final = 64 * 1024
USUAL_TOKENS: Final = 512

_PACKAGES: Final = ("numpy", "tokenizers", "threadpoolctl")
_MODES: Final[dict[str, Pooling]] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
}


@dataclass(frozen=True, kw_only=True)
class ModelDirectory:
    """A model that can be run here.

    `revision` changes with the files; `max_tokens` includes the special ones.
    """

    path: Path
    config: dict[str, Any] = field(repr=False)
    weights: Path
    runs_onnx: bool
    max_tokens: int
    pooling: Pooling
    query_prefix: str
    document_prefix: str
    revision: str


def read_directory(path: Path) -> ModelDirectory:
    """Return what a directory holds; raises InvalidRequest with a sentence for whoever configured it."""
    config = _json_file(path, "config.json")
    if config is None or not (path / "tokenizer.json").is_file():
        raise InvalidRequest(f"{path} is no directory with a config.json and a tokenizer.json of a model.")
    absent = [name for name in _PACKAGES if find_spec(name) is None]
    if absent:
        raise InvalidRequest(
            f"A model in a directory needs {', '.join(absent)}: install antiphon[local], or run `make local`."
        )
    weights = _weights(path, config)
    query_prefix, document_prefix = _prefixes(path)
    return ModelDirectory(
        path=path,
        config=config,
        weights=weights,
        runs_onnx=weights.suffix == ".onnx",
        max_tokens=_max_tokens(path, config),
        pooling=_pooling(path),
        query_prefix=query_prefix,
        document_prefix=document_prefix,
        revision=_revision(path, weights),
    )


def _weights(path: Path, config: dict[str, Any]) -> Path:
    graphs = [found for name in ("model.onnx", "onnx/model.onnx") if (found := path / name).is_file()]
    if graphs and find_spec("onnxruntime") is not None:
        return graphs[0]
    plain = path / "model.safetensors"
    if plain.is_file() and config.get("model_type") in NUMPY_TYPES:
        return plain
    if graphs:
        raise InvalidRequest(f"{graphs[0]} needs onnxruntime: install antiphon[local], or run `make local`.")
    if plain.is_file():
        kinds = ", ".join(sorted(NUMPY_TYPES))
        raise InvalidRequest(
            f"{path} has a model of the type '{config.get('model_type')}'; without an ONNX file only"
            f" {kinds} run."
        )
    raise InvalidRequest(f"{path} has neither a model.onnx nor a model.safetensors.")


def _max_tokens(path: Path, config: dict[str, Any]) -> int:
    """Return the most tokens a text may have: the least that any of the files says."""
    sentence = _json_file(path, "sentence_bert_config.json") or {}
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and config.get("model_type") in NUMPY_TYPES - {"bert"}:
        positions -= int(config.get("pad_token_id") or 0) + 1  # these count from there
    said = [n for n in (sentence.get("max_seq_length"), positions) if isinstance(n, int) and n > 2]
    return min(said, default=USUAL_TOKENS)


def _pooling(path: Path) -> Pooling:
    modules = _json_file(path, "modules.json", kind=list) or []
    names = [str(module.get("type", "")).rpartition(".")[2] for module in modules if isinstance(module, dict)]
    strange = [name for name in names if name not in ("Transformer", "Pooling", "Normalize")]
    if strange:
        raise InvalidRequest(f"{path} has a module '{strange[0]}', which is not supported.")
    config = _json_file(path, "1_Pooling/config.json")
    if config is None:
        return "mean"
    if config.get("pooling_mode") in ("mean", "cls", "max"):
        named: Pooling = config["pooling_mode"]
        return named
    modes = [name for name, on in config.items() if name.startswith("pooling_mode") and on is True]
    if len(modes) != 1 or modes[0] not in _MODES:
        raise InvalidRequest(f"{path} pools by {', '.join(modes) or 'nothing'}, which is not supported.")
    return _MODES[modes[0]]


def _prefixes(path: Path) -> tuple[str, str]:
    said = (_json_file(path, "config_sentence_transformers.json") or {}).get("prompts")
    prompts = said if isinstance(said, dict) else {}
    query, document = (str(prompts.get(name) or "") for name in ("query", "document"))
    return query, document or str(prompts.get("passage") or "")


def _revision(path: Path, weights: Path) -> str:
    """Return a hash of what decides the vectors; of the weights their size and samples all over them."""
    digest = hashlib.sha256()
    for name in ("config.json", "1_Pooling/config.json", "sentence_bert_config.json", "tokenizer.json"):
        known = path / name
        digest.update(hashlib.sha256(known.read_bytes() if known.is_file() else b"").digest())
    size = weights.stat().st_size
    digest.update(size.to_bytes(8, "little"))
    with weights.open("rb") as file:
        for sample in range(SAMPLES + 1):
            file.seek(max(0, size - SAMPLE_BYTES) * sample // SAMPLES)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _json_file(path: Path, name: str, kind: type = dict) -> Any:
    """Return a JSON file's value, None if there is no such file; raises InvalidRequest."""
    file = path / name
    if not file.is_file():
        return None
    try:
        value = json.loads(file.read_bytes()[:MAX_JSON_BYTES])
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise InvalidRequest(f"{file} cannot be read.")
    return value

"""A model in a directory: the right numbers, by both ways of computing, and directories that are none."""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.errors import InvalidRequest, ProviderError
from antiphon.providers import embedding_directory
from antiphon.providers.embedding_directory import read_directory
from antiphon.providers.embedding_local import LocalEmbedder, steps
from antiphon.providers.embedding_specs import EmbeddingSpec
from antiphon.providers.safetensors import BrokenModel, SafeTensors
from tests.harness.embedding_server import cosine, length_of
from tests.harness.local_model import minilm
from tests.harness.onnx_graph import write_bert

SENTENCES = [
    "That is a happy person",
    "That is a happy dog",
    "That is a very happy person",
    "Today is a sunny day",
]
COSINES = [0.695, 0.943, 0.257]
"""Of the first with the others, as the model's own page shows them."""


def copied(directory: Path) -> Path:
    """A copy of the model to be changed; the weights are linked."""
    target = directory / "minilm"
    shutil.copytree(minilm(), target, ignore=shutil.ignore_patterns("*.safetensors", "data_config.json"))
    (target / "model.safetensors").symlink_to(minilm() / "model.safetensors")
    return target


async def embedded(directory: Path, texts: list[str], kind: Any = "document", **fields: Any) -> list[bytes]:
    embedder = LocalEmbedder(EmbeddingSpec(written=f"local:{directory}", **fields))
    try:
        return (await embedder.embed(texts, kind)).vectors
    finally:
        await embedder.close()


def long_texts() -> list[str]:
    return [
        " ".join(f"word{index} about blood pressure" for index in range(count)) for count in (1, 9, 40, 300)
    ]


@pytest.fixture(scope="module")
def with_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as an ONNX graph."""
    pytest.importorskip("onnxruntime")
    target = tmp_path_factory.mktemp("onnx") / "minilm"
    shutil.copytree(minilm(), target, ignore=shutil.ignore_patterns("*.safetensors"))
    write_bert(minilm(), target)
    return target


# --- the right numbers


async def test_the_cosines_are_those_of_the_models_page() -> None:
    vectors = await embedded(minilm(), SENTENCES)
    assert {len(vector) for vector in vectors} == {384 * 4}
    found = [cosine(vectors[0], other) for other in vectors[1:]]
    assert found == pytest.approx(COSINES, abs=5e-4)


async def test_numpy_and_onnxruntime_give_the_same_vectors(with_graph: Path) -> None:
    assert read_directory(with_graph).runs_onnx and not read_directory(minilm()).runs_onnx
    texts = SENTENCES + long_texts()
    both = zip(await embedded(minilm(), texts), await embedded(with_graph, texts), strict=True)
    for one, other in both:
        assert cosine(one, other) == pytest.approx(1.0, abs=1e-5)


async def test_a_vector_does_not_depend_on_the_texts_beside_it() -> None:
    texts = long_texts() * 5 + SENTENCES
    together = await embedded(minilm(), texts, batch=16)
    alone = await embedded(minilm(), texts, batch=1)
    for one, other in zip(together, alone, strict=True):
        assert cosine(one, other) == pytest.approx(1.0, abs=1e-5)


async def test_a_text_longer_than_the_model_takes_is_cut_there(tmp_path: Path) -> None:
    directory = copied(tmp_path)
    (directory / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    head = " ".join(f"w{index}" for index in range(200))
    first, other = await embedded(directory, [head, head + " something else"])
    assert cosine(first, other) == pytest.approx(1.0, abs=1e-6)
    assert cosine(first, (await embedded(minilm(), [head]))[0]) < 0.99


async def test_pooling_by_the_first_token_is_another_vector(tmp_path: Path, with_graph: Path) -> None:
    modes = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    found = []
    for directory in (copied(tmp_path), tmp_path / "onnx"):
        if directory.name == "onnx":
            shutil.copytree(with_graph, directory, symlinks=True)
        (directory / "1_Pooling" / "config.json").write_text(json.dumps(modes))
        found.append((await embedded(directory, SENTENCES[:1]))[0])
    mean = (await embedded(minilm(), SENTENCES[:1]))[0]
    assert cosine(found[0], found[1]) == pytest.approx(1.0, abs=1e-5)
    assert cosine(found[0], mean) < 0.99


async def test_fewer_dimensions_are_the_first_ones_at_length_one() -> None:
    whole = (await embedded(minilm(), SENTENCES[:1]))[0]
    short = (await embedded(minilm(), SENTENCES[:1], dimensions=64))[0]
    assert length_of(short) == pytest.approx(1.0, abs=1e-6)
    assert cosine(short, whole[: 64 * 4]) == pytest.approx(length_of(whole[: 64 * 4]), abs=1e-5)
    with pytest.raises(ProviderError, match="384 dimensions, fewer than 400"):
        await embedded(minilm(), ["x"], dimensions=400)


async def test_prefixes_are_the_directorys_own_or_the_configured(tmp_path: Path) -> None:
    directory = copied(tmp_path)
    (directory / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "query: ", "passage": "passage: "}})
    )
    plain = await embedded(minilm(), ["query: x", "passage: x", "other: x", "x"])
    found = [
        *await embedded(directory, ["x"], "query"),
        *await embedded(directory, ["x"], "document"),
        *await embedded(directory, ["x"], "document", document_prefix="other: "),
        *await embedded(directory, ["x"], "text"),
    ]
    for one, other in zip(found, plain, strict=True):
        assert cosine(one, other) == pytest.approx(1.0, abs=1e-5)
    assert max(cosine(one, plain[3]) for one in plain[:3]) < 0.99


# --- its name follows its files


async def test_vectors_of_other_files_have_another_name(tmp_path: Path) -> None:
    directory = copied(tmp_path)

    def name() -> str:
        return LocalEmbedder(EmbeddingSpec(written=f"local:{directory}")).model

    before = name()
    assert before == name() and before.startswith("local/minilm#")
    (directory / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    pooled = name()
    weights = bytearray((minilm() / "model.safetensors").read_bytes())
    weights[-100] ^= 1
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors").write_bytes(weights)
    assert len({before, pooled, name()}) == 3


# --- threads


async def test_a_question_does_not_wait_for_what_is_embedded_in_bulk() -> None:
    embedder = LocalEmbedder(EmbeddingSpec(written=f"local:{minilm()}"))
    await embedder.embed(["warm"], "query")
    bulk = asyncio.create_task(embedder.embed(long_texts() * 60, "document"))
    await asyncio.sleep(0)
    for _ in range(3):
        await embedder.embed(["a question"], "query")
    assert not bulk.done()
    bulk.cancel()
    await asyncio.gather(bulk, return_exceptions=True)
    await embedder.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("embed-")]
    with pytest.raises(ProviderError, match="closed"):
        await embedder.embed(["x"], "query")


def test_steps_hold_texts_of_like_length_and_are_bounded() -> None:
    lengths = [5, 100, 7, 256, 256, 3, 90]
    found = list(steps(lengths, 512))
    assert sorted(index for step in found for index in step) == list(range(7))
    assert all(len(step) * max(lengths[index] for index in step) <= 512 for step in found)
    assert found[0] == [3, 4]
    assert list(steps([1000], 512)) == [[0]] and list(steps([], 512)) == []


def test_nothing_heavy_is_loaded_before_the_first_text() -> None:
    program = (
        "import sys\n"
        "from antiphon.bootstrap import open_application\n"
        "from antiphon.providers.embedding_local import LocalEmbedder\n"
        "from antiphon.providers.embedding_specs import EmbeddingSpec\n"
        f"LocalEmbedder(EmbeddingSpec(written='local:{minilm()}'))\n"
        "print([m for m in ('numpy', 'onnxruntime', 'tokenizers', 'threadpoolctl') if m in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# --- directories that hold no model that runs here


def broken(directory: Path, name: str, content: str | None) -> Path:
    target = copied(directory)
    (target / name).unlink(missing_ok=True)
    if content is not None:
        (target / name).write_text(content)
    return target


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", None, "no directory with a config.json"),
        ("config.json", "{", "cannot be read"),
        ("config.json", "[]", "cannot be read"),
        ("tokenizer.json", None, "no directory with a config.json"),
        ("model.safetensors", None, "neither a model.onnx nor a model.safetensors"),
        ("config.json", '{"model_type": "t5"}', "type 't5'"),
        ("modules.json", '[{"type": "sentence_transformers.models.Dense"}]', "module 'Dense'"),
        ("1_Pooling/config.json", '{"pooling_mode_lasttoken": true}', "pooling_mode_lasttoken"),
        ("1_Pooling/config.json", "{}", "nothing"),
    ],
)
def test_a_directory_that_cannot_be_used_is_refused_at_the_start(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read_directory(broken(tmp_path, name, content))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_directory, "find_spec", lambda name: None if name == "tokenizers" else 1)
    with pytest.raises(InvalidRequest, match=r"needs tokenizers.*make local"):
        read_directory(minilm())


def test_without_onnxruntime_the_weights_are_computed_by_numpy(
    monkeypatch: pytest.MonkeyPatch, with_graph: Path
) -> None:
    absent = {"onnxruntime"}
    monkeypatch.setattr(embedding_directory, "find_spec", lambda name: None if name in absent else 1)
    with pytest.raises(InvalidRequest, match="needs onnxruntime"):
        read_directory(with_graph)
    (with_graph / "model.safetensors").symlink_to(minilm() / "model.safetensors")
    try:
        assert not read_directory(with_graph).runs_onnx
    finally:
        (with_graph / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("hidden_size", 400, "has the shape"),
        ("num_hidden_layers", 7, "hold no 'encoder.layer.6"),
        ("num_attention_heads", 7, "no multiple of its heads"),
        ("hidden_act", "swish9", "'swish9' is not supported"),
        ("vocab_size", None, "no vocab_size"),
    ],
)
async def test_weights_that_do_not_fit_fail_with_a_sentence(
    tmp_path: Path, field: str, value: Any, said: str
) -> None:
    directory = copied(tmp_path)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, field: value}))
    with pytest.raises(ProviderError, match=said) as failed:
        await embedded(directory, ["x"])
    assert not failed.value.retryable


async def test_broken_files_fail_with_a_sentence(tmp_path: Path, with_graph: Path) -> None:
    cut = copied(tmp_path)
    (cut / "model.safetensors").unlink()
    (cut / "model.safetensors").write_bytes((minilm() / "model.safetensors").read_bytes()[: 10**6])
    with pytest.raises(ProviderError, match="may be cut"):
        await embedded(cut, ["x"])
    (cut / "tokenizer.json").write_text("{}")
    with pytest.raises(ProviderError, match=r"tokenizer\.json cannot be read"):
        await embedded(cut, ["x"])
    (cut / "model.onnx").write_bytes(b"no graph at all")
    shutil.copyfile(minilm() / "tokenizer.json", cut / "tokenizer.json")
    with pytest.raises(ProviderError, match="graph cannot be loaded"):
        await embedded(cut, ["x"])


# --- safetensors


def tensor_file(path: Path, header: Any, data: bytes = b"", *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(dtype: str, shape: list[int], first: int, last: int) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def test_arrays_are_read_in_all_three_float_formats(tmp_path: Path) -> None:
    data = struct.pack("<2f", 1.5, -2.0) + struct.pack("<2e", 1.5, -2.0) + b"\xc0\x3f\x00\xc0"
    header = {
        "__metadata__": {"format": "pt"},
        "a": entry("F32", [2], 0, 8), "b": entry("F16", [1, 2], 8, 12), "c": entry("BF16", [2], 12, 16),
        "ids": entry("I64", [1], 0, 8),
    }  # fmt: skip
    found = SafeTensors(tensor_file(tmp_path / "x", header, data))
    assert found.names() == ["a", "b", "c"] and "ids" not in found
    for name, shape in (("a", (2,)), ("b", (1, 2)), ("c", (2,))):
        assert found.array(name, shape).ravel().tolist() == [1.5, -2.0]
    with pytest.raises(BrokenModel, match="has the shape"):
        found.array("a", (1, 2))
    with pytest.raises(ValueError, match="read-only"):
        found.array("a", (2,))[0] = 3


@pytest.mark.parametrize(
    ("header", "length"),
    [
        (b"", None),
        (b"{}", 10**12),
        (b"{}", 1),
        (b"[]", None),
        (b"{nonsense", None),
        (b'{"a": 3}', None),
        (json.dumps({"a": entry("F32", [2], 0, 9)}).encode(), None),
        (json.dumps({"a": entry("F32", [2], 8, 0)}).encode(), None),
        (json.dumps({"a": entry("F32", [2], -8, 0)}).encode(), None),
        (json.dumps({"a": entry("F32", [3], 0, 8)}).encode(), None),
        (json.dumps({"a": entry("F32", [2**62, 2**62], 0, 8)}).encode(), None),
        (json.dumps({"a": entry("F32", [2], 4, 12)}).encode(), None),
    ],
)
def test_a_file_that_lies_is_refused(tmp_path: Path, header: bytes, length: int | None) -> None:
    path = tensor_file(tmp_path / "x", header, b"\0" * 8, length=length)
    with pytest.raises(BrokenModel):
        SafeTensors(path)


@pytest.fixture(autouse=True)
async def no_threads_are_left() -> AsyncIterator[None]:
    yield
    assert not [one for one in threading.enumerate() if one.name.startswith("embed-")]

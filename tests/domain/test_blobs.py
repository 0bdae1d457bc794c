"""Large data URLs leave a payload and come back byte for byte; nobody outside can name a blob."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain import blobs
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.inputs import parse_input

OWNER = "0" * 32
LARGE = "data:image/png;base64," + "QUJD" * 20_000


def payload(body: Any) -> str:
    return msgspec.json.encode(body).decode()


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": list(parts)}


def texts(contents: dict[str, bytes]) -> dict[str, str]:
    return {digest: content.decode() for digest, content in contents.items()}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": LARGE, "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": LARGE},
        {"type": "input_file", "file_data": LARGE.removeprefix("data:")},
        {"type": "image_url", "image_url": {"url": LARGE}},
        {"type": "input_audio", "input_audio": {"data": "QUJD" * 20_000, "format": "wav"}},
        {"type": "file", "file": {"file_data": LARGE}},
        {"type": "computer_screenshot", "deep": [{"a": [LARGE]}]},
    ],
    ids=["image", "file", "bare base64", "chat image", "audio", "chat file", "unknown"],
)
def test_a_large_data_url_is_taken_out_and_put_back(part: dict[str, Any]) -> None:
    before = payload(message({"type": "input_text", "text": "look"}, part))
    taken = blobs.take_out(before, OWNER)
    assert taken is not None
    reduced, contents = taken
    assert len(reduced) < 1_000 and blobs.is_reduced(reduced)
    ((digest, content),) = contents.items()
    assert digest == hashlib.sha256(content).hexdigest()
    assert blobs.blobs_of(reduced) == (OWNER, [digest])
    assert blobs.put_back(reduced, texts(contents)) == before


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_text", "text": "x" * 100_000},
        {"type": "input_image", "image_url": "data:image/png;base64,QUJD"},
        {"type": "input_image", "image_url": "https://example.org/" + "x" * 100_000},
        {"type": "other", "data": "x" * 100_000},
    ],
    ids=["text", "small", "link", "other data"],
)
def test_anything_else_stays(part: dict[str, Any]) -> None:
    assert blobs.take_out(payload(message(part)), OWNER) is None


def test_one_image_twice_is_one_blob_in_two_places() -> None:
    image = {"type": "input_image", "image_url": LARGE}
    before = payload(message(image, image))
    reduced, contents = blobs.take_out(before, OWNER) or ("", {})
    assert len(contents) == 1 and len(blobs.blobs_of(reduced)[1]) == 2
    assert blobs.put_back(reduced, texts(contents)) == before


def test_what_would_not_come_back_byte_for_byte_stays() -> None:
    before = payload(message({"type": "input_image", "image_url": LARGE}))
    for other in (before.replace(":", ": ", 1), before.replace("image", "im\\u0061ge", 1), before + " "):
        assert msgspec.json.decode(other) == msgspec.json.decode(before)
        assert blobs.take_out(other, OWNER) is None


def test_a_missing_blob_is_an_error_not_an_empty_text() -> None:
    reduced, _ = blobs.take_out(payload(message({"type": "input_image", "image_url": LARGE})), OWNER) or (
        "",
        {},
    )
    with pytest.raises(KeyError):
        blobs.put_back(reduced, {})


def test_a_reduced_payload_cannot_be_sent() -> None:
    reduced, _ = blobs.take_out(payload(message({"type": "input_image", "image_url": LARGE})), OWNER) or (
        "",
        {},
    )
    with pytest.raises(InvalidRequest):
        parse_input([msgspec.json.decode(reduced)])
    # As a part of an item it is content like any other: the item's own payload stays an object.
    (item,) = parse_input([{"type": "made up", "inner": msgspec.json.decode(reduced)}])
    assert not blobs.is_reduced(payload(item.payload))


PLACES = {"image": LARGE, "escapes": "data:," + "é\u2028\0" * 30_000}
"""Drawn by name and filled in afterwards: large values make drawing slow."""

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from([*PLACES, "text"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["file_data", "data", "input_audio", "a"]), inner),
    ),
    max_leaves=12,
)


def filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner) for inner in value]
    return PLACES.get(value, value) if isinstance(value, str) else value


@given(st.dictionaries(st.sampled_from(["type", "content", "file_data"]), values))
def test_whatever_is_taken_out_comes_back(drawn: dict[str, Any]) -> None:
    before = payload(filled(drawn))
    taken = blobs.take_out(before, OWNER)
    if taken is None:
        assert len(before) < blobs.LARGE
    else:
        assert blobs.put_back(taken[0], texts(taken[1])) == before
        assert len(taken[0]) < blobs.LARGE

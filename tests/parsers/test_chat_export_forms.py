"""Lists of conversations within an object, files that shells wrote in UTF-16, and what is told of others."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.chat_exports.chats import Chat
from antiphon.parsers.chat_exports import documents as reading
from antiphon.parsers.chat_exports import encodings
from antiphon.parsers.chat_exports.documents import documents
from antiphon.parsers.chat_exports.exports import FileExports
from antiphon.ports.chat_exports import BadExport
from tests.domain.exports import ROOT, exported, node


def talk(words: str) -> dict[str, Any]:
    return exported(ROOT, node("u", "root", "user", words), conversation_id=words, title=words)


def titles(path: Path) -> list[str | None]:
    with FileExports().open(path, None) as export:
        return [one.title if isinstance(one, Chat) else one.reason for one in export.chats()]


@pytest.mark.parametrize("indent", [None, 1], ids=["on one line", "indented"])
@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"object": "export", "format": 1, "account": {"id": "u", "name": 'Ann [1]\\"'}},
        {"at": 1.5e3, "x": None},
    ],
)
def test_of_an_object_the_values_are_its_list_of_conversations(
    beside: dict[str, Any], indent: int | None
) -> None:
    content = json.dumps({**beside, "conversations": [{"a": "]"}, {"b": [1]}], "more": [{}]}, indent=indent)
    for end in ("", "\n"):
        assert list(documents(io.BytesIO((content + end).encode()))) == [{"a": "]"}, {"b": [1]}]


@pytest.mark.parametrize(
    "content", ['{"a":{"conversations":[{}]}}', '{"x":[],"conversations":[{}]}', '{"conversations":{}}']
)
def test_any_other_object_is_a_value(content: str) -> None:
    assert list(documents(io.BytesIO(content.encode()))) == [json.loads(content)]


def test_what_stands_before_a_list_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second or so for a megabyte that could begin a member anywhere."""
    monkeypatch.setattr(reading, "HEAD_BYTES", 1 << 20)
    content = b"{\n" + b'"a":{"b":1},' * 80_000 + b'"c":{"d":' + b"x" * 1000
    with pytest.raises(BadExport):
        list(documents(io.BytesIO(content)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("is_zip", [False, True])
def test_utf_16_is_read(tmp_path: Path, encoding: str, is_zip: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "PIECE_CHARACTERS", 7)
    begin = "" if encoding == "utf-16" else "\ufeff"
    content = (begin + json.dumps([talk("Ö\\ 😀"), talk("b")], ensure_ascii=False, indent=1)).encode(encoding)
    path = tmp_path / "conversations.json"
    if is_zip:
        path = tmp_path / "export.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("conversations.json", content)
    else:
        path.write_bytes(content)
    assert titles(path) == ["Ö\\ 😀", "b"]


def test_a_dump_of_a_redis_in_utf_16_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    path.write_bytes(json.dumps({"session:a": [{"role": "user", "content": "x"}]}).encode("utf-16"))
    assert titles(path) == ["a"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (json.dumps([talk("é")], ensure_ascii=False).encode("latin-1"), "x.json: not UTF-8 text"),
        (b'[{"a":}]', "x.json: no JSON"), (b"hello", "x.json: no JSON objects"),
        (b'[{"a":1}]', "no conversations of a known kind in it"),
    ],
)  # fmt: skip
def test_what_is_no_export_is_told_with_its_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(BadExport) as refused:
        titles(path)
    assert str(refused.value) == f"This is no export: {reason}."

"""Files of any size and any malice are read one conversation at a time; nothing of them is unpacked."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.chat_exports.chats import Chat, Kind, Unread
from antiphon.parsers.chat_exports import documents as reading
from antiphon.parsers.chat_exports import folders, spool
from antiphon.parsers.chat_exports.documents import Broken, documents
from antiphon.parsers.chat_exports.exports import FileExports
from antiphon.ports.chat_exports import BadExport, ChatExport
from tests.domain.exports import ROOT, exported, node


def read(content: bytes) -> list[Any]:
    """The values of a file; the end of one that breaks off as the exception's words."""
    found: list[Any] = []
    try:
        for value in documents(io.BytesIO(content)):
            found.append(value)
    except BadExport as error:
        found.append(str(error))
    return found


STRAY, BROKEN, NOT_UTF_8, ENDS = (
    Broken("something that is no object"),
    Broken("no JSON"),
    Broken("not UTF-8 text"),
    "The file ends before its values do.",
)


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"", []), (b" \n\n", []), (b"[]", []), (b"{}", [{}]), (b"\xef\xbb\xbf [ {} ]", [{}]),
        (b'[{"a":"]}\\"{"},[1]]', [{"a": ']}"{'}, [1]]), (b'{"a":1} {"b":2}', [{"a": 1}, {"b": 2}]),
        (b'{"a":1}\n\n{"b":\n{"c":2}\n', [{"a": 1}, BROKEN, {"c": 2}]),
        (b'[{"a":1,},{"b":2}]', [BROKEN, {"b": 2}]), (b'[1,{"a":1},"x"]', [STRAY, {"a": 1}, STRAY]),
        (b"7", [STRAY]), (b'[{"a":1}', [{"a": 1}, ENDS]), (b'[{"a":', [ENDS]), (b'{"a":1', [ENDS]),
        (b'["\\ud83d\\ude00 \\ud800"]'.join((b"[", b"]")), [["😀 ?"]]),
        (b'[{"a":123456789012345678901,"b":0.5}]', [{"a": 123456789012345678901, "b": 0.5}]),
        (b'[{"a":"\xff"},{}]', [NOT_UTF_8, {}]), (b'[{"a":"b\\', [ENDS]), (b'["abc', [STRAY, ENDS]),
    ],
)  # fmt: skip
def test_values_are_cut_apart_and_a_broken_one_hides_no_other(content: bytes, values: list[Any]) -> None:
    assert read(content) == values


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_pieces_end_anywhere(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PIECE_BYTES", size)
    chance = random.Random(size)
    texts = ['x"y', "\\", '\\"', "{[", "é😀", "", "]}"]
    values = [{"a": chance.choice(texts) * chance.randint(0, 3), "b": [{"c": n}]} for n in range(100)]
    assert read(json.dumps(values).encode()) == values


@pytest.mark.parametrize("begin", [b"[", b'{"a":[', b'{"a":{"b":'], ids=["lists", "both", "objects"])
def test_levels_take_no_more_than_their_own_room(begin: bytes) -> None:
    content = b"[" + nested(begin, 5_000) + b',{"ok":1}]'
    tracemalloc.start()
    deep, other = documents(io.BytesIO(content))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert other == {"ok": 1} and deep and most < 12_000_000, "a path for every level takes 60 MB"


def test_a_hundred_thousand_levels_are_read() -> None:
    assert len(read(b"[" + nested(b"[", 100_000) + b',{"ok":1}]')) == 2


def nested(begin: bytes, levels: int) -> bytes:
    end = begin.translate(bytes.maketrans(b"[{", b"]}"), b'"ab:')[::-1]
    return begin * levels + b"1" + end * levels


def test_a_value_that_is_far_too_long_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 1000)
    monkeypatch.setattr(reading, "PIECE_BYTES", 100)
    content = json.dumps([{"a": "x" * 990}, {"b": "]}" * 5_000, "c": [1] * 5_000}, {"d": 1}]).encode()
    assert read(content) == [{"a": "x" * 990}, Broken("too large"), {"d": 1}]
    lines = b'{"a":1}\n' + b'{"b":"' + b"x" * 2000 + b'"}\n'
    assert read(lines) == [{"a": 1}, "A line is longer than 1000 bytes; what follows it is not read."]


def test_a_long_file_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "conversations.json"
    with path.open("w") as file:
        file.write("[")
        for number in range(100):
            said = (node(f"m{n}", f"m{n - 1}" if n else None, "user", "words " * 200) for n in range(40))
            file.write(("," if number else "") + json.dumps(exported(*said, conversation_id=f"c{number}")))
        file.write("]")
    tracemalloc.start()
    with FileExports().open(path, None) as export:
        count = sum(1 for _ in export.chats())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 100 and path.stat().st_size > 4_500_000 and most < 2_500_000


@pytest.mark.parametrize("small", [b"[],", b"{},", b'"ab",', b'{"a":"b"},', b"[[[1]]],"])
def test_what_would_fill_the_memory_is_passed_over(monkeypatch: pytest.MonkeyPatch, small: bytes) -> None:
    monkeypatch.setattr(reading, "MOST_MEMORY", 300_000)
    monkeypatch.setattr(reading, "PIECE_BYTES", 10_000)
    large = b'{"a":[' + small * (400_000 // reading._memory(small)) + b"0]}"
    tracemalloc.start()
    assert read(b"[" + large + b',{"d":1}]') == [Broken("too large"), {"d": 1}]
    assert read(b'{"d":1}\n' + large + b'\n{"e":1}') == [{"d": 1}, Broken("too large"), {"e": 1}]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_200_000


@pytest.mark.parametrize(
    "small", [b"[],", b"{},", b'"abcd",', b'{"a":"b"},', b"[[[1]]],", b"1,", b'{"long name":1},']
)
def test_the_memory_of_a_value_is_not_taken_for_less(small: bytes) -> None:
    line = b'{"a":[' + small * (50_000 // len(small)) + b"0]}"
    tracemalloc.start()
    value = read(b"[" + line + b"]")
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert value and now < 1.5 * reading._memory(line)


def test_a_value_that_has_no_end_is_not_followed_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_MEMORY", 10_000)
    monkeypatch.setattr(reading, "PIECE_BYTES", 1_000)
    said = "A value is far too large; it and what follows it are not read."
    assert read(b'[{"a":1},' + b"[" * 50_000) == [{"a": 1}, said]


# --- archives and folders


def chat_of(number: int) -> dict[str, Any]:
    return exported(
        ROOT, node("u", "root", "user", f"text {number}"), conversation_id=f"c{number}", title=f"{number}"
    )


def archive(path: Path, entries: dict[str, Any], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as made:
        for name, content in entries.items():
            made.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return path


def told(path: Path, kind: Kind | None = None) -> list[str]:
    """Titles of conversations, and what cannot be read as `where: why`."""
    with FileExports().open(path, kind) as export:
        return [
            one.shown if isinstance(one, Chat) else f"{one.where}: {one.reason}" for one in export.chats()
        ]


def test_shards_are_read_in_their_order_and_one_that_is_missing_is_told(tmp_path: Path) -> None:
    manifest = {"logical_files": {"conversations.json": {"sharded": True, "files": [
        "conversations-000.json", {"path": "conversations-002.json"}]}}}  # fmt: skip
    entries = {
        "x/conversations-010.json": [chat_of(10)], "x/conversations-000.json": [chat_of(0), chat_of(1)],
        "x/user.json": {"id": "u"}, "x/export_manifest.json": manifest, "x/chat.html": b"<html>",
        "__MACOSX/x/conversations-000.json": b"junk",
    }  # fmt: skip
    missing = "conversations-002.json: is listed in the export's manifest and missing"
    assert told(archive(tmp_path / "e.zip", entries)) == [missing, "0", "1", "10"]


def test_a_folder_is_read_like_the_archive_and_links_are_not_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for place in (outside, inside):
        place.mkdir()
    (outside / "secret.json").write_text(json.dumps([chat_of(9)]))
    (inside / "a.json").write_text(json.dumps([chat_of(1)]))
    (inside / "link.json").symlink_to(outside / "secret.json")
    (inside / "b.json").write_text(json.dumps({"no": "chat"}))
    (inside / "folder").symlink_to(outside)
    assert told(inside) == ["1", "number 1 in b.json: no conversation of chatgpt"]


def test_names_of_entries_are_never_paths(tmp_path: Path) -> None:
    entries = {
        "../../conversations.json": [chat_of(1)],
        "/etc/file-abc.txt": b"content",
        "..\\file-def.png": b"x",
    }
    path = archive(tmp_path / "e.zip", entries)
    before = sorted(tmp_path.rglob("*"))
    with FileExports().open(path, None) as export:
        assert len(list(export.chats())) == 1
        found = export.find("file-abc")
        assert found is not None and b"".join(export.read(found)) == b"content"
        assert export.find("file-def") is not None and export.find("../../../etc/passwd") is None
    assert sorted(tmp_path.rglob("*")) == before, "nothing was written"


def test_what_was_blown_up_to_burst_a_reader_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "SMALL_BYTES", 100_000)
    blown = b"[" + b" " * 3_000_000 + b"]"
    entries = {"conversations-000.json": blown, "conversations-001.json": [chat_of(1)],
               "file-bomb.png": b"\0" * 3_000_000}  # fmt: skip
    path = archive(tmp_path / "e.zip", entries)
    first, second = told(path)
    assert first.startswith("conversations-000.json: It claims to hold 3000002 bytes in") and second == "1"
    with FileExports().open(path, None) as export, pytest.raises(BadExport):
        list(export.read(_found(export, "file-bomb")))


def _found(export: ChatExport, ref: str) -> Any:
    found = export.find(ref)
    assert found is not None
    return found


def test_archives_that_are_damaged_locked_or_cut_off_are_told(tmp_path: Path) -> None:
    path = archive(tmp_path / "e.zip", {"conversations-000.json": [chat_of(n) for n in range(200)],
                                        "conversations-001.json": [chat_of(1000)]})  # fmt: skip
    content = bytearray(path.read_bytes())
    damaged, locked, cut = tmp_path / "damaged.zip", tmp_path / "locked.zip", tmp_path / "cut.zip"
    damaged.write_bytes(content[:300] + bytes(50) + content[350:])
    assert any("damaged" in one for one in told(damaged)) and "1000" in told(damaged)
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadExport):
        told(cut)
    at = content.index(b"PK\x01\x02")
    content[6] |= 1
    content[at + 8] |= 1
    locked.write_bytes(content)
    assert told(locked) == ["conversations-000.json: It is encrypted.", "1000"]


@pytest.mark.parametrize("entries", [{}, {"a.txt": b"x"}, {"conversations.json": []}, {"a.json": {"b": 1}}])
def test_archives_without_conversations_are_no_exports(tmp_path: Path, entries: dict[str, Any]) -> None:
    with pytest.raises(BadExport):
        told(archive(tmp_path / "e.zip", entries))


# --- kinds


def test_a_kind_is_recognised_behind_values_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(json.dumps([7, {}, {"a": 1}, {"uuid": "c", "name": "N", "chat_messages": []}]))
    with FileExports().open(path, None) as export:
        assert export.kind == "claude"
        found = list(export.chats())
    assert [isinstance(one, Unread) for one in found] == [True, True, True, False]


def test_a_redis_is_one_object_or_lines(tmp_path: Path) -> None:
    said = json.dumps([{"role": "user", "content": "hello"}])
    path = tmp_path / "dump"
    lines = [json.dumps({"key": key, "value": value}) for key, value in (("chat:a", said), ("other", "x"))]
    for content in (json.dumps({"chat:a": said, "other": "x"}, indent=1), "\n".join(lines)):
        path.write_text(content)
        assert told(path) == ["a", "other: no history"]
    path.write_text('{"chat:a": ' + json.dumps(said) + ', "b')
    assert [one.partition(":")[0] for one in told(path)] == ["a", "dump"]


def test_documents_of_a_librechat_database_come_together(tmp_path: Path) -> None:
    def lines(*values: Any) -> str:
        return "\n".join(json.dumps(one) for one in values)

    (tmp_path / "conv.jsonl").write_text(lines(
        {"_id": {"$oid": "1"}, "conversationId": "c", "title": "T", "endpoint": "openAI",
         "messages": [{"$oid": "2"}], "createdAt": {"$date": "2024-01-01T00:00:00Z"}}))  # fmt: skip
    messages = [
        {"conversationId": "c", "messageId": "b", "parentMessageId": "a", "text": "two", "sender": "GPT-4"},
        {"conversationId": "d", "messageId": "x", "parentMessageId": None, "text": "alone", "sender": "User"},
        {"conversationId": "c", "messageId": "a", "text": "one", "isCreatedByUser": True},
    ]
    (tmp_path / "messages.jsonl").write_text(lines(*messages))
    with FileExports().open(tmp_path, None) as export:
        chats = [one for one in export.chats() if isinstance(one, Chat)]
    assert [(one.title, len(one.messages), one.created_us) for one in chats] == [
        ("T", 2, 1_704_067_200_000_000), (None, 1, None)]  # fmt: skip


def test_documents_under_one_key_that_are_too_long_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MOST_BYTES", 500)
    path = tmp_path / "x.jsonl"
    path.write_text(
        "\n".join(json.dumps({"session_id": "s" if n else "t", "message": "x" * 100}) for n in range(9))
    )
    assert told(path) == ["t", "s: too long"]


@pytest.mark.parametrize("large", [False, True], ids=["short", "with 64 bits"])
def test_a_directory_that_fills_the_memory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    path = tmp_path / "e.zip"
    if large:
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 5)
    archive(path, {"conversations.json": [chat_of(1)], **{f"file-{n}.png": b"x" for n in range(50)}})
    assert (b"PK\x06\x07" in path.read_bytes()) is large
    assert told(path) == ["1"]
    monkeypatch.setattr(folders, "MOST_DIRECTORY_BYTES", 2000)
    with pytest.raises(BadExport, match="directory has more than 2000"):
        told(path)

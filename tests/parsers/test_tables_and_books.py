"""Presentations, workbooks, books and data: each slide, sheet and chapter is a page, each row a record."""

from __future__ import annotations

import csv
import io
import json
import marshal
import math
import random
import struct

import pytest

from antiphon.domain.collections import Chunking
from antiphon.parsers.encodings import wide_encoding
from antiphon.parsers.formats import HEAD_BYTES, TEXT, format_of
from antiphon.parsers.worker import clean
from antiphon.ports.document_parser import ParseFailed
from tests.parsers import documents as made
from tests.parsers.conftest import Read


async def test_slides_come_as_they_are_shown_with_their_notes(read: Read) -> None:
    data = made.pptx([("Why", ["Because.", "And so on."]), ("How", ["Like this."])], notes="Say it slowly.")
    found = await read(data, "talk.pptx")
    assert found.parsed.parser == "pptx-1"
    assert found.text == (
        "# Why\n\nBecause.\n\nAnd so on.\n\nNotes: Say it slowly.\n\n# How\n\nLike this.\n\n"
    )
    assert found.parsed.page_starts == (0, found.text.index("# How"))
    assert [(one.page, one.heading) for one in found.passages] == [
        (1, "talk.pptx > Why"),
        (2, "talk.pptx > How"),
    ]


async def test_each_row_of_a_sheet_is_a_record(read: Read) -> None:
    data = made.xlsx(
        {
            "People": [["Name", "Born", "Paid"], ["Ada", 44175, True], ["Bob", None, False]],
            "Loose": [["just", "words"], [1, 2.5]],
        },
        dates=["People!B2"],
    )
    found = await read(data, "people.xlsx")
    assert found.parsed.parser == "xlsx-1"
    one, two = found.parsed.page_starts
    assert found.text[one:two] == (
        "# People\n\nName: Ada\nBorn: 2020-12-10\nPaid: TRUE\n\nName: Bob\nPaid: FALSE\n\n"
    )
    assert found.text[two:] == "# Loose\n\njust: 1\nwords: 2.5\n\n"
    assert [one.heading for one in found.passages] == ["people.xlsx > People", "people.xlsx > Loose"]


async def test_a_book_follows_its_spine(read: Read) -> None:
    data = made.epub("My Book", ["<h1>One</h1><p>First&nbsp;chapter.</p>", "<h1>Two</h1><p>Second.</p>"])
    found = await read(data, "book.epub")
    assert (found.parsed.parser, found.parsed.title) == ("epub-1", "My Book")
    assert found.text == "# One\n\nFirst chapter.\n\n# Two\n\nSecond.\n\n"
    assert found.parsed.page_starts == (0, found.text.index("# Two"))


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
async def test_each_row_of_a_csv_is_a_record(read: Read, end: str) -> None:
    source = f'Name;Note{end}Ada;"two{end}{end}lines, with ""a, b, c, d"""{end}Bob;=1+1{end}'
    found = await read(source.encode(), "people.csv")
    assert found.parsed.parser == "csv-2"
    assert found.text == ('Name: Ada\nNote: two lines, with "a, b, c, d"\n\nName: Bob\nNote: =1+1\n\n')
    headless = await read(f"1,2{end}3,4".encode(), "numbers.csv")
    assert headless.text == "1 | 2\n\n3 | 4\n\n"


@pytest.mark.parametrize("headed", [True, False])
async def test_a_row_is_never_cut_while_a_passage_can_hold_it(read: Read, headed: bool) -> None:
    """Rows of very different lengths, with sentences and line ends in their quoted values."""
    rng = random.Random(4)
    rows = [
        [f"row{n}", "\n".join(f"Sentence {k} of {n}. And more." for k in range(rng.choice((1, 2, 9, 11))))]
        for n in range(120)
    ]
    file = io.StringIO(newline="")
    csv.writer(file).writerows([["Key", "Text"], *rows] if headed else [["1", "2"], *rows])
    found = await read(file.getvalue().encode(), "long.csv", Chunking(max_tokens=100, overlap_tokens=0))
    records = found.text.split("\n\n")[:-1]
    assert len(records) == 120 + (not headed)
    for record in records:
        assert sum(record in one.text for one in found.passages) == 1, record
    assert len(found.passages) < len(records), "short rows share a passage"
    assert all(found.text[one.start : one.end] == one.text for one in found.passages)


async def test_a_row_that_no_passage_can_hold_is_cut_between_values_then_sentences(read: Read) -> None:
    long = " ".join(f"This is sentence number {n} of a long value." for n in range(30))
    found = await read(f"Key,Text\nfirst,{long}\nsecond,short\n".encode(), "a.csv", Chunking(100, 0))
    assert len(found.passages) > 3
    assert all(one.text.endswith((".", "first", "short")) for one in found.passages)
    assert found.text[found.passages[-1].start :].rstrip().endswith("Key: second\nText: short")


async def test_json_is_flattened_and_broken_json_is_text(read: Read) -> None:
    value = [{"name": "Ada", "tags": ["x", "y"], "at": {"city": "London"}}, {"name": "Bob", "none": None}]
    found = await read(json.dumps(value).encode(), "people.json")
    assert found.parsed.parser == "json-1"
    assert found.text == "name: Ada\ntags: x, y\nat.city: London\n\nname: Bob\n\n"
    broken = await read(b'{"a": ', "people.json")
    assert broken.text == '{"a": '
    assert broken.parsed.notes == ("The file is not valid JSON; it was read as text.",)


async def test_each_line_of_jsonl_is_a_record(read: Read) -> None:
    found = await read(b'{"q": "Why?", "a": 1.5}\nnot json\n{"q": "How?"}', "faq.jsonl")
    assert found.text == "q: Why?\na: 1.5\n\nnot json\n\nq: How?\n\n"


async def test_code_is_cut_where_definitions_begin(read: Read) -> None:
    body = "".join(f"    total_{number} = compute({number})\n" for number in range(60))
    source = f"import os\n\n\ndef first():\n{body}\n\ndef second():\n    return 2\n"
    found = await read(source.encode(), "a.py")
    assert (found.parsed.parser, found.text) == ("code-1", source)
    starts = [one.text.split("(")[0] for one in found.passages]
    assert "def first" in starts or starts[0].startswith("import os")
    assert any(one.heading == "a.py > def first():" for one in found.passages[1:])
    assert found.passages[-1].text.endswith("return 2")


SCRIPTS = {
    "Latin": "Grüße, 123.\nçà et là\n", "Cyrillic": "Съешь ещё этих булок, да\n",
    "Greek": "Ελληνικά και άλλα\n",
    "Devanagari": "हिन्दी में लिखा\n", "Arabic": "النص العربي هنا\n", "Thai": "ภาษาไทย กับ\n",
    "Chinese": "今天天气很好，我们去公园散步。\n",
    "with wide spaces": "　吾輩は猫である。　名前はまだ無い。\n",
    "Korean": "한국어 문장입니다 그리고\n", "faces": "😀 smile 😀\n", "two letters": "hi",
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_wide_text_is_known_in_every_script_with_a_mark_or_without(script: str) -> None:
    for repeated in (1, 60, 300):
        text = SCRIPTS[script] * repeated
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
            head = text.encode(encoding)[:HEAD_BYTES]
            assert wide_encoding(head) == encoding
            assert format_of("a.txt", head) is TEXT
        assert wide_encoding(text.encode()) is None
        assert wide_encoding(b"".join((text.encode(), b"\0", text.encode() * 9))) is None


BINARIES = {
    "zeros": bytes(4096),
    "small numbers": struct.pack("<600H", *range(600)),
    "large numbers": struct.pack("<500I", *range(0, 500_000, 1000)),
    "wave": struct.pack("<900h", *(int(900 * math.sin(n / 7)) for n in range(900))),
    "floats": struct.pack("<300d", *map(float, range(300))),
    "strings among lengths": b"".join(struct.pack(">I", 9) + b"some name" for _ in range(200)),
    "an archive of texts": b"a.txt" + bytes(95) + b"0000644\0" * 3 + bytes(300) + b"plain text " * 300,
    "compiled Python": marshal.dumps(compile("x = 'some text'\n" * 50, "a.py", "exec")),
    "noise": random.Random(3).randbytes(4096),
}  # fmt: skip


@pytest.mark.parametrize("name", BINARIES)
async def test_binaries_are_refused_whatever_they_are_called(read: Read, name: str) -> None:
    with pytest.raises(ParseFailed, match="binary") as refused:
        await read(BINARIES[name], "notes.txt")
    assert refused.value.code == "unsupported_file"


async def test_stray_nuls_become_a_mark_of_the_same_length_wherever_they_are(read: Read) -> None:
    """So that every offset is that of the bytes' own text, and no store sees a NUL."""
    text = "Erste Zeile für alle.\nSecond\0 line.\n" + "More of it. \n" * 600 + "\0End."
    for data in (text.encode(), text.encode("utf-16"), text.encode("utf-8-sig")):
        found = await read(data, "a.txt")
        assert found.text == text.replace("\0", "\ufffd")
        assert "Second\ufffd line" in found.passages[0].text
    table = await read(b"Name,Note\nAda,o\0ne\n", "a.csv")
    assert table.text == "Name: Ada\nNote: o\ufffdne\n\n"
    assert (await read(b"MZ is\0 no program.", "a.txt")).text == "MZ is\ufffd no program."
    page = await read(b"<!doctype html>\0<p>one two three four five six seven eight\0nine</p>", "a.html")
    assert (page.parsed.parser, "\0" in page.text) == ("html-1", False)


async def test_encodings_are_told_apart(read: Read) -> None:
    text = "Grüße aus Köln, çà et là.\n" * 3
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        found = await read(text.encode(encoding), "a.txt")
        assert (found.text, found.parsed.notes) == (text, ()), encoding
    assert (await read(text.encode("utf-16-le"), "a.txt")).text == text
    assert (await read(text.encode("utf-16-be"), "a.txt")).text == text
    old = await read(text.encode("cp1252"), "a.txt")
    assert (old.text, old.parsed.notes) == (text, ("The text is not UTF-8; it was read as Windows-1252.",))
    damaged = await read(("Grüße " * 50).encode() + b"\xff" + b"Ende", "a.txt")
    assert damaged.text.startswith("Grüße Grüße") and damaged.text.endswith("\ufffdEnde")


async def test_what_a_text_may_not_hold_is_replaced(read: Read) -> None:
    source = b'["a\\u0000b", "\\ud800 alone", "\\ud83d\\ude00"]'
    found = await read(source, "a.json")
    assert "\0" not in found.text
    assert "\U0001f600" in found.text or "\\ud83d" in found.text
    late = await read(b"a" * 5_000 + b"\0b", "a.txt")
    assert late.text == "a" * 5_000 + "\ufffdb"
    assert clean("a\ud800b\0c\U0001f600") == "a\ufffdb\ufffdc\U0001f600"

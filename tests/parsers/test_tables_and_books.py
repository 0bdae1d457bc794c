"""Presentations, workbooks, books and data: each slide, sheet and chapter is a page, each row a record."""

from __future__ import annotations

import json

from antiphon.parsers.worker import clean
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


async def test_each_line_of_a_csv_is_a_record(read: Read) -> None:
    source = 'Name;Note\r\nAda;"two\nlines"\r\nBob;=1+1\r\n'
    found = await read(source.encode(), "people.csv")
    assert found.parsed.parser == "csv-1"
    assert found.text == "Name: Ada\nNote: two lines\n\nName: Bob\nNote: =1+1\n\n"
    headless = await read(b"1,2\n3,4\n", "numbers.csv")
    assert headless.text == "1 | 2\n3 | 4\n"


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

"""No document hurts: each ends in its time, with a reason, and costs the server next to nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from antiphon.parsers.process import ConfinedParser
from antiphon.ports.document_parser import Limits, ParseFailed
from tests.parsers import bombs, watch
from tests.parsers import documents as made
from tests.parsers.bombs import MIB
from tests.parsers.conftest import Read

TIGHT = Limits(memory_bytes=512 * MIB, cpu_seconds=20, wall_seconds=30, characters=20_000_000)
PARENT_MAY_GROW = 64 * MIB

Refuse = Callable[..., Awaitable[ParseFailed]]


@pytest.fixture
def refuse(read: Read) -> Refuse:
    """Read a document that cannot be read, and return why."""

    async def refusing(data: bytes, filename: str = "file", **more: object) -> ParseFailed:
        with watch.memory() as peak:
            began = time.monotonic()
            with pytest.raises(ParseFailed) as failure:
                await read(data, filename, **{"limits": TIGHT, **more})
            assert time.monotonic() - began < TIGHT.wall_seconds + 5
        assert peak.grown <= PARENT_MAY_GROW
        assert failure.value.message
        assert failure.value.code in ("invalid_file", "unsupported_file")
        assert watch.zombies() == []
        return failure.value

    return refusing


# --- archives


async def test_zip_bombs_are_refused_by_their_directory(refuse: Refuse) -> None:
    assert "times its size" in (await refuse(bombs.word_bomb(400 * MIB), "a.docx")).message
    assert "parts" in (await refuse(bombs.many_parts(2_500), "a.docx")).message
    assert "overlap" in (await refuse(bombs.overlapping(10), "a.docx")).message
    assert (await refuse(bombs.overlapping(1_900), "a.docx")).message
    assert (await refuse(bombs.nested_archives(3), "a.docx")).code == "unsupported_file"


async def test_sizes_that_lie_help_nobody(refuse: Refuse) -> None:
    assert "damaged" in (await refuse(bombs.lying_sizes(bombs.word_bomb(100 * MIB)), "a.docx")).message


async def test_what_is_within_the_ratio_may_still_not_be_endless(refuse: Refuse) -> None:
    """15 MiB of one paragraph pass the directory's check and are more text than is allowed."""
    few = Limits(memory_bytes=512 * MIB, characters=1_000_000, cpu_seconds=20, wall_seconds=30)
    assert "characters" in (await refuse(bombs.word_bomb(15 * MIB), "a.docx", limits=few)).message


async def test_entities_and_document_types_are_refused(refuse: Refuse) -> None:
    laughs = made.archive(made.docx_parts(made.word_paragraph("&a9;"), prolog=bombs.billion_laughs()))
    assert "entities" in (await refuse(laughs, "a.docx")).message
    quadratic = f'<!DOCTYPE w [<!ENTITY a "{"a" * 100_000}">]>'
    data = made.archive(made.docx_parts("&a;" * 100_000, prolog=quadratic))
    assert "entities" in (await refuse(data, "a.docx")).message


async def test_a_secret_file_is_not_quoted_and_nothing_outside_is_asked_for(
    parser: ConfinedParser, tmp_path: Path, canary: watch.Canary
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame")
    for url in (canary.url, secret.as_uri()):
        for name, data in bombs.outside(url).items():
            path = tmp_path / "document"
            path.write_bytes(data)
            try:
                async for event in parser.parse(path, name, made_chunking(), TIGHT):
                    assert "sesame" not in repr(event)
            except ParseFailed as failure:
                assert failure.code == "invalid_file"
    assert canary.calls() == 0


def made_chunking():  # type: ignore[no-untyped-def]
    from antiphon.domain.collections import Chunking

    return Chunking()


@pytest.fixture
def canary() -> Iterator[watch.Canary]:
    made_one = watch.Canary()
    yield made_one
    made_one.close()


# --- PDF


@pytest.mark.parametrize("fast", [False, True], ids=["pypdf", "pdfium"])
async def test_pdf_bombs(refuse: Refuse, fast: bool) -> None:
    by = ConfinedParser(fast_pdf=fast)
    try:
        assert (await refuse(bombs.pdf_stream_bomb(1024 * MIB), "a.pdf", by=by)).message
        assert (await refuse(bombs.pdf_declaring(1_000_000), "a.pdf", by=by)).message if not fast else True
        assert "25,000 pages" in (await refuse(bombs.pdf_of_many_pages(25_000), "a.pdf", by=by)).message
        for data in (
            bombs.pdf_of_many_pages(1_000_000),
            bombs.pdf_self_referring(),
            bombs.pdf_deep_tree(50_000),
            bombs.pdf_nested(100_000),
            bombs.pdf_pixel_flood(),
        ):
            assert (await refuse(data, "a.pdf", by=by)).message
    finally:
        await by.close()


async def test_a_circular_table_of_a_pdf_ends(read: Read) -> None:
    found = await read(bombs.pdf_circular_table(), "a.pdf", limits=TIGHT)
    assert found.text.strip() == "One."


async def test_a_scanned_document_says_that_it_has_no_text(refuse: Refuse) -> None:
    failure = await refuse(made.pdf([b"q Q", b"q Q"]), "scan.pdf")
    assert failure.code == "invalid_file"
    assert "no text" in failure.message and "2 pages" in failure.message


async def test_a_page_that_fails_is_named_and_the_others_are_read(read: Read, refuse: Refuse) -> None:
    broken = made.pdf(["One.", "Two.", "Three."]).replace(b"/Contents 7 0 R", b"/Contents [ 1 ] ")
    found = await read(broken, "a.pdf")
    assert found.text.split() == ["One.", "Three."]
    assert [one.page for one in found.passages] == [1, 3]
    assert len(found.parsed.page_starts) == 3
    (note,) = found.parsed.notes
    assert "2" in note


async def test_protected_documents_say_so(refuse: Refuse) -> None:
    import io

    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(made.pdf(["Secret."]))))
    writer.encrypt("password", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    assert "password" in (await refuse(out.getvalue(), "a.pdf")).message


# --- types


@pytest.mark.parametrize(
    ("data", "name", "code"),
    [
        (b"", "empty.txt", "invalid_file"),
        (b"", "empty.pdf", "invalid_file"),
        (b" \n\t\n" * 99, "blank.txt", "invalid_file"),
        (bombs.png(30_000, 30_000), "a.png", "unsupported_file"),
        (bombs.png(30_000, 30_000), "a.docx", "unsupported_file"),
        (b"GIF89a" + b"\xff\xff\xff\xff" + b"\0" * 99, "flood.gif", "unsupported_file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old.doc", "unsupported_file"),
        (b"\x7fELF" + b"\0" * 600, "program.txt", "unsupported_file"),
        (b"\x1f\x8b\x08\0" + b"x" * 99, "a.gz", "unsupported_file"),
        (bytes(range(256)) * 20, "noise.txt", "unsupported_file"),
        (made.archive({"a.txt": "text"}), "a.zip", "unsupported_file"),
        (made.archive({"a.txt": "text"}), "a.docx", "unsupported_file"),
        (b"{\\rtf1 text}", "a.rtf", "unsupported_file"),
        (b"GIF89a=1;/*" + b"text " * 20, "picture_and_script.txt", "unsupported_file"),
        (b"%PDF-1.7\n", "a.pdf", "invalid_file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_no_document_is_refused_whatever_it_is_called(
    refuse: Refuse, data: bytes, name: str, code: str
) -> None:
    assert (await refuse(data, name)).code == code


async def test_the_content_decides_what_a_document_is(read: Read) -> None:
    body = made.word_paragraph("Words.")
    assert (await read(made.docx(body), "a.pdf")).parsed.parser == "docx-1"
    assert (await read(made.docx(body), "a.xlsx")).parsed.parser == "docx-1"
    assert (await read(made.pdf(["Words."]), "a.docx")).parsed.parser == "pdf-1"
    assert (await read(made.epub("B", ["<p>Words.</p>"]), "a.docx")).parsed.parser == "epub-1"
    assert (await read(b"<html><p>Words.</p></html>", "a.md")).parsed.parser == "html-1"
    assert (await read(b"Words.", "a.pdf")).parsed.parser == "text-1"


async def test_two_documents_in_one_are_the_first(read: Read) -> None:
    page, word = made.pdf(["A page."]), made.docx(made.word_paragraph("A paragraph."))
    assert (await read(page + word, "a.docx")).text.strip() == "A page."


@pytest.mark.parametrize(
    "kind", ["a.pdf", "a.docx", "a.pptx", "a.xlsx", "a.epub", "a.html", "a.json", "a.csv"]
)
async def test_documents_cut_off_anywhere_end_with_a_reason(read: Read, kind: str) -> None:
    whole = {
        "a.pdf": made.pdf(["One page of text.", "Another."], title="T"),
        "a.docx": made.docx(made.word_paragraph("Text") * 50, title="T"),
        "a.pptx": made.pptx([("T", ["x"])] * 3),
        "a.xlsx": made.xlsx({"S": [["a", "b"], [1, 2]]}),
        "a.epub": made.epub("T", ["<p>x</p>"] * 3),
        "a.html": b"<!doctype html><table><tr><td>x</td></tr></table><p>text</p>" * 20,
        "a.json": json.dumps([{"a": [1, 2, {"b": "c"}]}] * 20).encode(),
        "a.csv": b'a,b\n"x",2\n' * 30,
    }[kind]
    for share in range(1, 12):
        try:
            await read(whole[: len(whole) * share // 12], kind, limits=TIGHT)
        except ParseFailed as failure:
            assert failure.code in ("invalid_file", "unsupported_file"), failure.message
    garbled = bytearray(whole)
    garbled[len(whole) // 3 : len(whole) // 3 + 40] = b"\xff" * 40
    try:
        await read(bytes(garbled), kind, limits=TIGHT)
    except ParseFailed as failure:
        assert failure.code in ("invalid_file", "unsupported_file"), failure.message


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "/etc/passwd",
        "a\0b.txt",
        "x" * 300,
        "",
        ".",
        "..",
        "\n",
        "a.txt/",
        "‮txt.exe",
        "con",
        "\ud800.txt",
    ],
)
async def test_names_are_never_paths(read: Read, name: str) -> None:
    found = await read(b"Just words.", name)
    assert (found.text, found.parsed.parser) == ("Just words.", "text-1")


# --- texts


async def test_endless_lines_and_deep_nests_are_read_or_refused_in_time(read: Read, refuse: Refuse) -> None:
    line = await read(b"x" * 10_000_000, "line.txt", limits=TIGHT)
    assert line.parsed.characters == 10_000_000
    deep = await read(b"[" * 100_000 + b"]" * 100_000, "deep.json", limits=TIGHT)
    assert deep.parsed.notes
    number = await read(b"1" * 1_000_000, "number.json", limits=TIGHT)
    assert number.parsed.characters
    assert "deep" in (await refuse(b"<html>" + b"<div>" * 300_000, "deep.html")).message
    assert (await refuse(b'a,"' + b"x" * 3_000_000, "quote.csv")).message
    assert "characters" in (await refuse(b"ab " * 7_000_000, "long.txt")).message


@pytest.mark.parametrize(
    "source",
    [
        "<!--" * 200_000,
        "<a " * 200_000,
        "<a href='" * 100_000,
        "<p>" * 200_000 + "x",
        "<table>" * 15_000 + "x",
        "<b>" * 15_000 + "x",
        "&amp;" * 300_000,
        "<svg>" * 10_000 + "<p>x",
        "<ul><li>" * 8_000 + "x",
        "<![CDATA[" * 100_000,
    ],
    ids=lambda source: source[:12],
)
async def test_odd_pages_take_no_more_than_their_time(read: Read, source: str) -> None:
    began = time.monotonic()
    try:
        await read(f"<!doctype html>{source}".encode(), "a.html", limits=TIGHT)
    except ParseFailed as failure:
        assert failure.code == "invalid_file"
    assert time.monotonic() - began < TIGHT.cpu_seconds + 10


async def test_limits_on_memory_time_pages_and_passages_hold(refuse: Refuse) -> None:
    lines = "\n\n".join(f"Paragraph {n}." for n in range(200_000)).encode()
    tiny = Limits(memory_bytes=40 * MIB)
    assert "memory" in (await refuse(b'["' + b"x" * (30 * MIB) + b'"]', "a.json", limits=tiny)).message
    assert "passages" in (await refuse(lines, limits=Limits(passages=5))).message
    pages = made.pdf(["One."] * 12)
    assert "12 pages" in (await refuse(pages, limits=Limits(pages=10))).message
    assert "processor" in (await refuse(lines * 9, limits=Limits(cpu_seconds=1))).message
    assert "longer than" in (await refuse(lines * 9, limits=Limits(wall_seconds=0.2))).message

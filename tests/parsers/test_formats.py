"""Each kind of document is read: its title, its structure, its pages; nothing of it is lost or made up."""

from __future__ import annotations

from antiphon.domain.collections import Chunking
from antiphon.parsers.process import ConfinedParser
from tests.parsers import documents as made
from tests.parsers.conftest import Read

PAGES = ["First page (one).\nWith two lines.", "Café, second."]


async def test_pdf_has_its_pages_and_its_title(read: Read) -> None:
    found = await read(made.pdf(PAGES, title="Prices"), "p.pdf")
    assert found.parsed.parser == "pdf-1"
    assert found.parsed.media_type == "application/pdf"
    assert found.parsed.title == "Prices"
    one, two = found.parsed.page_starts
    assert found.text[one:two].split() == "First page (one). With two lines.".split()
    assert found.text[two:].strip() == "Café, second."
    assert [(passage.page, passage.heading) for passage in found.passages] == [(1, "Prices"), (2, "Prices")]
    assert [(step.done, step.total) for step in found.progress] == [(1, 2), (2, 2)]


async def test_the_native_pdf_reader_finds_the_same_words(read: Read) -> None:
    native = ConfinedParser(fast_pdf=True)
    try:
        data = made.pdf(PAGES, title="Prices")
        found = await read(data, "p.pdf", by=native)
        assert (found.parsed.parser, found.parsed.title) == ("pdfium-1", "Prices")
        assert native.version_for("p.pdf", data[:4096]) == "pdfium-1"
        plain = await read(data, "p.pdf")
        assert found.text.split() == plain.text.split()
        assert [passage.page for passage in found.passages] == [1, 2]
    finally:
        await native.close()


async def test_word_keeps_headings_lists_and_tables(read: Read) -> None:
    body = (
        made.word_paragraph("Introduction", style="Kop1")
        + made.word_paragraph("Fish & chips.")
        + made.word_paragraph("first", level=0)
        + made.word_paragraph("deeper", level=1)
        + made.word_table([["Name", "Age"], ["Ada", "36"]])
        + made.word_paragraph("Details", style="Kop2")
        + made.word_paragraph("The end.")
    )
    found = await read(made.docx(body, title="Report"), "r.docx")
    assert found.parsed.parser == "docx-1"
    assert found.text == (
        "# Introduction\n\nFish & chips.\n\n- first\n  - deeper\n\n"
        "| Name | Age |\n| --- | --- |\n| Ada | 36 |\n\n## Details\n\nThe end.\n\n"
    )
    assert [passage.heading for passage in found.passages] == [
        "Report > Introduction",
        "Report > Introduction > Details",
    ]


async def test_html_is_what_a_person_reads(read: Read) -> None:
    page = (
        "<!doctype html><title>T &amp; t</title><nav>menu</nav><style>p{}</style><h1>Hello</h1>"
        "<p>One <b>two</b><br>three<ul><li>a<li>b<ul><li>c</ul></ul>"
        "<table><tr><th>Name<th>Age<tr><td>Ada<td>36</table>"
        "<pre>def f():\n    # x\n    pass</pre><script>evil()</script><p hidden>no</p>tail"
    )
    found = await read(page.encode(), "page.txt")
    assert (found.parsed.parser, found.parsed.title) == ("html-1", "T & t")
    assert found.text == (
        "# Hello\n\nOne two\nthree\n\n- a\n- b\n  - c\n\n| Name | Age |\n| --- | --- |\n| Ada | 36 |\n\n"
        "```\ndef f():\n    # x\n    pass\n```\n\ntail\n\n"
    )


async def test_markdown_and_text_are_kept_as_they_are(read: Read) -> None:
    source = "# Guide\r\n\r\nSome text.\r\n\r\n## Use\r\n\r\n```\r\n# no heading\r\n```\r\nMore.\r\n"
    found = await read(source.encode(), "guide.md")
    assert (found.text, found.parsed.title, found.parsed.parser) == (source, "Guide", "markdown-1")
    assert [passage.heading for passage in found.passages] == ["Guide", "Guide > Use"]
    plain = await read(source.encode(), "guide.txt")
    assert (plain.text, plain.parsed.title, plain.parsed.parser) == (source, None, "text-1")
    assert {passage.heading for passage in plain.passages} == {"guide.txt"}


async def test_the_same_passages_come_from_the_text_alone(read: Read, parser: ConfinedParser) -> None:
    """A text that was read before is cut as the document itself would be."""
    from antiphon.ports.document_parser import Limits, Passages

    body = "".join(
        made.word_paragraph(f"Part {number}", style="Kop1") + made.word_paragraph("Some words follow. " * 40)
        for number in range(9)
    )
    found = await read(made.docx(body, title="Report"), "r.docx", Chunking(100, 20))

    async def slices():  # type: ignore[no-untyped-def]
        for start in range(0, len(found.text), 1_000):
            yield found.text[start : start + 1_000]

    again = []
    async for event in parser.cut(slices(), "r.docx", found.parsed, Chunking(100, 20), Limits()):
        if isinstance(event, Passages):
            again += event.passages
    assert again == found.passages

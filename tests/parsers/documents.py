"""Documents of every kind, written by the tests themselves."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
OFFICE = "application/vnd.openxmlformats-officedocument."


# --- PDF


def pdf_objects(objects: Sequence[bytes], *, root: int = 1, trailer: bytes = b"") -> bytes:
    """A PDF of the given objects, numbered from 1, with a table of where they are."""
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root %d 0 R %b >>\n" % (len(objects) + 1, root, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def pdf_stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(data), entries, data)


def page_content(text: str) -> bytes:
    lines = []
    for line in text.split("\n"):
        shown = line.encode("cp1252", "replace").replace(b"\\", b"\\\\")
        shown = shown.replace(b"(", b"\\(").replace(b")", b"\\)")
        lines.append(b"(%b) Tj T*" % shown)
    return b"BT /F1 10 Tf 12 TL 50 800 Td\n" + b"\n".join(lines) + b"\nET"


def pdf(pages: Sequence[str | bytes], *, title: str = "") -> bytes:
    """Pages of text; a page given as bytes has these for its content stream."""
    first = 4
    kids = b" ".join(b"%d 0 R" % (first + 2 * index) for index in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%b] >>" % (len(pages), kids),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for index, page in enumerate(pages):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >>"
            b" /Contents %d 0 R >>" % (first + 2 * index + 1)
        )
        objects.append(pdf_stream(page if isinstance(page, bytes) else page_content(page)))
    trailer = b""
    if title:
        objects.append(b"<< /Title (%b) >>" % title.encode("latin-1"))
        trailer = b"/Info %d 0 R" % len(objects)
    return pdf_objects(objects, trailer=trailer)


# --- archives


def archive(parts: dict[str, str | bytes], *, stored: Iterable[str] = ()) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in parts.items():
            how = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            made.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, how)
    return out.getvalue()


def content_types(overrides: dict[str, str]) -> str:
    listed = "".join(
        f'<Override PartName="/{part}" ContentType="{OFFICE}{kind}+xml"/>' for part, kind in overrides.items()
    )
    return (
        '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        f'<Default Extension="xml" ContentType="application/xml"/>{listed}</Types>'
    )


def relationships(listed: dict[str, tuple[str, str]], *, external: str = "") -> str:
    made = "".join(
        f'<Relationship Id="{key}" Type="{R}/{kind}" Target="{target}"/>'
        for key, (kind, target) in listed.items()
    )
    if external:
        made += f'<Relationship Id="x1" Type="{R}/image" Target="{external}" TargetMode="External"/>'
    space = "http://schemas.openxmlformats.org/package/2006/relationships"
    return f'<?xml version="1.0"?><Relationships xmlns="{space}">{made}</Relationships>'


def core(title: str) -> str:
    return (
        '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"'
        f' xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{escape(title)}</dc:title></cp:coreProperties>'
    )


# --- Word


def word_paragraph(text: str, *, style: str = "", level: int | None = None) -> str:
    properties = f'<w:pStyle w:val="{style}"/>' if style else ""
    if level is not None:
        properties += f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="1"/></w:numPr>'
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{escape(text)}</w:t></w:r></w:p>"


def word_table(rows: Sequence[Sequence[str]]) -> str:
    made = "".join(
        "<w:tr>" + "".join(f"<w:tc>{word_paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>" for row in rows
    )
    return f"<w:tbl><w:tblPr/>{made}</w:tbl>"


def docx_parts(body: str, *, title: str = "", prolog: str = "", external: str = "") -> dict[str, str | bytes]:
    styles = (
        f'<w:styles xmlns:w="{W}">'
        '<w:style w:type="paragraph" w:styleId="Kop1"><w:name w:val="heading 1"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="Kop2"><w:name w:val="heading 2"/></w:style></w:styles>'
    )
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": content_types({"word/document.xml": "wordprocessingml.document.main"}),
        "_rels/.rels": relationships({"r1": ("officeDocument", "word/document.xml")}),
        "word/document.xml": f'<?xml version="1.0"?>{prolog}<w:document xmlns:w="{W}"><w:body>{body}'
        "</w:body></w:document>",
        "word/_rels/document.xml.rels": relationships({"r1": ("styles", "styles.xml")}, external=external),
        "word/styles.xml": styles,
    }
    if title:
        parts["docProps/core.xml"] = core(title)
    return parts


def docx(body: str, *, title: str = "") -> bytes:
    return archive(docx_parts(body, title=title))


# --- PowerPoint


def slide(title: str, lines: Sequence[str]) -> str:
    body = "".join(f"<a:p><a:r><a:t>{escape(line)}</a:t></a:r></a:p>" for line in lines)
    return (
        f'<p:sld xmlns:p="{P}" xmlns:a="{A}"><p:cSld><p:spTree>'
        '<p:sp><p:nvSpPr><p:nvPr><p:ph type="title"/></p:nvPr></p:nvSpPr>'
        f"<p:txBody><a:p><a:r><a:t>{escape(title)}</a:t></a:r></a:p></p:txBody></p:sp>"
        f"<p:sp><p:txBody>{body}</p:txBody></p:sp></p:spTree></p:cSld></p:sld>"
    )


def pptx(slides: Sequence[tuple[str, Sequence[str]]], *, notes: str = "") -> bytes:
    """Slides stand in the order given, whatever their files are called."""
    count = len(slides)
    names = [f"slides/slide{count - index}.xml" for index in range(count)]
    ids = "".join(f'<p:sldId id="{256 + index}" r:id="s{index}"/>' for index in range(count))
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": content_types({"ppt/presentation.xml": "presentationml.presentation.main"}),
        "ppt/presentation.xml": f'<p:presentation xmlns:p="{P}" xmlns:r="{R}"><p:sldIdLst>{ids}'
        "</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": relationships(
            {f"s{index}": ("slide", name) for index, name in enumerate(names)}
        ),
    }
    for name, (title, lines) in zip(names, slides, strict=True):
        parts[f"ppt/{name}"] = slide(title, lines)
    if notes:
        parts[f"ppt/slides/_rels/{names[0].rpartition('/')[2]}.rels"] = relationships(
            {"n1": ("notesSlide", "../notesSlides/notes1.xml")}
        )
        parts["ppt/notesSlides/notes1.xml"] = (
            f'<p:notes xmlns:p="{P}" xmlns:a="{A}"><p:cSld><p:spTree>'
            '<p:sp><p:nvSpPr><p:nvPr><p:ph type="sldNum"/></p:nvPr></p:nvSpPr>'
            "<p:txBody><a:p><a:r><a:t>1</a:t></a:r></a:p></p:txBody></p:sp>"
            '<p:sp><p:nvSpPr><p:nvPr><p:ph type="body"/></p:nvPr></p:nvSpPr>'
            f"<p:txBody><a:p><a:r><a:t>{escape(notes)}</a:t></a:r></a:p></p:txBody></p:sp></p:spTree></p:cSld></p:notes>"
        )
    return archive(parts)


# --- Excel


def cell(reference: str, value: str | float | bool, shared: list[str], style: int = 0) -> str:
    if isinstance(value, bool):
        return f'<c r="{reference}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, str):
        shared.append(value)
        return f'<c r="{reference}" t="s"><v>{len(shared) - 1}</v></c>'
    return f'<c r="{reference}" s="{style}"><v>{value}</v></c>'


def xlsx(
    sheets: dict[str, Sequence[Sequence[str | float | bool | None]]], *, dates: Iterable[str] = ()
) -> bytes:
    """Sheets of rows; cells named in `dates` ("Sheet!B2") are shown as dates. None leaves a cell out."""
    shared: list[str] = []
    shown_as_dates = set(dates)
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": content_types({"xl/workbook.xml": "spreadsheetml.sheet.main"}),
    }
    listed = {"st": ("styles", "styles.xml"), "ss": ("sharedStrings", "sharedStrings.xml")}
    entries = ""
    for index, (name, rows) in enumerate(sheets.items()):
        made = ""
        for at, row in enumerate(rows, 1):
            cells = (
                (f"{chr(65 + column)}{at}", value) for column, value in enumerate(row) if value is not None
            )
            made += f'<row r="{at}">' + "".join(
                cell(where, value, shared, 1 if f"{name}!{where}" in shown_as_dates else 0)
                for where, value in cells
            )
            made += "</row>"
        parts[f"xl/worksheets/sheet{index}.xml"] = (
            f'<worksheet xmlns="{S}"><sheetData>{made}</sheetData></worksheet>'
        )
        listed[f"w{index}"] = ("worksheet", f"worksheets/sheet{index}.xml")
        entries += f'<sheet name="{escape(name)}" sheetId="{index + 1}" r:id="w{index}"/>'
    parts["xl/workbook.xml"] = f'<workbook xmlns="{S}" xmlns:r="{R}"><sheets>{entries}</sheets></workbook>'
    parts["xl/_rels/workbook.xml.rels"] = relationships(listed)
    parts["xl/sharedStrings.xml"] = (
        f'<sst xmlns="{S}">' + "".join(f"<si><t>{escape(text)}</t></si>" for text in shared) + "</sst>"
    )
    parts["xl/styles.xml"] = (
        f'<styleSheet xmlns="{S}"><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>'
    )
    return archive(parts)


# --- EPUB


def epub(title: str, chapters: Sequence[str]) -> bytes:
    """Chapters of XHTML, in the order of the spine and not of the manifest."""
    items = "".join(
        f'<item id="c{index}" href="text/c{index}.xhtml" media-type="application/xhtml+xml"/>'
        for index in reversed(range(len(chapters)))
    )
    spine = "".join(f'<itemref idref="c{index}"/>' for index in range(len(chapters)))
    parts: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/>'
        "</rootfiles></container>",
        "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf">'
        f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{escape(title)}</dc:title></metadata>'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    for index, body in enumerate(chapters):
        parts[f"OEBPS/text/c{index}.xhtml"] = (
            '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml">'
            f"<head><title>{index}</title></head><body>{body}</body></html>"
        )
    return archive(parts, stored=["mimetype"])

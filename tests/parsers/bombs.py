"""Documents that were made to hurt whoever reads them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from tests.parsers import documents as made

MIB = 1 << 20


def zeros_deflated(size: int, fill: bytes = b" ") -> bytes:
    packer = zlib.compressobj(9)
    chunk = fill * MIB
    return b"".join([*(packer.compress(chunk) for _ in range(size // MIB)), packer.flush()])


def word_bomb(size: int) -> bytes:
    """A text of `size` bytes in a few hundred KiB."""
    parts = made.docx_parts("")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            if name != "word/document.xml":
                archive.writestr(name, data)
        with archive.open("word/document.xml", "w", force_zip64=False) as part:
            part.write(f'<w:document xmlns:w="{made.W}"><w:body><w:p><w:r><w:t>'.encode())
            for _ in range(size // MIB):
                part.write(b"a" * MIB)
            part.write(b"</w:t></w:r></w:p></w:body></w:document>")
    return out.getvalue()


def lying_sizes(data: bytes) -> bytes:
    """An archive whose directory says that every part is 100 bytes long."""
    out = bytearray(data)
    at = out.find(b"PK\x01\x02")
    while at >= 0:
        struct.pack_into("<I", out, at + 24, 100)
        at = out.find(b"PK\x01\x02", at + 4)
    return bytes(out)


def overlapping(parts: int) -> bytes:
    """Many names for the same bytes, as in Fifield's bomb (WOOT 2019)."""
    kernel = zeros_deflated(MIB)
    crc = zlib.crc32(b" " * MIB)
    local = (
        struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(kernel), MIB, 5, 0) + b"part0" + kernel
    )
    directory = b""
    for number in range(parts):
        name = b"word/%d.xml" % number
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, len(kernel), MIB, len(name), 0, 0, 0, 0, 0, 0
        )
        directory += name
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, parts, parts, len(directory), len(local), 0)
    return local + directory + end


def many_parts(count: int) -> bytes:
    return made.archive({f"word/{number}.xml": b"" for number in range(count)})


def nested_archives(depth: int) -> bytes:
    data = made.archive({"word/document.xml": b" " * MIB})
    for _ in range(depth):
        data = made.archive({f"word/{number}.docx": data for number in range(10)})
    return data


def billion_laughs() -> str:
    entities = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 10)
    )
    return f"<!DOCTYPE w [{entities}]>"


def outside(url: str) -> dict[str, bytes]:
    """Documents that name something outside of themselves, as each kind can."""
    xxe = f'<!DOCTYPE w [<!ENTITY x SYSTEM "{url}/entity">]>'
    dtd = f'<!DOCTYPE w SYSTEM "{url}/dtd">'
    paragraph = made.word_paragraph("Text.")
    book = made.epub("B", [f'<p>Chapter</p><img src="{url}/img"/><link rel="stylesheet" href="{url}/css"/>'])
    page = (
        f'<!doctype html><html><head><base href="{url}"><link rel=stylesheet href="{url}/css">'
        f'<meta http-equiv=refresh content="0;{url}/refresh"></head><body><img src="{url}/img">'
        f'<script src="{url}/js"></script><iframe src="{url}/frame"></iframe><p>Text.</p></body></html>'
    )
    action = f"/OpenAction << /S /URI /URI ({url}/open) >>".encode()
    return {
        "xxe.docx": made.archive(made.docx_parts(f"{paragraph}&x;", prolog=xxe)),
        "dtd.docx": made.archive(made.docx_parts(paragraph, prolog=dtd)),
        "relation.docx": made.archive(made.docx_parts(paragraph, external=f"{url}/image.png")),
        "template.docx": made.archive(
            made.docx_parts(paragraph)
            | {"word/_rels/settings.xml.rels": made.relationships({}, external=f"{url}/template.dotm")}
        ),
        "book.epub": book,
        "page.html": page.encode(),
        "image.svg": f'<svg xmlns="http://www.w3.org/2000/svg">{xxe}<image href="{url}/x"/></svg>'.encode(),
        "read.md": f"![image]({url}/md)\n\n[link]: {url}/link\n".encode(),
        "action.pdf": made.pdf(["Text."]).replace(b"/Type /Catalog", b"/Type /Catalog " + action),
    }


# --- PDF


def pdf_stream_bomb(size: int) -> bytes:
    """A page whose content is `size` bytes of spaces, deflated twice."""
    data = zlib.compress(zeros_deflated(size))
    stream = made.pdf_stream(data, b"/Filter [/FlateDecode /FlateDecode]")
    return made.pdf_objects(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
            stream,
        ]
    )


def pdf_declaring(pages: int) -> bytes:
    return made.pdf(["One."]).replace(b"/Count 1 ", b"/Count %d " % pages)


def pdf_of_many_pages(pages: int) -> bytes:
    """One page object, named `pages` times."""
    kids = b"3 0 R " * pages
    return made.pdf_objects(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count %d /Kids [%b] >>" % (pages, kids),
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>",
        ]
    )


def pdf_self_referring() -> bytes:
    return made.pdf_objects(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 5 /Kids [2 0 R 2 0 R] /Parent 2 0 R >>",
        ]
    )


def pdf_deep_tree(depth: int) -> bytes:
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    for number in range(2, depth + 2):
        objects.append(b"<< /Type /Pages /Count 1 /Kids [%d 0 R] >>" % (number + 1))
    objects.append(b"<< /Type /Page /MediaBox [0 0 9 9] >>")
    return made.pdf_objects(objects)


def pdf_nested(depth: int) -> bytes:
    """A page whose resources are lists within lists."""
    return made.pdf_objects(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Resources %b%b >>"
            % (b"[" * depth, b"]" * depth),
        ]
    )


def pdf_circular_table() -> bytes:
    data = made.pdf(["One."])
    start = data.rindex(b"startxref\n") + 10
    table = int(data[start : data.index(b"\n", start)])
    return data.replace(b"trailer\n<< ", b"trailer\n<< /Prev %d " % table)


def pdf_pixel_flood() -> bytes:
    """A page that is a picture of 30,000 × 30,000 points."""
    picture = made.pdf_stream(
        zeros_deflated(64 * MIB, b"\0"),
        b"/Type /XObject /Subtype /Image /Width 30000 /Height 30000 /ColorSpace /DeviceRGB"
        b" /BitsPerComponent 8 /Filter /FlateDecode",
    )
    return made.pdf_objects(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 5 0 R"
            b" /Resources << /XObject << /I 4 0 R >> >> >>",
            picture,
            made.pdf_stream(b"q 9 0 0 9 0 0 cm /I Do Q"),
        ]
    )


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * MIB)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")

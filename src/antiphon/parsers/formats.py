"""What kinds of documents are read, and how one is told from its first bytes."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from antiphon.domain.blocks import Shape
from antiphon.parsers.encodings import has_stray_nuls, wide_encoding
from antiphon.ports.document_parser import ParseFailed

HEAD_BYTES: Final = 4096
"""How much of a document's beginning is looked at."""

UNSUPPORTED: Final = "unsupported"
"""What stands for a parser's name where there is none."""

_OOXML: Final = "application/vnd.openxmlformats-officedocument."


class Format(msgspec.Struct, frozen=True):
    """A kind of document. `name` is its reader with its version: raised when the same document yields
    another text, so that texts read before are not taken for it.
    """

    name: str
    media_type: str
    shape: Shape


PDF: Final = Format("pdf-1", "application/pdf", "plain")
PDFIUM: Final = Format("pdfium-1", "application/pdf", "plain")
DOCX: Final = Format("docx-1", _OOXML + "wordprocessingml.document", "markdown")
PPTX: Final = Format("pptx-1", _OOXML + "presentationml.presentation", "markdown")
XLSX: Final = Format("xlsx-1", _OOXML + "spreadsheetml.sheet", "markdown")
EPUB: Final = Format("epub-1", "application/epub+zip", "markdown")
HTML: Final = Format("html-1", "text/html", "markdown")
MARKDOWN: Final = Format("markdown-1", "text/markdown", "markdown")
TEXT: Final = Format("text-1", "text/plain", "plain")
CSV: Final = Format("csv-2", "text/csv", "records")
JSON: Final = Format("json-1", "application/json", "plain")
JSONL: Final = Format("jsonl-1", "application/jsonl", "plain")
CODE: Final = Format("code-1", "text/plain", "code")

FORMATS: Final = {
    one.name: one
    for one in (PDF, PDFIUM, DOCX, PPTX, XLSX, EPUB, HTML, MARKDOWN, TEXT, CSV, JSON, JSONL, CODE)
}

_CODE_ENDINGS: Final = (
    "py", "pyi", "js", "mjs", "cjs", "jsx", "ts", "tsx", "java", "kt", "kts", "scala", "groovy", "c", "h",
    "cc", "cpp", "cxx", "hh", "hpp", "hxx", "cs", "go", "rs", "rb", "php", "pl", "pm", "swift", "m", "mm",
    "r", "jl", "lua", "sh", "bash", "zsh", "fish", "ps1", "bat", "sql", "proto", "thrift", "graphql",
    "gql", "css", "scss", "less", "vue", "svelte", "dart", "ex", "exs", "erl", "hs", "ml", "mli", "clj",
    "cljs", "lisp", "el", "scm", "f", "f90", "f95", "pas", "asm", "s", "v", "vhd", "sol", "zig", "nim",
    "tf", "cmake", "gradle", "toml", "yaml", "yml", "ini", "cfg", "conf", "xml", "xsd", "xsl", "svg",
    "tex", "bib", "dockerfile", "makefile", "mk",
)  # fmt: skip

_BY_ENDING: Final = {
    "md": MARKDOWN,
    "markdown": MARKDOWN,
    "mdx": MARKDOWN,
    "html": HTML,
    "htm": HTML,
    "xhtml": HTML,
    "csv": CSV,
    "tsv": CSV,
    "json": JSON,
    "geojson": JSON,
    "ipynb": JSON,
    "jsonl": JSONL,
    "ndjson": JSONL,
} | dict.fromkeys(_CODE_ENDINGS, CODE)

_ZIPPED: Final = {
    "docx": DOCX,
    "docm": DOCX,
    "pptx": PPTX,
    "pptm": PPTX,
    "xlsx": XLSX,
    "xlsm": XLSX,
    "epub": EPUB,
}

_FOREIGN: Final = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\xd0\xcf\x11\xe0", "a document in Microsoft's old binary format (save it as DOCX, PPTX or XLSX)"),
    (b"{\\rtf", "a rich text document (save it as DOCX)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"OggS", "an Ogg recording"),
    (b"ID3", "an MP3 recording"),
    (b"fLaC", "a FLAC recording"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"%!PS", "a PostScript document (save it as PDF)"),
)

_HTML_START: Final = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,2000}?-->\s*){0,4}<(?:!doctype\s+html|html|head|body)\b",
    re.I | re.S,
)


def format_of(filename: str, head: bytes, *, fast_pdf: bool = False) -> Format:
    """Judge a document by its first bytes; the name only breaks ties. Raises ParseFailed if it is not one."""
    if not head:
        raise ParseFailed("The file is empty.", code="invalid_file")
    if b"%PDF-" in head[:1024]:
        return PDFIUM if fast_pdf else PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return zipped(head, filename)
    for magic, what in _FOREIGN:
        if head.startswith(magic) and (len(magic) > 2 or (b"\0" in head and not has_stray_nuls(head))):
            raise ParseFailed(f"The file is {what}, which is not read.", code="unsupported_file")
    if head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE", b"AVI ")):
        raise ParseFailed("The file is an image or a recording, which is not read.", code="unsupported_file")
    if b"\0" in head and wide_encoding(head) is None and not has_stray_nuls(head):
        raise ParseFailed("The file is binary and of a kind that is not read.", code="unsupported_file")
    plain = head.replace(b"\0", b"").lstrip(b"\xff\xfe")
    if _HTML_START.match(plain.removeprefix(b"\xef\xbb\xbf")):
        return HTML
    return _BY_ENDING.get(_ending(filename), TEXT)


def zipped(head: bytes, filename: str) -> Format:
    """What an archive most likely is; the reader looks again, into its directory."""
    for mark, found in ((b"word/", DOCX), (b"ppt/", PPTX), (b"xl/", XLSX), (b"application/epub+zip", EPUB)):
        if mark in head:
            return found
    found_by_name = _ZIPPED.get(_ending(filename))
    return found_by_name or DOCX


def _ending(filename: str) -> str:
    return filename.rpartition("/")[2].rpartition(".")[2].lower()

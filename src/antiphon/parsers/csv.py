"""Tables as text: one row is one record, under the names of the columns, whatever lines its values have."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from io import IncrementalNewlineDecoder
from typing import Final

from antiphon.parsers.reading import Document, Note, Part
from antiphon.parsers.records import Records
from antiphon.parsers.text import decoded, find_encoding
from antiphon.ports.document_parser import ParseFailed

MAX_FIELD: Final = 1024 * 1024
"""Characters in one value; beyond that the file is no table."""

_DELIMITERS: Final = ",;\t|"
_SAMPLE_LINES: Final = 50
_QUOTED: Final = re.compile(r'"[^"]*+"')


def read_csv(document: Document) -> Iterator[Part]:
    """Yield the rows of a table."""
    encoding = find_encoding(document.file)
    if encoding.note:
        yield Note(encoding.note)
    csv.field_size_limit(MAX_FIELD)
    sample = next(decoded(document.file, encoding.name), "")
    delimiter = _delimiter(_QUOTED.sub("", sample).splitlines()[:_SAMPLE_LINES])
    records = Records()
    reader = csv.reader(_lines(decoded(document.file, encoding.name)), delimiter=delimiter)
    try:
        for row in reader:
            if text := records.row(row):
                yield text.rstrip("\n") + "\n\n"
    except csv.Error as error:
        raise ParseFailed(f"line {reader.line_num:,}: {error}.", code="invalid_file") from error


def _delimiter(lines: list[str]) -> str:
    """The sign that stands equally often in most lines."""
    best, best_rank = ",", (0, 0)
    for sign in _DELIMITERS:
        counts = Counter(line.count(sign) for line in lines if line.strip())
        counts.pop(0, None)
        if counts:
            each, agreeing = counts.most_common(1)[0]
            best, best_rank = max((best, best_rank), (sign, (agreeing, each)), key=lambda pair: pair[1])
    return best


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Lines of any system, with ends of one kind."""
    rest = ""
    ends = IncrementalNewlineDecoder(None, translate=True)
    for text in texts:
        lines = (rest + ends.decode(text)).split("\n")
        rest = lines.pop()
        for line in lines:
            yield line.replace("\0", "\ufffd") + "\n"
        if len(rest) > MAX_FIELD:
            raise ParseFailed("The table has a line of more than a million characters.", code="invalid_file")
    if rest:
        yield rest.replace("\0", "\ufffd")

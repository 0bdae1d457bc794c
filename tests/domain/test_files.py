"""Names of files: whatever a client calls one, what is shown is one line, short, and leads nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain.files import MAX_FILENAME_CHARACTERS, clean_filename

NAMES = {
    "a.txt": "a.txt", "../../etc/passwd": "passwd", "C:\\Users\\me\\a b.txt": "a b.txt", "": "file",
    "..": "file", ".": "file", "/": "file", "a\x00b\r\n.txt": "ab.txt", " a ": "a", ".env": ".env",
    "x" * 300 + ".txt": "x" * 251 + ".txt", "x" * 300: "x" * 255, "文.md": "文.md",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_without_what_is_no_name(name: str) -> None:
    assert clean_filename(name) == NAMES[name]


@given(st.one_of(st.text(), st.none(), st.integers(), st.text(alphabet="./\\ \x00a")))
def test_any_name_becomes_one_that_is_safe_to_show(name: object) -> None:
    shown = clean_filename(name)
    assert 0 < len(shown) <= MAX_FILENAME_CHARACTERS
    assert shown.isprintable() and "/" not in shown and "\\" not in shown
    assert shown.strip(".")
    assert clean_filename(shown) == shown

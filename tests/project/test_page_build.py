"""What the chat page is built of: exact, checked, free to use; and when it is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hatch_build

LOCK = json.loads((hatch_build.SOURCE / "package-lock.json").read_text())
MANIFEST = json.loads((hatch_build.SOURCE / "package.json").read_text())
FREE = {"MIT", "ISC", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "(MPL-2.0 OR Apache-2.0)"}
TOOLS = {"lightningcss", "axe-core"}
"""Under MPL-2.0: one compiles the page's styles, one tests it; nothing of them is in the page."""

PARTS: dict[str, dict[str, Any]] = {
    path.rpartition("node_modules/")[2]: part for path, part in LOCK["packages"].items() if path
}


def test_every_part_is_locked_by_its_digest_and_from_no_certain_place() -> None:
    assert len(PARTS) > 50
    assert [name for name, part in PARTS.items() if not part.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, part in PARTS.items() if "resolved" in part] == []
    assert [name for name, part in PARTS.items() if part.get("hasInstallScript")] in ([], ["fsevents"])


def test_every_part_is_free_to_use() -> None:
    bound = {name for name, part in PARTS.items() if part["license"] not in FREE}
    assert {name.partition("-")[0] if name.startswith("lightning") else name for name in bound} <= TOOLS


def test_what_the_page_is_made_of_is_named_exactly() -> None:
    inexact = [name for name, version in MANIFEST["dependencies"].items() if not version[0].isdigit()]
    assert inexact == []
    assert MANIFEST["dependencies"]["@assistant-ui/react"] == "0.15.21"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source of a page, and what stands for Node.js: it notes what it is asked for."""
    source = tmp_path / "web"
    source.mkdir()
    (source / "index.html").write_text("one")
    asked: list[list[str]] = []

    def run(command: list[str], runs: hatch_build.Node, otherwise: str) -> None:
        asked.append(command)
        (source / "dist").mkdir()
        (source / "dist" / "index.html").write_text("built")

    monkeypatch.setattr(hatch_build, "SOURCE", source)
    monkeypatch.setattr(hatch_build, "TARGET", tmp_path / "api" / "web")
    monkeypatch.setattr(hatch_build, "node", lambda: hatch_build.Node("node", ("npm",)))
    monkeypatch.setattr(hatch_build, "install", lambda runs: None)
    monkeypatch.setattr(hatch_build, "_run", run)
    (tmp_path / "api").mkdir()
    return tmp_path


def test_it_is_built_once_and_again_when_its_source_changed(checkout: Path) -> None:
    assert hatch_build.build()
    assert (checkout / "api" / "web" / "index.html").read_text() == "built"
    assert not hatch_build.build()
    (checkout / "web" / "index.html").write_text("two")
    assert hatch_build.build()
    assert not hatch_build.build()


def test_an_archive_brings_its_page_and_needs_no_source(checkout: Path) -> None:
    hatch_build.build()
    for path in (checkout / "web").iterdir():
        path.unlink()
    (checkout / "web").rmdir()
    assert not hatch_build.build()
    (checkout / "api" / "web" / "index.html").unlink()
    with pytest.raises(hatch_build.PageNotBuilt, match="folder web"):
        hatch_build.build()

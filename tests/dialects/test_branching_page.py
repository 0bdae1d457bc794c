"""Every command that the page of the branching chat prints does what the page says, open and closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.project_files import ROOT
from tests.dialects.servers import closed_server, open_server
from tests.dialects.walkthrough import Walk, steps_of

PAGE = ROOT / "docs" / "dialects" / "branching.md"
CALLS = (
    "create-chat", "get-chat", "update-chat", "delete-chat", "add-message", "create-branch", "get-branches",
    "set-active-branch",
)  # fmt: skip


def test_every_documented_call_is_on_the_page() -> None:
    printed = " ".join(step.command for step in steps_of(PAGE))
    assert all(f"/{name}" in printed for name in CALLS)


@pytest.mark.parametrize("needs_credentials", [False, True], ids=["open", "closed"])
def test_the_page_is_true(tmp_path: Path, needs_credentials: bool) -> None:
    with (closed_server if needs_credentials else open_server)(tmp_path) as served:
        steps = steps_of(PAGE)
        walk = Walk(served.port, served.token)
        ran = [walk.take(step) for step in steps]
        shown = next(one.json() for one, step in zip(ran, steps, strict=True) if "qa_pairs" in one.text)
        assert [pair["question"] for pair in shown["qa_pairs"]] == [
            "Where should we stay?",
            "Something cheaper?",
        ]
        if needs_credentials:
            stranger = Walk(served.port, None, walk.real)
            assert {stranger.run(step).status for step in steps} == {401}

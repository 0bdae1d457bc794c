"""Every command that the page of ChatAI-API prints does what the page says, open and with credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.project_files import ROOT
from tests.dialects.servers import closed_server, open_server
from tests.dialects.walkthrough import Walk, steps_of

PAGE = ROOT / "docs" / "dialects" / "chatai.md"


def test_every_documented_call_is_on_the_page() -> None:
    assert len(steps_of(PAGE)) == 5


@pytest.mark.parametrize("needs_credentials", [False, True], ids=["open", "closed"])
def test_the_page_is_true(tmp_path: Path, needs_credentials: bool) -> None:
    with (closed_server if needs_credentials else open_server)(tmp_path) as served:
        steps = steps_of(PAGE)
        walk = Walk(served.port, served.token)
        ran = [walk.take(step) for step in steps]
        assert ran[1].json()["content"] == "What is the current day?", "the model of these tests repeats"
        assert ran[2].text == "What is the current day?"
        assert [line for line in ran[3].text.splitlines() if line.startswith("event")][-1] == "event: message"
        (only,) = ran[4].json()
        assert [one["author"] for one in only["messages"]] == ["user", "assistant"] * 3
        if needs_credentials:
            stranger = Walk(served.port, None, walk.real)
            assert {stranger.run(step).status for step in steps} == {401}
            assert "POST /token" in stranger.run(steps[0]).json()["detail"]

"""Every command that the page of the FastAPI book prints does what the page says, open and with credentials.

The page has every call of the book's inventory; that is counted here against the routes.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.routing import Route

from antiphon.api.dialects.book.routes import BOOK
from scripts.project_files import ROOT
from tests.dialects.servers import Served, closed_server, open_server, sign_up
from tests.dialects.walkthrough import Step, Walk, steps_of

PAGE = ROOT / "docs" / "dialects" / "fastapi-book.md"
COMMANDS = 64
ADDRESS = re.compile(r"localhost:8000(/[^\s'?]*)")
OPEN_PATHS = ("/", "/login", "/token")
MESSAGES = ("Hello, how are you?", "What is your favorite food?")


def path_of(step: Step) -> str:
    found = ADDRESS.search(step.command)
    assert found is not None, step
    return found[1]


def operations() -> set[tuple[str, str]]:
    """Every operation of the dialect, and the one it claims."""
    routes = [one for one in BOOK.router.routes if isinstance(one, Route) and one.path != "/chat/"]
    own = {(method, one.path) for one in routes for method in one.methods or () if method != "HEAD"}
    return own | {claim.operation for claim in BOOK.claims if claim.operation[1] != "/chat/"}


def test_every_call_of_the_inventory_is_on_the_page() -> None:
    steps = steps_of(PAGE)
    assert len(steps) == COMMANDS
    shown = {operation_of(step) for step in steps}
    assert operations() - shown == set(), "these are not on the page"


def operation_of(step: Step) -> tuple[str, str] | None:
    """The operation that a command calls; what is written out is not also an id in a parameter's place."""
    method = re.search(r"-X (\w+)", step.command)
    asked, path = method[1] if method else "GET", path_of(step).rstrip("/")
    fitting = [
        one
        for one in operations()
        if one[0] == asked and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one[1].rstrip("/")), path)
    ]
    return min(fitting, key=lambda one: one[1].count("{"), default=None)


def walked(served: Served) -> Walk:
    """Run every command of the page, and leave last."""
    sign_up(served.port, "john")
    walk = Walk(served.port, served.token, carrier="x-api-key: ")
    steps = steps_of(PAGE)
    (leaving,) = (step for step in steps if path_of(step) == "/logout")
    for step in steps:
        if step is not leaving:
            walk.take(step)
    saved = walk.run(next(step for step in steps if "/get_chat_history" in step.command)).json()
    assert saved["chat_history"] == ["Hello, world!", "Hello, world!"], "both that were kept in it"
    walk.take(leaving)
    return walk


@pytest.mark.parametrize("needs_credentials", [False, True], ids=["open", "closed"])
def test_the_page_is_true(tmp_path: Path, needs_credentials: bool) -> None:
    with (closed_server if needs_credentials else open_server)(tmp_path, SIGNUP="open") as served:
        walk, steps = walked(served), steps_of(PAGE)
        if needs_credentials:
            stranger = Walk(served.port, None, walk.real)
            for step in steps:
                ran = stranger.run(step)
                if path_of(step) in OPEN_PATHS:
                    assert ran.status in (200, 401), step
                else:
                    assert ran.status == 401 and "POST /token" in ran.json()["detail"], step
            ended = walk.run(next(step for step in steps if path_of(step) == "/conversations"))
            assert ended.status == 401, "after the logout"

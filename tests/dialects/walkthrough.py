"""Runs the commands that a page of documentation prints, in a shell, against a real server.

A page is read as a sequence of fenced blocks. What counts:

* ```` ```sh ```` whose first word is `curl`: one command, run as it stands. Other shell blocks are left
  alone.
* ```` ```json ```` or ```` ```text ```` right after it: the documented answer, perhaps with a status in
  the fence's line (```` ```json 201 ````; 200 otherwise). A command without an answer must just succeed.

Of an answer every documented key must be there with a value of the same JSON type, down to the leaves
(further keys may come along). `null` stands for any value, an empty list or object for any of its kind,
and the last documented element of a list for all further ones. Documented moments must come in the same
form. Values under keys named `id`, `…_id` or `…token` in a documented answer are examples: what really
came is put in their place in all later commands, so a page can print the ids of its own examples.

Addresses (`localhost:8000` and the like) become the server's. With a token it is sent in every command:
in place of a printed bearer value, or in a header of its own. Accounts that a page needs are the test's.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

SECONDS: Final = 60
STATUS_LINE: Final = "@@status:"
_FENCE: Final = re.compile(r"^```(\w*)[ ]?([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ADDRESS: Final = re.compile(r"(?:localhost|127\.0\.0\.1|0\.0\.0\.0):8000")
_BEARER: Final = re.compile(r"(Authorization: *Bearer) [^'\"]*", re.IGNORECASE)
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_EXAMPLE: Final = re.compile(r"(?:^|_)(?:id|token)$")


@dataclass(frozen=True)
class Step:
    """One printed command and what is documented to come of it; `answer` is None where nothing is."""

    page: str
    line: int
    command: str
    status: int
    answer: Any = None
    is_text: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Ran:
    """What came: status and body."""

    status: int
    text: str

    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.text)


def steps_of(page: Path) -> list[Step]:
    """Return a page's commands in order."""
    text = page.read_text()
    blocks = [
        (match[1], match[2].strip(), match[3], text.count("\n", 0, match.start()) + 2)
        for match in _FENCE.finditer(text)
    ]
    found = []
    for index, (kind, _, body, line) in enumerate(blocks):
        if kind != "sh" or body.split(None, 1)[:1] != ["curl"]:
            continue
        shown = blocks[index + 1] if index + 1 < len(blocks) else ("", "", "", 0)
        if shown[0] not in ("json", "text"):
            found.append(Step(page.name, line, body, 200))
            continue
        status = int(shown[1]) if shown[1] else 200
        answer = json.loads(shown[2]) if shown[0] == "json" else shown[2]
        found.append(Step(page.name, line, body, status, answer, shown[0] == "text"))
    assert found, f"{page} prints no command"
    return found


@dataclass
class Walk:
    """A walk through pages on one server, which remembers what came in the place of each example."""

    port: int
    token: str | None = None
    real: dict[str, str] = field(default_factory=dict)
    carrier: str = "Authorization: Bearer "
    """How the token is sent with a command that prints no bearer value."""

    def run(self, step: Step) -> Ran:
        """Run a command as it is printed, examples and addresses replaced."""
        if shutil.which("curl") is None or shutil.which("bash") is None:
            pytest.skip("the documented commands need curl and bash")
        command = _ADDRESS.sub(f"127.0.0.1:{self.port}", step.command)
        for example, real in self.real.items():
            command = command.replace(example, real)
        extra = ""
        if self.token is not None:
            command, printed = _BEARER.subn(rf"\g<1> {self.token}", command)
            extra = "" if printed else f"-H '{self.carrier}{self.token}'"
        ours = f"-sS --noproxy '*' {extra} -w '\\n{STATUS_LINE}%{{http_code}}'"
        script = f'curl() {{ command curl {ours} "$@"; }}\n{command}'
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, timeout=SECONDS, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        text, mark, status = done.stdout.rpartition(f"\n{STATUS_LINE}")
        assert mark, f"{step}: {done.stderr or done.stdout}"
        return Ran(int(status), text)

    def take(self, step: Step) -> Ran:
        """Run a command, compare what comes with what is documented, and learn from it."""
        ran = self.run(step)
        assert ran.status == step.status, f"{step}: {ran.status} {ran.text[:500]}"
        if step.is_text:
            assert ran.text.strip(), f"{step}: an empty answer"
        elif step.answer is not None:
            faults = list(differences(step.answer, ran.json()))
            assert faults == [], f"{step}: {faults}\n{ran.text[:1000]}"
            self.real |= dict(examples(step.answer, ran.json()))
        return ran

    def all(self, page: Path) -> list[Ran]:
        """Walk through a whole page."""
        return [self.take(step) for step in steps_of(page)]


def differences(documented: Any, actual: Any, at: str = "$") -> Iterator[str]:
    """Yield what of a documented answer is not so in an actual one."""
    if documented is None:
        return
    if kind_of(documented) != kind_of(actual):
        yield f"{at} is {actual!r:.80}, documented as {documented!r:.80}"
    elif isinstance(documented, dict):
        for key, value in documented.items():
            if key in actual:
                yield from differences(value, actual[key], f"{at}.{key}")
            else:
                yield f"{at}.{key} is missing"
    elif isinstance(documented, list) and documented:
        if not actual:
            yield f"{at} is empty"
        for index, value in enumerate(actual):
            yield from differences(documented[min(index, len(documented) - 1)], value, f"{at}[{index}]")
    elif isinstance(documented, str) and not has_form(actual, documented):
        yield f"{at} is {actual!r}, documented in the form {documented!r}"


def has_form(actual: str, documented: str) -> bool:
    """Whether a moment is written as the documented one; any other text may stand for any text."""
    if not _MOMENT.match(documented):
        return True
    return re.fullmatch(re.sub(r"\d", r"\\d", re.escape(documented)), actual) is not None


def kind_of(value: Any) -> str:
    """Return the JSON type; whole and broken numbers are one."""
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return "number" if isinstance(value, int | float) else type(value).__name__


def examples(documented: Any, actual: Any) -> Iterator[tuple[str, str]]:
    """Yield the ids and tokens of a documented answer with what came in their place."""
    if isinstance(documented, dict) and isinstance(actual, dict):
        for key, value in documented.items():
            if isinstance(value, str) and isinstance(actual.get(key), str) and _EXAMPLE.search(key):
                if value != actual[key]:
                    yield value, actual[key]
            else:
                yield from examples(value, actual.get(key))
    elif isinstance(documented, list) and isinstance(actual, list):
        for one, other in zip(documented, actual, strict=False):
            yield from examples(one, other)

"""What the project promises about itself: sizes, links, text, settings, targets, locked versions."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from antiphon.cli.doctor_machine import version_key
from antiphon.settings import Settings
from scripts import check_links, check_sizes, check_text
from scripts.project_files import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock")
REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)


# --- the checks hold, and would notice


def test_no_function_and_no_file_is_too_long() -> None:
    assert list(check_sizes.problems()) == []


def test_every_link_and_anchor_leads_somewhere() -> None:
    assert list(check_links.problems()) == []


def test_no_file_names_a_registry_or_a_machine() -> None:
    assert list(check_text.problems()) == []


def test_a_long_function_is_noticed_and_its_docstring_not_counted() -> None:
    body = "\n".join("    x = 1" for _ in range(38))
    fits = f'def f():\n    """One.\n\n    Two.\n    """\n{body}\n    return x\n'
    assert list(check_sizes.file_problems("src/a.py", fits)) == []
    nested = f"class A:\n    @property\n    async def f(self):\n{body.replace('    x', '        x')}\n"
    too_long = f"{nested}        return 1\n        # end\n        return 2\n"
    assert len(list(check_sizes.file_problems("src/a.py", too_long))) == 1
    assert list(check_sizes.file_problems("tests/a.py", too_long)) == []
    assert len(list(check_sizes.file_problems("tests/a.py", "x = 1\n" * 401))) == 1
    assert len(list(check_sizes.file_problems("web/src/a.tsx", "x;\n" * 401))) == 1
    assert list(check_sizes.file_problems("web/src/a.tsx", "x;\n" * 400)) == []


def test_dead_links_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "other.md").write_text("# A `b` c!\n\n## Twice\n\n## Twice\n\n<a id='own'></a>\n")
    page.write_text("# Here\n")
    good = [
        "other.md",
        "other.md#a-b-c",
        "other.md#twice-1",
        "other.md#own",
        "#here",
        "https://example.org/x",
    ]
    bad = ["gone.md", "other.md#gone", "#gone", "../../outside.md"]
    assert [t for t in good if check_links.link_problem(page, t, tmp_path)] == []
    assert [t for t in bad if not check_links.link_problem(page, t, tmp_path)] == []
    text = 'See [a](one.md), ![b](two.png), [c][c], `[d](code.md)` <img src="three.png">\n\n[c]: four.md\n'
    assert sorted(check_links.targets(text)) == ["four.md", "one.md", "three.png", "two.png"]


@pytest.mark.parametrize(
    "line",
    [
        "see https://files.python" + "hosted.org/x",
        '"resolved": "https://registry.npm' + 'js.org/ws"',
        "cd /ho" + "me/me/antiphon",
        "path = '/ro" + "ot'",
        "PATH=/wo" + "rk/main",
    ],
)
def test_ties_to_one_machine_or_registry_are_noticed(line: str) -> None:
    assert list(check_text.line_problems("notes.md", line))


@pytest.mark.parametrize(
    "line", ["GET https://example.org/home/x", "the root of the tree", "a/work/b", "/v1/x"]
)
def test_harmless_text_is_left_alone(line: str) -> None:
    assert list(check_text.line_problems("notes.md", line)) == []


def test_a_url_in_a_lock_file_is_noticed() -> None:
    line = "x @ https://example.org/x.whl"
    assert list(check_text.line_problems("requirements.lock", line))
    assert list(check_text.line_problems("notes.md", line)) == []


# --- settings


def environment_names(name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias or field.alias
    if isinstance(alias, AliasChoices):
        return [str(choice).upper() for choice in alias.choices]
    return [str(alias or name).upper()]


def example_names() -> set[str]:
    text = (ROOT / ".env.example").read_text()
    return set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))


def test_the_example_environment_names_every_setting_and_no_other() -> None:
    known = {name: environment_names(name, field) for name, field in Settings.model_fields.items()}
    missing = [names[0] for names in known.values() if not set(names) & example_names()]
    assert missing == []
    assert example_names() - {name for names in known.values() for name in names} == set()


# --- make


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_what_the_example_leaves_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = re.findall(r"^#? *([A-Z_]+)= *(?:#.*)?$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert {"TEMPERATURE", "MAX_TOKENS", "EMBEDDING_DIMENSIONS"} <= set(empty)
    for name in empty:
        monkeypatch.setenv(name, "")
    settings = Settings(_env_file=None)
    assert (settings.temperature, settings.max_tokens, settings.embedding_dimensions) == (None, None, None)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_make_targets_a_page_names_exist(page: str) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", (ROOT / page).read_text(), re.MULTILINE))
    assert named
    assert named - make_targets() == set()


def test_make_shows_a_line_for_each_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"make {target} " in shown for target in make_targets())


def test_scripts_that_are_run_are_executable() -> None:
    for name in ("scripts/make_venv", ".ci/run"):
        assert (ROOT / name).stat().st_mode & 0o111, name


# --- locked versions


def locked_entries(name: str) -> Iterator[str]:
    """The lock file's requirements, each with its continuation lines."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    yield from filter(str.strip, re.split(r"\n(?=\S)", text))


def locked_versions(name: str) -> dict[str, str]:
    return {found["name"]: found["version"] for found in REQUIREMENT.finditer((ROOT / name).read_text())}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_requirement_is_pinned_and_hashed(name: str) -> None:
    entries = list(locked_entries(name))
    assert len(entries) > 20
    assert [e.splitlines()[0] for e in entries if not REQUIREMENT.match(e) or "--hash=sha256:" not in e] == []


def test_the_tests_run_on_the_versions_that_are_served() -> None:
    served, tested = (locked_versions(name) for name in LOCKS)
    assert {name: version for name, version in served.items() if tested.get(name) != version} == {}


def declared_floors() -> dict[str, str]:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return {m[1]: m[2] for line in declared if (m := re.match(r"([\w-]+)>=([\d.]+)", line))}


@pytest.mark.parametrize("name", LOCKS)
def test_every_declared_dependency_is_locked(name: str) -> None:
    locked = locked_versions(name)
    behind = {p: f for p, f in declared_floors().items() if version_key(locked.get(p, "")) < version_key(f)}
    assert behind == {}


def test_no_locked_or_declared_version_is_below_its_floor() -> None:
    floors = tomllib.loads((ROOT / "floors.toml").read_text())
    lowest = declared_floors()
    for package, floor in floors.items():
        for versions in (lowest, *(locked_versions(name) for name in LOCKS)):
            if package in versions:
                assert version_key(versions[package]) >= version_key(floor["min"]), package
        assert floor["why"]


def test_the_installed_packages_fit_together() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout

"""Contents replaced by others, broken off at every step: all of the old is there again, or all of the new."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon.storage import replacing

OLD = {"a.db": "old a", "a.db-wal": "old log", "docs/x": "old x", "other": "kept"}
NEW = {"a.db": "new a", "docs/y": "new y", "key": "new key"}
NAMES = {"a.db", "a.db-wal", "docs", "key", "never"}
AFTER = {**NEW, "other": "kept"}
MOST_STEPS = 100


class Killed(BaseException):
    """The process ends here."""


def write(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)


def read(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text()
        for path in directory.rglob("*")
        if path.is_file() and replacing.RESTORING not in path.parts
    }


def begun(directory: Path) -> Path:
    write(directory, OLD)
    write(replacing.begin(directory), NEW)
    return directory


@contextmanager
def killed_at(step: int) -> Iterator[list[str]]:
    """Let so many changes of names happen, and kill whatever wants another; gives those that happened."""
    happened: list[str] = []

    def counted(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def or_killed(*args: Any, **kwargs: Any) -> Any:
            if len(happened) == step:
                raise Killed
            happened.append(name)
            return change(*args, **kwargs)

        return or_killed

    with pytest.MonkeyPatch.context() as patched:
        for name in ("replace", "unlink", "rmdir", "mkdir"):
            patched.setattr(Path, name, counted(name, getattr(Path, name)))
        patched.setattr(shutil, "rmtree", counted("rmtree", shutil.rmtree))
        yield happened


def killed_replacing(directory: Path, step: int) -> bool:
    """Replace and be killed at a step, without a chance to put anything back; False if it came to its end."""
    with killed_at(step), pytest.MonkeyPatch.context() as patched:
        patched.setattr(replacing, "put_back", lambda directory: None)
        try:
            replacing.replace(directory, NAMES)
            replacing.end(directory)
        except Killed:
            return True
    return False


def test_all_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    replacing.replace(begun(tmp_path), NAMES)
    assert not replacing.is_interrupted(tmp_path)
    replacing.end(tmp_path)
    assert read(tmp_path) == AFTER and not (tmp_path / replacing.RESTORING).exists()


def test_killed_at_any_step_and_once_more_while_it_is_put_back(tmp_path: Path) -> None:
    undone = 0
    for step in range(MOST_STEPS):
        for step_back in range(MOST_STEPS):
            directory = tmp_path / f"{step}-{step_back}"
            was_killed = killed_replacing(begun(directory), step)
            whole = not replacing.is_interrupted(directory)
            came_through = whole
            with killed_at(step_back):
                try:
                    replacing.put_back(directory)
                    came_through = True
                except Killed:
                    pass
            replacing.put_back(directory)
            replacing.end(directory)
            undone += not whole
            begun_to_replace = step > 0
            assert read(directory) == (AFTER if whole and begun_to_replace else OLD), (step, step_back)
            assert not (directory / replacing.RESTORING).exists()
            if came_through:
                break
        if not was_killed:
            break
    assert undone > 20 and not was_killed


@pytest.mark.parametrize("step", range(8))
def test_what_cannot_be_moved_leaves_everything_as_it_was(tmp_path: Path, step: int) -> None:
    directory, moved = begun(tmp_path), list[Path]()
    move = Path.replace

    def refused(path: Path, target: Path) -> Path:
        if len(moved) == step:
            moved.append(path)
            raise OSError(16, "Device or resource busy")
        moved.append(path)
        return move(path, target)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(OSError, match="busy"):
        patched.setattr(Path, "replace", refused)
        replacing.replace(directory, NAMES)
    replacing.end(directory)
    assert read(directory) == OLD and not (directory / replacing.RESTORING).exists()


def test_what_an_earlier_release_left_without_a_list_is_put_back_too(tmp_path: Path) -> None:
    write(tmp_path, {"a.db": "new", "docs/y": "new", "other": "kept"})
    write(tmp_path / replacing.RESTORING / replacing.REPLACED, {"a.db": "old a", "docs/x": "old x"})
    assert replacing.put_back(tmp_path)
    assert read(tmp_path) == {"a.db": "old a", "docs/x": "old x", "other": "kept"}

"""Which files belong to the project, and how a check reports."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = {".git", ".venv", ".venv-lock", "node_modules", "build", "dist", "data", "__pycache__"}


def project_files(root: Path = ROOT) -> list[Path]:
    """Every file git tracks or would track; in an unpacked archive, every file outside known by-products."""
    if (root / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
        candidates = [root / name for name in names.split("\0") if name]
    else:
        candidates = [path for path in root.rglob("*") if not NOT_OURS & set(path.relative_to(root).parts)]
    return sorted(path for path in set(candidates) if path.is_file() and not path.is_symlink())


def read_text(path: Path) -> str | None:
    """The file's text, or None if it is binary."""
    data = path.read_bytes()
    if b"\0" in data[:8192]:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def relative(path: Path, root: Path = ROOT) -> str:
    return path.relative_to(root).as_posix()


def report(what: str, problems: Iterable[str]) -> int:
    """Print the problems, or one line that all is well; the result is the exit code."""
    found = list(problems)
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"{what}: {len(found)} problems" if found else f"{what}: fine")
    return 1 if found else 0


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    return enumerate(text.split("\n"), start=1)

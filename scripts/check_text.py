"""No file ties the project to one machine or to one package registry.

Registry hosts and absolute paths of a machine may stand in no file, URLs in no Python lock file: whoever
installs from a mirror uses the same files. Hosts are written here in two parts, so that this file passes.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.project_files import ROOT, numbered_lines, project_files, read_text, relative, report

REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry.npmjs", "org"),
        ("registry.yarnpkg", "com"),
        ("npmmirror", "com"),
        ("proxy.golang", "org"),
        ("sum.golang", "org"),
        ("crates", "io"),
        ("rubygems", "org"),
    )
)
HOSTS = "|".join(map(re.escape, REGISTRY_HOSTS))
HOST = re.compile(rf"(?<![\w-])(?:{HOSTS})(?![\w-])", re.IGNORECASE)
# The same words inside a URL or a relative path are somebody's route, not this machine.
MACHINE_PATH = re.compile(r"(?<![\w.~$}{)*<>-])/(?:(?:root|work|home|Users)/|root(?![\w/-]))")
URL = re.compile(r"https?://", re.IGNORECASE)
LOCK_FILE = re.compile(r"requirements[\w-]*\.(lock|txt)$")


def line_problems(name: str, line: str) -> Iterator[str]:
    """What is wrong with one line of the file `name`."""
    if HOST.search(line):
        yield "names a package registry"
    if MACHINE_PATH.search(line):
        yield "names a path of one machine"
    if LOCK_FILE.search(name) and URL.search(line):
        yield "a lock file holds a URL"


def problems(root: Path = ROOT) -> Iterator[str]:
    for path in project_files(root):
        name, text = relative(path, root), read_text(path)
        for number, line in numbered_lines(text or ""):
            for problem in line_problems(name, line):
                yield f"{name}:{number}: {problem}: {line.strip()[:100]}"


if __name__ == "__main__":
    sys.exit(report("text", problems()))

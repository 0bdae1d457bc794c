"""No function over 40 lines, no file over 400.

A function counts from its `def` to its last line, without decorators and without its docstring. In `tests`
only `tests/harness` answers for its functions; every test file answers for its length, and so does every
source of the chat page.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.project_files import ROOT, project_files, relative, report

FUNCTION_LINES = 40
FILE_LINES = 400
FUNCTIONS_IN = ("src/", "bench/", "tests/harness/", "scripts/")
FILES_IN = (*FUNCTIONS_IN, "tests/", "web/src/")
SOURCES = (".py", ".ts", ".tsx", ".css")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def function_lines(function: Function) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def long_functions(source: str) -> Iterator[tuple[str, int, int]]:
    """Name, line and length of every function that is too long, nested ones and methods included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function) and function_lines(node) > FUNCTION_LINES:
            yield node.name, node.lineno, function_lines(node)


def file_problems(name: str, source: str) -> Iterator[str]:
    """What is too long in the source `name`, a path relative to the root."""
    lines = len(source.splitlines())
    if name.startswith(FILES_IN) and lines > FILE_LINES:
        yield f"{name}: {lines} lines, more than {FILE_LINES}"
    if name.startswith(FUNCTIONS_IN):
        for function, line, length in long_functions(source):
            yield f"{name}:{line}: {function} has {length} lines, more than {FUNCTION_LINES}"


def problems(root: Path = ROOT) -> Iterator[str]:
    for path in project_files(root):
        if path.suffix in SOURCES:
            yield from file_problems(relative(path, root), path.read_text())


if __name__ == "__main__":
    sys.exit(report("sizes", problems()))

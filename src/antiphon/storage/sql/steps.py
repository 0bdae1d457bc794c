"""What a command becomes: statements with the rows they must touch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Step = tuple[str, tuple[Any, ...], int | None]
"""Statement, parameters, and the rows it must touch (None: any number)."""

Compiler = Callable[[Any], Iterator[Step]]

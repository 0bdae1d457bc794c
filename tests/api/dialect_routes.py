"""Operations of the dialects for the route gate, each with a body that is right.

What leads to a conversation by an id in its path stands in `test_access.ROUTES`, with the role it takes;
so do bodies and queries that name one, in `BODIES` and `QUERIES` there.
"""

from __future__ import annotations

from typing import Any

SPOKEN: dict[tuple[str, str], Any] = {
    ("POST", "/conversation"): None,
    ("GET", "/conversation"): None,
}
"""In an order in which one caller can do all of them; `{…_id}` stands for the caller's own object."""

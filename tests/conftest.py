"""What holds for every test."""

from __future__ import annotations

import pytest

from tests import warm


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Servers that are measured start as a user's do."""
    warm.allowed = warm.POSSIBLE and item.get_closest_marker("alone") is None

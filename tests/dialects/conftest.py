"""The fixtures of the API's tests serve the dialects too."""

from __future__ import annotations

from tests.api.conftest import api, served, town, world

__all__ = ["api", "served", "town", "world"]

"""The operations that ask for no credential even where credentials are needed: one list for all tests.

Whoever adds a route without a caller enters it here, a dialect's with the dialect, or the gate
(`tests/api/test_route_gate.py`) fails.
"""

from __future__ import annotations

from typing import Final

from antiphon.api import dialects

OPEN_OPERATIONS: Final = dialects.OPEN_OPERATIONS | frozenset({
    ("GET", "/health"), ("GET", "/health/live"), ("GET", "/health/ready"),
    ("POST", "/token"),
    ("GET", "/v1/auth/signup"), ("POST", "/v1/auth/signup"),
    ("DELETE", "/v1/auth/cookie"),
    ("GET", "/v1/auth/oidc"),  # a login page must know where one can log in
    ("GET", "/v1/auth/oidc/{provider}/login"), ("GET", "/v1/auth/oidc/{provider}/callback"),
    ("GET", "/v1/shared/{token}"), ("GET", "/v1/shared/{token}/items"),
    ("GET", "/v1/shared/{token}/events"), ("GET", "/v1/shared/{token}/items/{item_id}/pictures/{picture_id}"),
})  # fmt: skip

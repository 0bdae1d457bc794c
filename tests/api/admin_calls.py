"""Calls of `/v1/admin` in tests."""

from __future__ import annotations

from typing import Any

from tests.harness.people import Json, Person

NEVER = "0" * 32


async def ok(person: Person, method: str, path: str, body: Any = None, *, status: int = 200) -> Json:
    """Call as a person and return the decoded answer, which must have the status."""
    response = await person.call(method, path, body)
    assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text[:400]}"
    found: Json = response.json()
    return found


async def refused(person: Person, method: str, path: str, body: Any = None, *, status: int) -> Json:
    """Call as a person and return the inner object of the error."""
    error: Json = (await ok(person, method, path, body, status=status))["error"]
    return error


def path_of(person: Person, rest: str = "") -> str:
    """The path of a person's account."""
    return f"/v1/admin/users/user_{person.account.id}{rest}"

"""Two users of a real server that wants credentials, each with an access token."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tests.e2e.wire import Exchange, call

PASSWORD = "correct horse battery staple"
PROTECTED = {
    "AUTH_REQUIRED": "true",
    "SECRET_KEY": "0e6d41f8b2c97a5340e1f6b8d2a79c53e4b8016f",
    "SIGNUP": "open",
    "LIST_SCRIPTED_MODELS": "true",
    "DRAIN_SECONDS": "1",
}
"""Settings of such a server."""


class Asker:
    """A person with a token."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token
        self.headers = {"authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Exchange:
        """Call as this person."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await call(self.port, method, path, body, {**self.headers, **named})


async def person(port: int, name: str) -> Asker:
    """Sign up and log in."""
    made = await call(port, "POST", "/v1/auth/signup", {"username": name, "password": PASSWORD})
    assert made.status == 202, bytes(made.body)
    form = urlencode({"grant_type": "password", "username": name, "password": PASSWORD}).encode()
    login = await call(port, "POST", "/token", form, {"content-type": "application/x-www-form-urlencoded"})
    assert login.status == 200, bytes(login.body)
    return Asker(port, login.json()["access_token"])


async def two_people(port: int) -> tuple[Asker, Asker]:
    """Ann and Bob."""
    return await person(port, "ann"), await person(port, "bob")

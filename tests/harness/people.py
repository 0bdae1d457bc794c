"""People for tests over HTTP: accounts, logins, keys, and every way to carry a credential.

`make_person` puts an account into a running core's store, since sign-up makes users only and may
be closed; everything else goes over the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
from argon2 import PasswordHasher

from antiphon.domain import ids
from antiphon.domain.accounts import Account, Role
from antiphon.ports.account_writes import NewAccount
from antiphon.ports.storage import Storage
from antiphon.services.passwords import LANES, MEMORY_KIB, PASSES

SECRET_KEY = "5b1d0e0f6b7a4c6f8d3e2a1c9f7b5d3e1a2c4b6d8f0e1c3a5b7d9f1e3c5a7b9d"
PASSWORD = "correct horse battery"
COOKIE = "__Host-antiphon"
CARRIERS = ("bearer", "x-api-key", "cookie")
"""The ways to send a credential with an HTTP request; `cookie` for sessions only."""

Json = dict[str, Any]


@dataclass
class Person:
    """An account that is logged in."""

    http: httpx.AsyncClient
    account: Account
    tokens: Json
    keys: list[Json] = field(default_factory=list)

    @property
    def access(self) -> str:
        """The access token."""
        token: str = self.tokens["access_token"]
        return token

    @property
    def bearer(self) -> dict[str, str]:
        """The headers of a request by this person."""
        return {"authorization": f"Bearer {self.access}"}

    async def call(self, method: str, path: str, body: Any = None, **fields: Any) -> httpx.Response:
        """Call as this person."""
        headers = {**self.bearer, **fields.pop("headers", {})}
        return await self.http.request(method, path, json=body, headers=headers, **fields)

    async def key(self, *scopes: str, **fields: Any) -> str:
        """Make an API key (read and write by default) and return it."""
        body: Json = {"name": "test", **({"scopes": list(scopes)} if scopes else {}), **fields}
        made = await self.call("POST", "/v1/api_keys", body)
        assert made.status_code == 201, made.text
        self.keys.append(made.json())
        secret: str = made.json()["key"]
        return secret

    async def cookie(self) -> str:
        """Have the session put into a cookie and return its value."""
        response = await self.call("POST", "/v1/auth/cookie")
        assert response.status_code == 200, response.text
        name, _, rest = response.headers["set-cookie"].partition("=")
        assert name == COOKIE
        value: str = rest.partition(";")[0]
        return value

    async def refresh(self) -> httpx.Response:
        """Change the refresh token; the new tokens are kept if it works."""
        body = {"grant_type": "refresh_token", "refresh_token": self.tokens["refresh_token"]}
        response = await self.http.post("/token", json=body)
        if response.status_code == 200:
            self.tokens = response.json()
        return response

    async def carried(self, carrier: str) -> dict[str, str]:
        """Return the headers of a request whose credential comes by a carrier."""
        if carrier == "cookie":
            return carry(carrier, await self.cookie())
        return carry(carrier, await self.key())


def carry(carrier: str, token: str) -> dict[str, str]:
    """Return the headers that carry a token (for `cookie`, a cookie's token)."""
    if carrier == "bearer":
        return {"authorization": f"Bearer {token}"}
    if carrier == "x-api-key":
        return {"x-api-key": token}
    return {"cookie": f"{COOKIE}={token}", "sec-fetch-site": "same-origin"}


@cache
def hashed(password: str) -> str:
    """Return a password's hash as the server makes it, once a password: it is slow."""
    hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
    return hasher.hash(password)


async def make_account(
    storage: Storage, name: str, *, role: Role = "user", password: str = PASSWORD, **fields: Any
) -> Account:
    """Store an account with a password."""
    slot = ids.new_slot()
    account = Account(
        id=ids.new_id(slot), slot=slot, name=name, role=role, password_hash=hashed(password), created_us=1,
        updated_us=1, **fields,
    )  # fmt: skip
    await storage.unit_of_work.commit(NewAccount(account=account))
    return account


async def log_in(http: httpx.AsyncClient, name: str, password: str = PASSWORD) -> httpx.Response:
    """Log in with a form, as OAuth 2 has it."""
    return await http.post("/token", data={"grant_type": "password", "username": name, "password": password})


async def make_person(
    storage: Storage, http: httpx.AsyncClient, name: str, *, role: Role = "user", **fields: Any
) -> Person:
    """Store an account and log it in."""
    account = await make_account(storage, name, role=role, **fields)
    response = await log_in(http, name)
    assert response.status_code == 200, response.text
    return Person(http, account, response.json())

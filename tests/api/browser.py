"""A browser that logs in through a provider, and a server that knows the provider by three names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from antiphon.bootstrap import SystemClock
from antiphon.domain.external_logins import LoginTerms
from antiphon.ports.external_logins import LoginProvider
from antiphon.providers.github_login import GitHubLogin
from antiphon.providers.http_client import HttpClient
from antiphon.providers.oidc import OidcLogin
from tests.api.client import in_process
from tests.api.people_fixtures import FastClock, Town
from tests.harness.identity_provider import IdentityProvider
from tests.harness.people import SECRET_KEY
from tests.providers.logging_in import spec_of
from tests.services.world import open_world

PUBLIC = "https://antiphon.test"
LOGIN_COOKIE = "__Host-antiphon-login"
OPEN = LoginTerms(label="IdP", allow_signup=True)


@dataclass
class Browser:
    """Keeps cookies as a browser does, and goes where it is sent."""

    town: Town
    jar: dict[str, str] = field(default_factory=dict)
    cookies_set: list[str] = field(default_factory=list)

    async def get(self, path: str, **query: str) -> httpx.Response:
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items()).encode("latin-1")
        headers = {"cookie": cookies, "sec-fetch-site": b"cross-site", "sec-fetch-mode": b"navigate"}
        response = await self.town.http.get(path, params=query, headers=headers)
        for cookie in response.headers.get_list("set-cookie"):
            self.cookies_set.append(cookie)
            name, _, rest = cookie.partition("=")
            value = rest.partition(";")[0]
            assert name.startswith("__Host-")
            assert {"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} <= set(rest.split("; "))
            if "Max-Age=0" in rest:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value
        return response

    async def begin(self, provider: str = "idp", **query: str) -> dict[str, str]:
        """Begin a login, be logged in there, and return what the browser is sent back with."""
        sent = await self.get(f"/v1/auth/oidc/{provider}/login", **query)
        assert sent.status_code == 302, sent.text
        async with httpx.AsyncClient(trust_env=False) as elsewhere:
            back = await elsewhere.get(sent.headers["location"])
        url = urlsplit(back.headers["location"])
        assert f"{url.scheme}://{url.netloc}{url.path}" == f"{PUBLIC}/v1/auth/oidc/{provider}/callback"
        return {name: values[0] for name, values in parse_qs(url.query).items()}

    async def finish(self, brought: dict[str, str], provider: str = "idp") -> httpx.Response:
        return await self.get(f"/v1/auth/oidc/{provider}/callback", **brought)

    async def log_in(self, provider: str = "idp", **query: str) -> httpx.Response:
        return await self.finish(await self.begin(provider, **query), provider)


@asynccontextmanager
async def opened(
    directory: Path, idp: IdentityProvider, terms: LoginTerms = OPEN, **changes: Any
) -> AsyncIterator[Town]:
    """A server that knows the provider by three names: as it is, as GitHub, and with an admin claim."""
    http, clock = HttpClient(), FastClock()
    admins = spec_of(idp, name="admins", terms=terms, admin_claim="groups", admin_value="ops")
    logins: dict[str, LoginProvider] = {
        "idp": OidcLogin(spec_of(idp, terms=terms), http, SystemClock()),
        "hub": GitHubLogin(spec_of(idp, "github", name="hub", terms=terms), http),
        "admins": OidcLogin(admins, http, SystemClock()),
    }
    settings = {"auth_required": True, "secret_key": SECRET_KEY, "public_url": PUBLIC, **changes}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.services.world.SystemClock", lambda: clock)
        world = await open_world(directory, logins=logins, **settings)
    try:
        async with in_process(world) as api:
            yield Town(world, api.http, clock)
    finally:
        await world.close()
        await http.close()


def refused(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["error"]["code"]) == (status, code), response.text


async def me(town: Town, response: httpx.Response) -> dict[str, Any]:
    """Who the tokens of a login name."""
    assert response.status_code == 200, response.text
    bearer = {"authorization": f"Bearer {response.json()['access_token']}"}
    found: dict[str, Any] = (await town.http.get("/v1/auth/me", headers=bearer)).json()
    return found


def accounts_in(town: Town) -> int:
    return int(town.world.rows("SELECT COUNT(*) FROM accounts WHERE name<>'local'")[0][0])


def identities_in(town: Town) -> list[tuple[Any, ...]]:
    return town.world.rows("SELECT issuer,subject,owner_id,provider,email FROM external_identities")

"""GitHub's logins: the numeric id is the person, only the verified primary address counts."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.domain.errors import LoginProviderError, Unauthenticated
from antiphon.domain.external_logins import ExternalIdentity
from antiphon.providers.github_login import GitHubLogin
from antiphon.providers.http_client import HttpClient
from tests.harness.identity_provider import IdentityProvider
from tests.providers.logging_in import answer_at, log_in, new_attempt, spec_of


@pytest.fixture
def github(idp: IdentityProvider) -> IdentityProvider:
    return idp


@pytest.fixture
def login(github: IdentityProvider, http: HttpClient) -> GitHubLogin:
    return GitHubLogin(spec_of(github, "github", scopes=("read:user", "user:email")), http)


def address(email: str, *, primary: bool, verified: bool) -> dict[str, Any]:
    return {"email": email, "primary": primary, "verified": verified, "visibility": None}


async def test_a_login_says_who_it_is(login: GitHubLogin, github: IdentityProvider) -> None:
    github.emails = [
        address("old@example.org", primary=False, verified=True),
        address("Octo@Example.org", primary=True, verified=True),
    ]
    assert await log_in(login) == ExternalIdentity(
        issuer=github.issuer, subject="583231", provider="idp", email="octo@example.org", email_verified=True,
        name="Octo.Cat",
    )  # fmt: skip


@pytest.mark.parametrize(
    "emails",
    [
        [],
        [address("a@b.org", primary=False, verified=True)],
        [address("a@b.org", primary=True, verified=False)],
        [address("a@b.org", primary=True, verified=False), address("c@d.org", primary=False, verified=True)],
        [{"email": "a@b.org", "primary": "true", "verified": "true"}],
        ["a@b.org"],
    ],
)
async def test_no_other_address_counts(
    login: GitHubLogin, github: IdentityProvider, emails: list[Any]
) -> None:
    github.emails = emails
    github.github_user["email"] = "public-and-unproven@example.org"
    assert (await log_in(login)).email is None


@pytest.mark.parametrize("identifier", [None, "583231", True, [1], 1.5])
async def test_who_has_no_number_is_nobody(
    login: GitHubLogin, github: IdentityProvider, identifier: Any
) -> None:
    github.github_user = {"id": identifier, "login": "octocat"}
    with pytest.raises(LoginProviderError):
        await log_in(login)


async def test_a_code_works_once(login: GitHubLogin) -> None:
    attempt = new_attempt()
    answer = await answer_at(await login.authorization_url(attempt))
    assert (await login.identify(attempt, answer)).subject == "583231"
    with pytest.raises(Unauthenticated):
        await login.identify(attempt, answer)


@pytest.mark.parametrize("path", ["/login/oauth/access_token", "/api/v3/user", "/api/v3/user/emails"])
async def test_out_of_order_is_told_and_redirects_are_not_followed(
    login: GitHubLogin, github: IdentityProvider, path: str
) -> None:
    github.statuses = {path: 503}
    with pytest.raises(LoginProviderError):
        await log_in(login)
    github.statuses, github.redirects = {}, {path: f"{github.issuer}/keys"}
    with pytest.raises(LoginProviderError):
        await log_in(login)
    assert github.hits["/keys"] == 0


async def test_a_wrong_client_is_the_operators_fault(github: IdentityProvider, http: HttpClient) -> None:
    with pytest.raises(LoginProviderError):
        await log_in(GitHubLogin(spec_of(github, "github", client_secret="x"), http))

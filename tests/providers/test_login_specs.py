"""Login providers come from well-known names and from tables, and their secrets never show."""

from __future__ import annotations

import tomllib

import pytest

from antiphon.domain.errors import InvalidRequest
from antiphon.domain.external_logins import ExternalIdentity, LoginTerms, is_own_path
from antiphon.providers.login_specs import LoginSpec, login_specs

SECRET = "oidc-canary-93ab0c"
ENV = {
    "GOOGLE_CLIENT_ID": "g-id", "GOOGLE_CLIENT_SECRET": SECRET,
    "GITHUB_CLIENT_ID": "gh-id", "GITHUB_CLIENT_SECRET": SECRET,
    "KEYCLOAK_ISSUER": "http://keycloak:8080/realms/x", "KEYCLOAK_CLIENT_ID": "k-id",
}  # fmt: skip


def specs_of(toml: str = "", env: dict[str, str] | None = None) -> dict[str, LoginSpec]:
    return {spec.name: spec for spec in login_specs(tomllib.loads(toml).get("oidc", {}), env or {})}


def test_nothing_is_configured_by_default() -> None:
    assert specs_of() == {} and specs_of(env={"GOOGLE_CLIENT_ID": " "}) == {}


def test_every_preset() -> None:
    found = specs_of(env=ENV)
    assert list(found) == ["google", "github", "keycloak"]
    assert found["google"].issuer == "https://accounts.google.com"
    assert (found["google"].client_id, found["google"].client_secret) == ("g-id", SECRET)
    assert found["google"].scopes == ("openid", "profile", "email")
    assert (found["github"].kind, found["github"].scopes) == ("github", ("read:user", "user:email"))
    assert found["keycloak"].issuer == "http://keycloak:8080/realms/x"
    assert found["keycloak"].client_secret is None and found["keycloak"].is_plain
    for spec in found.values():
        assert not spec.terms.allow_signup, "nobody signs up unless configuration says so"
        assert SECRET not in repr(spec)


def test_a_table_adds_to_a_preset_and_stands_alone() -> None:
    found = specs_of(
        """
        [oidc.google]
        allow_signup = true
        allowed_domains = ["Example.org", "@example.com"]

        [oidc.corp]
        issuer = "https://login.example.org/"
        client_id = "antiphon"
        client_secret_env = "CORP_SECRET"
        label = "Corp"
        scopes = ["openid", "groups"]
        admin_claim = "groups"
        admin_value = "ops"
        """,
        {**ENV, "CORP_SECRET": SECRET},
    )
    assert found["google"].terms == LoginTerms(
        label="Google", allow_signup=True, allowed_domains=frozenset({"example.org", "example.com"})
    )
    corp = found["corp"]
    assert (corp.issuer, corp.client_secret, corp.scopes) == (
        "https://login.example.org/", SECRET, ("openid", "groups")
    )  # fmt: skip
    assert (corp.admin_claim, corp.admin_value, corp.terms.label) == ("groups", "ops", "Corp")


@pytest.mark.parametrize(
    ("toml", "word"),
    [
        ('[oidc.x]\nissuer = "https://a.org"', "client_id"),
        ('[oidc.x]\nclient_id = "a"', "issuer"),
        ('[oidc.x]\nclient_id = "a"\nissuer = "a.org"', "issuer"),
        ('[oidc.x]\nclient_id = "a"\nissuer = "https://u:p@a.org"', "issuer"),
        ('[oidc.x]\nclient_id = "a"\nissuer = "https://a.org?x"', "issuer"),
        ('[oidc.x]\nclient_id = "a"\nissuer = "https://a.org"\nsecret = "b"', "secret"),
        ('[oidc.x]\nclient_id = "a"\nissuer = "https://a.org"\nallow_signup = "yes"', "allow_signup"),
        ('[oidc.x]\nclient_id = "a"\nissuer = "https://a.org"\nkind = "saml"', "kind"),
        ('[oidc.x]\nclient_id = "a"\nissuer = "https://a.org"\nscopes = ["email"]', "openid"),
        ('[oidc.x]\nclient_id = "a"\nissuer = "https://a.org"\nclient_secret_env = "GONE"', "GONE"),
        ('[oidc."a/b"]\nclient_id = "a"', "name"),
        ('[oidc]\nx = "a"', "table"),
        ('[oidc.github]\nclient_id = "a"\nadmin_claim = "x"', "admin_claim"),
    ],
)
def test_a_mistake_is_named(toml: str, word: str) -> None:
    with pytest.raises(InvalidRequest, match=word):
        specs_of(toml)


def test_domains_admit_proven_addresses_only() -> None:
    terms = LoginTerms(label="x", allowed_domains=frozenset({"example.org"}))

    def somebody(email: str | None, *, verified: bool = True) -> ExternalIdentity:
        return ExternalIdentity(issuer="i", subject="s", provider="p", email=email, email_verified=verified)

    assert terms.admits(somebody("a@example.org"))
    for email in (None, "a@example.org.evil", "a@sub.example.org", "example.org@evil", "a@evilexample.org"):
        assert not terms.admits(somebody(email))
    assert not terms.admits(somebody("a@example.org", verified=False))
    assert LoginTerms(label="x").admits(somebody(None))


def test_paths_that_leave_us() -> None:
    for path in (
        "/",
        "/chat",
        "/chat?x=1&y=/2#z",
        "/a//b",
        "/%5cevil.example",
        "/..//evil.example",
        "/@evil",
    ):
        assert is_own_path(path), path
    for path in (
        "", "chat", "//evil.example", "///evil.example", "/\\evil.example", "/a\\b", "\\/evil.example",
        "https://evil.example", "javascript:alert(1)", "/\t/evil.example", "/\n/evil.example", "/a b",
        " /chat", "/chat\r\nSet-Cookie: a=b", "/\x00", "/ü", "/" + "a" * 2000, "?x", "#x", "/\x7f",
    ):  # fmt: skip
        assert not is_own_path(path), path

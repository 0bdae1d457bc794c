"""Port to servers that say who somebody is: OpenID Connect, and GitHub's OAuth."""

from __future__ import annotations

from typing import Protocol

from antiphon.domain.external_logins import ExternalIdentity, LoginAnswer, LoginAttempt, LoginTerms


class LoginProvider(Protocol):
    """One configured login provider.

    Errors leave it as LoginProviderError, when the provider is at fault or away, or as
    Unauthenticated `login_failed`, when what the browser brought does not prove anything.
    """

    @property
    def name(self) -> str:
        """The configured name, part of its routes."""
        ...

    @property
    def terms(self) -> LoginTerms:
        """Who may come in."""
        ...

    async def authorization_url(self, attempt: LoginAttempt) -> str:
        """Return where the browser is sent to log in; raises LoginProviderError."""
        ...

    async def identify(self, attempt: LoginAttempt, answer: LoginAnswer) -> ExternalIdentity:
        """Exchange the answer's code and return whom the provider vouches for.

        The caller has compared the state. Raises LoginProviderError and Unauthenticated.
        """
        ...

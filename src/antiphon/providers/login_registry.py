"""Build the login providers that configuration names."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from antiphon.ports.clock import Clock
from antiphon.ports.external_logins import LoginProvider
from antiphon.ports.outbound import OutboundHttp
from antiphon.providers.login_specs import LoginSpec

log = structlog.get_logger(__name__)


def build_logins(specs: Sequence[LoginSpec], http: OutboundHttp, clock: Clock) -> dict[str, LoginProvider]:
    """Return login providers by name, in order; connects to nothing yet."""
    if not specs:
        return {}
    # Authlib takes 0.1 s to import, which nobody should wait for who has no login provider.
    from antiphon.providers.github_login import GitHubLogin  # noqa: PLC0415
    from antiphon.providers.oidc import OidcLogin  # noqa: PLC0415

    built: dict[str, LoginProvider] = {}
    for spec in specs:
        if spec.is_plain:
            log.warning("login provider without TLS", provider=spec.name)
        built[spec.name] = GitHubLogin(spec, http) if spec.kind == "github" else OidcLogin(spec, http, clock)
    return built

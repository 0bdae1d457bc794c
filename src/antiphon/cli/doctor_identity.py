"""What the doctor says of who may come in."""

from collections.abc import Iterator

from antiphon.cli.findings import Finding, State
from antiphon.settings import Settings


def people(settings: Settings) -> Iterator[Finding]:
    """Who needs a credential, what signs them, and who may sign up."""
    if not settings.needs_credentials:
        yield Finding("credentials", State.OK, "none needed: only this machine reaches the server")
        yield _own_secret(settings)
    else:
        yield Finding("credentials", State.OK, "needed, signed with SECRET_KEY")
    if settings.signup == "open" and not settings.is_loopback:
        hint = "SIGNUP=invite lets in whom you ask"
        yield Finding("sign-up", State.WARN, "open to everybody who reaches the server", hint)
    else:
        yield Finding("sign-up", State.OK, settings.signup)
    if settings.secret_key_previous is not None:
        hint = f"drop it {settings.refresh_token_days} days after the rotation"
        yield Finding("rotation", State.WARN, "SECRET_KEY_PREVIOUS still verifies tokens", hint)


def _own_secret(settings: Settings) -> Finding:
    path = settings.data_dir / "secret_key"
    if settings.secret_key is not None:
        return Finding("secret", State.OK, "SECRET_KEY")
    if not path.exists():
        return Finding("secret", State.OK, "drawn at the first start")
    if path.stat().st_mode & 0o077:
        return Finding("secret", State.FAIL, f"{path} can be read by others", f"chmod 600 {path}")
    return Finding("secret", State.OK, f"{path}, for its owner only")

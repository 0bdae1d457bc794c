"""Who is who: the server's secret, its first accounts, and the services that know callers."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from antiphon.application import Application
from antiphon.bootstrap.beside import Beside
from antiphon.domain import ids
from antiphon.domain.accounts import LOCAL_OWNER, Principal
from antiphon.ports import write_sets as ws
from antiphon.ports.attempts import Attempts
from antiphon.ports.clock import Clock
from antiphon.ports.external_logins import LoginProvider
from antiphon.ports.storage import Storage
from antiphon.services import external_logins
from antiphon.services.account_credentials import AccountCredentials
from antiphon.services.accounts import Accounts
from antiphon.services.api_keys import ApiKeys
from antiphon.services.credentials import Credentials
from antiphon.services.external_logins import ExternalLogins
from antiphon.services.first_administrator import NAME, FirstAdministrator, Made, Wanted
from antiphon.services.identities import Identities
from antiphon.services.keyring import Keyring
from antiphon.services.login_guard import LoginGuard
from antiphon.services.passwords import Passwords
from antiphon.services.preferences import Preferences
from antiphon.services.provider_keys import stored_keys
from antiphon.services.quotas import Quotas
from antiphon.services.sealing import Sealer
from antiphon.services.secrets import PURPOSE, Secrets
from antiphon.services.sessions import Sessions
from antiphon.services.tokens import Tokens
from antiphon.settings import MIN_SECRET_BYTES, Settings

CHATGROQ = "chatgroq"
"""The dialect whose guide names the first administrator's password."""
OWN_SECRET = "secret_key"  # noqa: S105 - a file name
log = structlog.get_logger(__name__)


def keyring_of(settings: Settings) -> Keyring:
    """Return the server's secret: the configured one, else one of its own beside its data (mode 0600)."""
    previous = settings.secret_key_previous
    return Keyring(
        settings.usable_secret_key or _own_secret(settings),
        [previous.get_secret_value()] if previous else [],
    )


def own_secret_path(settings: Settings) -> Path:
    """Return where the secret lies that a server without SECRET_KEY makes."""
    return settings.data_dir / OWN_SECRET


def _own_secret(settings: Settings) -> str:
    path = own_secret_path(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists() or path.stat().st_size == 0:
        _draw_secret(path)
    path.chmod(0o600)
    return path.read_text("ascii")


def _draw_secret(path: Path) -> None:
    """Write a new secret, whole or not at all: whatever is signed with half of one can be forged."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(MIN_SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


async def first_administrator(settings: Settings, application: Application) -> None:
    """Make sure that somebody can log in; a password that was drawn is shown here and never again."""
    password = settings.default_admin_password
    wanted = Wanted(
        name=settings.default_admin_username or None,
        password=(password.get_secret_value() if password else None) or None,
        needs_credentials=settings.needs_credentials,
        documented=CHATGROQ in settings.spoken_dialects,
        production=settings.environment == "production",
    )
    made = await application.first_administrator.ensure(wanted)
    if made is None:
        return
    if made.is_reset:
        log.warning(
            "the first administrator was reset, as somebody asked by deleting its key", name=made.name
        )
    if made.is_weak:
        log.warning("the first administrator's password stands in every guide: for this machine only")
    if made.password is not None:
        sys.stdout.write(_announcement(made))
        sys.stdout.flush()


def _first_name(settings: Settings) -> str:
    return (settings.default_admin_username or NAME).lower()


def _announcement(made: Made) -> str:
    line = "=" * 72
    return (
        f"\n{line}\n  The first administrator. This password is shown once, here:\n\n"
        f"    username: {made.name}\n    password: {made.password}\n\n"
        f"  Change it after logging in: POST /v1/auth/password\n{line}\n\n"
    )


async def open_secrets(
    settings: Settings, storage: Storage, clock: Clock
) -> tuple[Secrets, Mapping[str, str]]:
    """Return the secrets, and the providers' keys among them; raises WrongSecretKey."""
    vault = Secrets(storage.secrets, storage.unit_of_work, clock, Sealer(PURPOSE, keyring_of(settings)))
    if settings.discard_unreadable_secrets:
        for name in await vault.discard_unreadable():
            log.warning("secret discarded", name=name)
    return vault, stored_keys(await vault.open_all())


async def local_owner(storage: Storage, clock: Clock) -> Principal:
    """Return the account of whoever runs the server, creating it at the first start."""
    found = await storage.accounts.by_name(LOCAL_OWNER)
    if found is not None:
        return found.principal()
    slot = ids.new_slot()
    account = Principal(ids.new_id(slot), slot, LOCAL_OWNER, "admin")
    await storage.unit_of_work.commit(ws.PutAccount(account=account, created_us=clock.now_us()))
    created = await storage.accounts.by_name(LOCAL_OWNER)
    return created.principal() if created else account


def identity_of(
    settings: Settings,
    storage: Storage,
    beside: Beside,
    owner: Principal,
    clock: Clock,
    quotas: Quotas,
    logins: Mapping[str, LoginProvider],
) -> dict[str, Any]:
    """Return the services that know who is who, by their names in `Application`, and `passwords`."""
    keyring = keyring_of(settings)
    tokens = Tokens(
        keyring,
        clock,
        access_seconds=settings.access_token_minutes * 60,
        plain_seconds=settings.access_token_expire_minutes * 60,
        refresh_seconds=settings.refresh_token_days * 24 * 3600,
    )
    key = settings.api_key.get_secret_value() if settings.api_key and settings.needs_credentials else None
    credentials = Credentials(
        storage.credentials, storage.unit_of_work, tokens, clock, owner=owner,
        api_key_hash=hashlib.sha256(key.encode()).digest() if key else None,
        complete=quotas.limited,
    )  # fmt: skip
    passwords = Passwords()
    return {
        "passwords": passwords,
        "credentials": credentials,
        **_ways_in(
            settings, storage, beside.attempts, credentials, tokens, passwords, clock, keyring, logins
        ),
        "api_keys": ApiKeys(storage, credentials, clock),
        "preferences": Preferences(storage, clock),
        "first_administrator": FirstAdministrator(
            storage, passwords, clock, beside.mirror, first_name=_first_name(settings)
        ),
    }


def _ways_in(
    settings: Settings, storage: Storage, attempts: Attempts, credentials: Credentials, tokens: Tokens,
    passwords: Passwords, clock: Clock, keyring: Keyring, logins: Mapping[str, LoginProvider],
) -> dict[str, Any]:  # fmt: skip
    """Return the services by which people come in, by their names in `Application`."""
    guard, sessions = LoginGuard(attempts), Sessions(storage, credentials, clock)
    accounts = Accounts(
        storage, credentials, tokens, passwords, guard, sessions, clock, sign_up=settings.signup
    )
    identities = Identities(storage, accounts, sessions, credentials, clock, logins)
    sealer = Sealer(external_logins.PURPOSE, keyring)
    return {
        "accounts": accounts,
        "account_credentials": AccountCredentials(
            storage, passwords, credentials, sessions, clock,
            first_name=_first_name(settings),
        ),
        "sessions": sessions,
        "identities": identities,
        "external_logins": ExternalLogins(
            logins, storage, accounts, credentials, clock, sealer, identities,
            public_url=settings.public_url or "",
        ),
    }  # fmt: skip

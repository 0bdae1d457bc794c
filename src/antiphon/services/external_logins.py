"""Logging in through another server: from the first redirect to the session.

What a login was begun with travels in a cookie of the browser that began it, sealed, and works
once. An identity names its account by issuer and subject. An address leads to an account only if
the provider vouches for it and the account was made for it: it has no password and nobody's
identity yet. Whoever holds an address at some provider gets nobody else's account by it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from typing import Final, NoReturn

import msgspec
import structlog

from antiphon.domain import ids
from antiphon.domain.accounts import RESERVED_NAMES, USER, Account, Role, Visit, account_name
from antiphon.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unauthenticated, Unavailable
from antiphon.domain.external_logins import (
    ExternalIdentity,
    LinkedIdentity,
    LoginAnswer,
    LoginAttempt,
    LoginTerms,
    is_own_path,
)
from antiphon.ports import account_writes as aw
from antiphon.ports.clock import Clock
from antiphon.ports.external_logins import LoginProvider
from antiphon.ports.storage import Storage
from antiphon.services.accounts import Accounts, Login
from antiphon.services.audit_lines import audit
from antiphon.services.credentials import Credentials
from antiphon.services.identities import Identities, LinkTo, linking
from antiphon.services.sealing import Sealer, Unreadable

PURPOSE: Final = "login"
ATTEMPT_SECONDS: Final = 600
REMEMBERED: Final = 4096
TRIES: Final = 5

_NO_NAME = re.compile(r"[^a-z0-9._+-]+")
log = structlog.get_logger(__name__)


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A login under way, as it lies sealed in the browser; with `link` it adds a way into an account."""

    state: str
    nonce: str
    verifier: str
    next_path: str | None
    expires_us: int
    link: LinkTo | None = None


class BegunLogin(msgspec.Struct, frozen=True, kw_only=True):
    """Where the browser goes, and the cookie that it comes back with."""

    url: str
    cookie: str
    seconds: int = ATTEMPT_SECONDS


class FinishedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """The session, or the identity that was linked; and where the browser wanted to go: a whole URL of ours,
    or None.
    """

    done: Login | LinkedIdentity
    url: str | None


class ExternalLogins:
    """Logins through the configured providers. `public_url` is the origin that browsers know us by."""

    def __init__(
        self,
        providers: Mapping[str, LoginProvider],
        storage: Storage,
        accounts: Accounts,
        credentials: Credentials,
        clock: Clock,
        sealer: Sealer,
        identities: Identities,
        *,
        public_url: str,
    ) -> None:
        self._providers = providers
        self._storage = storage
        self._accounts = accounts
        self._credentials = credentials
        self._clock = clock
        self._sealer = sealer
        self._identities = identities
        self._public_url = public_url
        self._used: dict[str, int] = {}

    def offered(self) -> dict[str, LoginTerms]:
        """Return the providers by name, in order of configuration."""
        return {name: provider.terms for name, provider in self._providers.items()}

    def require(self, name: str) -> None:
        """Raise NotFound if there is no provider of that name."""
        self._provider(name)

    async def begin(self, name: str, next_path: str | None, link: LinkTo | None = None) -> BegunLogin:
        """Begin a login; afterwards the browser goes to `next_path`, without one it is given tokens.

        With `link` it opens no session but adds the identity to that account. Raises NotFound,
        InvalidRequest for a path that is not ours, and LoginProviderError.
        """
        provider = self._provider(name)
        if next_path is not None and not is_own_path(next_path):
            raise InvalidRequest(
                "'next' must be a path of this server, like '/'.", code="invalid_next", param="next"
            )
        pending = Pending(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            next_path=next_path,
            expires_us=self._clock.now_us() + ATTEMPT_SECONDS * 1_000_000,
            link=link,
        )
        url = await provider.authorization_url(self._attempt(name, pending))
        sealed = self._sealer.seal(name, msgspec.json.encode(pending))
        return BegunLogin(url=url, cookie=urlsafe_b64encode(sealed).rstrip(b"=").decode())

    async def finish(self, name: str, answer: LoginAnswer, cookie: str | None, visit: Visit) -> FinishedLogin:
        """Finish a login with what the browser brought back and the cookie it had been given.

        Raises NotFound, Unauthenticated if nothing is proved, Forbidden for somebody who may not
        come in, and LoginProviderError.
        """
        provider = self._provider(name)
        pending = self._pending(name, cookie)
        if pending is None or not hmac.compare_digest(pending.state.encode(), (answer.state or "").encode()):
            self._fail(name, "the state is not this browser's")
        self._use_up(name, pending)
        if answer.error is not None or not answer.code:
            raise Unauthenticated("The login was not granted there.", code="login_refused")
        identity = await provider.identify(self._attempt(name, pending), answer)
        if not provider.terms.admits(identity):
            raise Forbidden("This needs a verified address of another domain.", code="domain_not_allowed")
        url = None if pending.next_path is None else self._public_url + pending.next_path
        if pending.link is not None:
            linked = await self._identities.link(pending.link, identity, visit)
            return FinishedLogin(done=linked, url=url)
        account = await self._account(provider, identity, visit)
        return FinishedLogin(done=await self._accounts.open_session(account, f"oidc:{name}", visit), url=url)

    # --- the browser's cookie

    def _provider(self, name: str) -> LoginProvider:
        if name not in self._providers:
            raise NotFound("There is no such login provider.", code="login_provider_not_found")
        return self._providers[name]

    def _attempt(self, name: str, pending: Pending) -> LoginAttempt:
        return LoginAttempt(
            state=pending.state,
            nonce=pending.nonce,
            verifier=pending.verifier,
            redirect_uri=f"{self._public_url}/v1/auth/oidc/{name}/callback",
        )

    def _pending(self, name: str, cookie: str | None) -> Pending | None:
        """Return what a cookie holds, None if it is none of ours or too old."""
        try:
            text = (cookie or "").encode("ascii")
            sealed = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
            pending = msgspec.json.decode(self._sealer.open(name, sealed), type=Pending)
        except (ValueError, Unreadable):
            return None
        return pending if pending.expires_us > self._clock.now_us() else None

    def _use_up(self, name: str, pending: Pending) -> None:
        """Remember a state until it would expire anyway: the browser's Back button proves nothing twice."""
        now = self._clock.now_us()
        if pending.state in self._used:
            self._fail(name, "the state was used before")
        if len(self._used) >= REMEMBERED:
            self._used = {state: expires for state, expires in self._used.items() if expires > now}
        if len(self._used) >= REMEMBERED:
            raise Unavailable("Too many logins at once. Try again soon.", code="login_busy")
        self._used[pending.state] = pending.expires_us

    @staticmethod
    def _fail(name: str, reason: str) -> NoReturn:
        log.warning("login refused", provider=name, reason=reason)
        raise Unauthenticated("The login could not be completed. Begin it anew.", code="login_failed")

    # --- the account

    async def _account(self, provider: LoginProvider, identity: ExternalIdentity, visit: Visit) -> Account:
        """Return the account of an identity, linking or making one where that is allowed."""
        names = _names(identity)
        for _ in range(TRIES):
            found = await self._storage.accounts.by_identity(identity.issuer, identity.subject)
            if found is not None:
                if found.state != "active":
                    raise Forbidden("This account is disabled.", code="account_disabled")
                return await self._with_role(found, identity, visit)
            try:
                await self._join(provider, identity, next(names), visit)
            except Conflict:
                continue  # the name is taken, or another login of the same person was quicker
        raise Unavailable("The account could not be made. Try again.", code="login_busy")

    async def _join(
        self, provider: LoginProvider, identity: ExternalIdentity, name: str, visit: Visit
    ) -> None:
        """Link an identity to the account made for its address, or make one; raises Conflict."""
        address, now = identity.proven_email, self._clock.now_us()
        owner = await self._storage.accounts.by_email(address) if address else None
        if owner is not None:
            await self._link(owner, identity, visit)
            return
        if not provider.terms.allow_signup:
            raise Forbidden("Nobody has made an account for you here.", code="signup_closed")
        slot = ids.new_slot()
        account = Account(
            id=ids.new_id(slot), slot=slot, name=name, email=address, created_us=now, updated_us=now,
            role=_role(identity) or "user",
        )  # fmt: skip
        line = audit(
            account.principal(), "user.sign_up", now, target=USER + account.id, visit=visit,
            method=f"oidc:{identity.provider}",
        )  # fmt: skip
        await self._storage.unit_of_work.commit(
            aw.NewAccount(account=account), linking(account, identity, now, most=1), line
        )

    async def _link(self, owner: Account, identity: ExternalIdentity, visit: Visit) -> None:
        now = self._clock.now_us()
        taken = Forbidden("An account with this address exists already.", code="email_taken")
        if owner.password_hash is not None or owner.state != "active":
            raise taken
        line = audit(
            owner.principal(), "identity.link", now, target=USER + owner.id, visit=visit,
            method=f"oidc:{identity.provider}",
        )  # fmt: skip
        try:
            await self._storage.unit_of_work.commit(linking(owner, identity, now, most=1), line)
        except Conflict:
            if await self._storage.accounts.by_identity(identity.issuer, identity.subject) is None:
                raise taken from None

    async def _with_role(self, account: Account, identity: ExternalIdentity, visit: Visit) -> Account:
        """Return the account with the role that the provider decides, if it is asked about roles."""
        role = _role(identity)
        if role is None or role == account.role:
            return account
        now = self._clock.now_us()
        await self._storage.unit_of_work.commit(
            aw.UpdateAccount(
                account_id=account.id, now_us=now, expected_epoch=account.epoch, ends_sessions=True, role=role
            ),
            audit(account.principal(), "user.role", now, target=USER + account.id, visit=visit, role=role),
        )
        self._credentials.forget(account.id)
        return msgspec.structs.replace(account, role=role, epoch=account.epoch + 1)


def _role(identity: ExternalIdentity) -> Role | None:
    if identity.is_admin is None:
        return None
    return "admin" if identity.is_admin else "user"


def _names(identity: ExternalIdentity) -> Iterator[str]:
    """Return names for a new account, the person's own first; every one after the first is drawn."""
    for wish in (identity.name, (identity.proven_email or "").partition("@")[0]):
        name = account_name(_NO_NAME.sub("-", (wish or "").lower())[:48].strip("._+-"))
        if name is not None and name not in RESERVED_NAMES:
            yield name
            break
    else:
        name = identity.provider
    while True:
        yield f"{name}-{secrets.token_hex(4)}"

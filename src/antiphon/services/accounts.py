"""Accounts as their owners use them: sign up, log in, stay logged in, change the password, leave."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import (
    INVITE_PREFIX,
    RESERVED_NAMES,
    SESSION,
    USER,
    Account,
    Credential,
    Invite,
    LoginSession,
    Principal,
    Visit,
    account_email,
    account_name,
)
from antiphon.domain.errors import Conflict, Forbidden, Unauthenticated, Unprocessable
from antiphon.ports import account_writes as aw
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.ports.write_sets import Command
from antiphon.services.access import not_found
from antiphon.services.audit_lines import audit
from antiphon.services.credentials import Credentials
from antiphon.services.login_guard import (
    Devices,
    LoginGuard,
    belongs,
    by_device,
    by_name,
    by_session,
)
from antiphon.services.passwords import Passwords
from antiphon.services.sessions import Sessions
from antiphon.services.tokens import SessionClaims, Tokens, refused

SignUp = Literal["closed", "invite", "open"]
MAX_NAME = 64
US = 1_000_000
PROVEN_US = 600 * US


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """What a login gives: two tokens with their lifetimes in seconds, and the session they belong to.

    With a password also a token for the device, to be shown at its next login.
    """

    account: Account
    session_id: str
    access_token: str
    access_seconds: int
    refresh_token: str
    refresh_seconds: int
    device_token: str | None = None
    device_seconds: int = 0


class PlainLogin(msgspec.Struct, frozen=True, kw_only=True):
    """What a login gives a client that knows no refresh tokens: one token, whose end is its session's."""

    account: Account
    access_token: str
    access_seconds: int


def wrong_password() -> Unauthenticated:
    """Return the one error for a wrong password, an unknown name and a disabled account."""
    return Unauthenticated("The name or the password is wrong.", code="invalid_credentials")


class Accounts:
    """What people do with their own accounts."""

    def __init__(
        self,
        storage: Storage,
        credentials: Credentials,
        tokens: Tokens,
        passwords: Passwords,
        guard: LoginGuard,
        sessions: Sessions,
        clock: Clock,
        *,
        sign_up: SignUp,
    ) -> None:
        self._storage = storage
        self._credentials = credentials
        self._tokens = tokens
        self._passwords = passwords
        self._guard = guard
        self._devices = Devices(tokens)
        self._sessions = sessions
        self._clock = clock
        self.signing_up = sign_up

    async def close(self) -> None:
        """Stop checking passwords."""
        await self._passwords.close()

    # --- coming

    async def sign_up(
        self, name: str, password: str, *, email: str | None = None, invite: str | None = None, visit: Visit
    ) -> None:
        """Make an account, unless its name or address is taken: that is not told, and takes as long.

        The role is `user`, or what the invite says. Raises Forbidden if sign-up is closed or the
        invite does not hold, Unprocessable for a name, address or password that cannot be one.
        """
        if self.signing_up == "closed":
            raise Forbidden("Nobody can sign up here.", code="signup_closed")
        proper, address = _proper_name(name), _proper_email(email)
        self._passwords.check(password, proper)
        invited = await self._invite(invite)
        now, slot = self._clock.now_us(), ids.new_slot()
        account = Account(
            id=ids.new_id(slot), slot=slot, name=proper, email=address, created_us=now, updated_us=now,
            role=invited.role if invited else "user", group_id=invited.group_id if invited else None,
            password_hash=await self._passwords.hash(password),
        )  # fmt: skip
        commands: list[Command] = [aw.NewAccount(account=account)]
        if invited is not None:
            commands.append(aw.UseInvite(invite_id=invited.id, account_id=account.id, now_us=now))
        line = audit(account.principal(), "user.sign_up", now, target=USER + account.id, visit=visit)
        try:
            await self._storage.unit_of_work.commit(*commands, line)
        except Conflict as lost:
            if lost.message == "UseInvite":
                raise _bad_invite() from None

    async def _invite(self, secret: str | None) -> Invite | None:
        """Return the invite shown, None if there is none and none is needed; raises Forbidden."""
        if secret is None and self.signing_up == "open":
            return None
        if secret is None or not secret.startswith(INVITE_PREFIX):
            raise _bad_invite()
        found = await self._storage.credentials.invite(hashlib.sha256(secret.encode()).digest())
        if found is None or found.used_by or found.revoked_us or found.expires_us <= self._clock.now_us():
            raise _bad_invite()
        return found

    async def log_in(self, name: str, password: str, visit: Visit, *, device: str | None = None) -> Login:
        """Open a session by name (or e-mail address) and password.

        `device` is the token of an earlier login from the same device, if there was one. Raises
        Unauthenticated, after the same time whatever was wrong, and RateLimited.
        """
        account, shown = await self._verified(name, password, device)
        return self._with_device(await self.open_session(account, "password", visit), account, shown)

    async def log_in_plainly(self, name: str, password: str, visit: Visit) -> PlainLogin:
        """Open a session that lives as long as its only token; raises as `log_in` does."""
        account, _ = await self._verified(name, password, None)
        seconds = self._tokens.plain_seconds
        session = await self._opened(account, "password", visit, seconds)
        token = self._tokens.access(account.id, session.id, account.epoch, plain=True)
        return PlainLogin(account=account, access_token=token, access_seconds=seconds)

    async def _verified(
        self, name: str, password: str, device: str | None
    ) -> tuple[Account, SessionClaims | None]:
        """Return the account of a name and password, and the device that was shown, if it is known."""
        tried = name.lower()
        shown = self._devices.read(device)
        known = shown is not None and belongs(shown, await self._named(tried))
        counted = by_device(shown.sid) if shown is not None and known else by_name(tried)
        async with self._guard.attempt(counted) as failed:
            account = await self._named(tried)
            stored = account.password_hash if account else None
            verdict = await self._passwords.verify(stored, password, known=known)
            if account is None or not verdict.is_right or account.state != "active":
                await failed()
                raise wrong_password()
        if verdict.new_hash is not None:
            account = await self._rehash(account, verdict.new_hash)
        return account, shown

    def _with_device(self, login: Login, account: Account, shown: SessionClaims | None) -> Login:
        return msgspec.structs.replace(
            login,
            device_token=self._devices.token(account, shown),
            device_seconds=self._tokens.longest_seconds,
        )

    async def _named(self, tried: str) -> Account | None:
        """Find an account by whatever was typed; both look-ups are always made."""
        text = tried[: 4 * MAX_NAME]
        by_name = await self._storage.accounts.by_name(text)
        by_email = await self._storage.accounts.by_email(text)
        return by_name or by_email

    async def _rehash(self, account: Account, new_hash: str) -> Account:
        await self._storage.unit_of_work.commit(
            aw.UpdateAccount(
                account_id=account.id, now_us=self._clock.now_us(), expected_epoch=account.epoch,
                password_hash=new_hash,
            )
        )  # fmt: skip
        return account

    async def open_session(self, account: Account, method: str, visit: Visit) -> Login:
        """Log an account in that has proved itself by `method`; raises Unauthenticated if it changed."""
        session = await self._opened(account, method, visit, self._tokens.refresh_seconds)
        return self._login(account, session.id, 0, session.expires_us)

    async def _opened(self, account: Account, method: str, visit: Visit, seconds: int) -> LoginSession:
        """Store a new session that ends in so many seconds; raises Unauthenticated."""
        now = self._clock.now_us()
        session = LoginSession(
            id=ids.new_id(account.slot, now_us=now), account_id=account.id, slot=account.slot, method=method,
            generation=0, user_agent=visit.user_agent[:256], address=visit.address[:64], created_us=now,
            used_us=now, expires_us=now + seconds * US,
        )  # fmt: skip
        who = account.principal()
        line = audit(who, "session.open", now, target=SESSION + session.id, visit=visit, method=method)
        try:
            await self._storage.unit_of_work.commit(aw.NewSession(session=session, epoch=account.epoch), line)
        except Conflict:
            raise wrong_password() from None
        return session

    def _login(self, account: Account, session_id: str, generation: int, expires_us: int) -> Login:
        left = (expires_us - self._clock.now_us()) // US
        return Login(
            account=account,
            session_id=session_id,
            access_token=self._tokens.access(account.id, session_id, account.epoch),
            access_seconds=self._tokens.access_seconds,
            refresh_token=self._tokens.refresh(account.id, session_id, generation, left),
            refresh_seconds=left,
        )

    # --- staying

    async def refresh(self, token: str, visit: Visit) -> Login:
        """Change a refresh token for new tokens; it is then used up, and shown again ends the session.

        Raises Unauthenticated.
        """
        claims = self._tokens.read_refresh(token)
        found = await self._storage.credentials.session(claims.sid)
        now = self._clock.now_us()
        if found is None or not found.holds(now) or found.account.id != claims.sub:
            raise refused()
        if found.generation != claims.gen:
            await self._end_stolen(found, visit)
            raise refused()
        expires = self._session_end(claims.sid, now)
        rotate = aw.RotateSession(
            session_id=claims.sid, generation=claims.gen, now_us=now, expires_us=expires
        )
        try:
            await self._storage.unit_of_work.commit(rotate)
        except Conflict:
            await self._end_stolen(found, visit)
            raise refused() from None
        return self._login(found.account, claims.sid, claims.gen + 1, expires)

    def _session_end(self, session_id: str, now_us: int) -> int:
        """Return when a session that is used now ends: at the latest so long after its id was made."""
        longest = _opened_us(session_id) + self._tokens.longest_seconds * US
        return min(now_us + self._tokens.refresh_seconds * US, longest)

    async def _end_stolen(self, found: Credential, visit: Visit) -> None:
        """End a session of whose refresh tokens an old one was shown: two parties have them."""
        now = self._clock.now_us()
        await self._storage.unit_of_work.commit(
            aw.RevokeSessions(account_id=found.account.id, session_id=found.id, now_us=now),
            audit(found.principal(), "session.reuse", now, target=SESSION + found.id, visit=visit),
        )
        self._credentials.forget(found.id)

    async def cookie(self, who: Principal) -> tuple[str, int]:
        """Return a token for a browser's cookie, bound to the caller's session, and its seconds.

        Raises Forbidden unless the caller is logged in.
        """
        found = await self._sessions.own(who)
        seconds = ((found.expires_us or 0) - self._clock.now_us()) // US
        return self._tokens.cookie(found.account.id, found.id, found.account.epoch, seconds), seconds

    async def cookie_of(self, login: Login) -> tuple[str, int]:
        """Return the same for a login that was just made."""
        return await self.cookie(
            msgspec.structs.replace(login.account.principal(), credential_id=login.session_id)
        )

    async def _prove(self, session: Credential, password: str) -> None:
        async with self._guard.attempt(by_session(session.id)) as failed:
            verdict = await self._passwords.verify(session.account.password_hash, password, known=True)
            if not verdict.is_right:
                await failed()
                raise wrong_password()

    async def proven(self, who: Principal, password: str | None) -> Credential:
        """Return the caller's session, if it is theirs beyond doubt: a way into the account is to change.

        The password tells, and without one that the login was a moment ago. Raises Forbidden,
        Unauthenticated, RateLimited and Unprocessable.
        """
        session = await self._sessions.own(who)
        if session.account.password_hash is not None:
            if password is None:
                raise Unprocessable(
                    "Missing required parameter: 'current_password'.",
                    code="missing_required_parameter", param="current_password",
                )  # fmt: skip
            await self._prove(session, password)
        elif self._clock.now_us() - _opened_us(session.id) > PROVEN_US:
            raise Forbidden("Log in again, then do this within ten minutes.", code="fresh_login_required")
        return session

    # --- looking after it

    async def me(self, who: Principal) -> Account:
        """Return the caller's own account."""
        return await self._storage.accounts.get(who.actor_id) or not_found("User", USER + who.actor_id)

    async def change_password(self, who: Principal, current: str, new: str, visit: Visit) -> Login:
        """Change the password: every other session ends, and this one goes on with new tokens.

        Raises Forbidden without a session, Unauthenticated for a wrong `current` password,
        RateLimited after too many of them, Unprocessable for a new one that cannot be used.
        """
        session = await self._sessions.own(who)
        account = session.account
        self._passwords.check(new, account.name)
        await self._prove(session, current)
        new_hash = await self._passwords.hash(new, known=True)
        now, generation = self._clock.now_us(), session.generation or 0
        expires = self._session_end(session.id, now)
        try:
            await self._storage.unit_of_work.commit(
                aw.UpdateAccount(
                    account_id=account.id, now_us=now, expected_epoch=account.epoch, ends_sessions=True,
                    kept_session_id=session.id, password_hash=new_hash,
                ),
                aw.RotateSession(
                    session_id=session.id, generation=generation, now_us=now, expires_us=expires
                ),
                audit(who, "password.change", now, target=USER + account.id, visit=visit),
            )  # fmt: skip
        except Conflict:
            raise Conflict("The account changed meanwhile; try again.") from None
        self._credentials.forget(account.id)
        changed = msgspec.structs.replace(account, epoch=account.epoch + 1)
        return self._with_device(self._login(changed, session.id, generation + 1, expires), changed, None)


def _opened_us(session_id: str) -> int:
    return int(session_id[:12], 16) * 1000


def _proper_name(text: str) -> str:
    name = account_name(text)
    if name is None or name in RESERVED_NAMES:
        raise Unprocessable(
            "A name has up to 64 letters (a-z), digits and . _ + - between them, and is not reserved.",
            code="invalid_name", param="username",
        )  # fmt: skip
    return name


def _proper_email(text: str | None) -> str | None:
    if text is None:
        return None
    email = account_email(text)
    if email is None:
        raise Unprocessable("That is no e-mail address.", code="invalid_email", param="email")
    return email


def _bad_invite() -> Forbidden:
    return Forbidden("An invite is needed, and this is none that holds.", code="invalid_invite")

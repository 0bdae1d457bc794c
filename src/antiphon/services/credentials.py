"""Whether a credential holds, asked on every request; and what to end when one no longer does.

The answer is kept for two seconds under the SHA-256 of the whole token. Streams outlive the
request that opened them, so they are registered here and ended within seconds of their
credential: at once when it is revoked in this process, else by a look every two seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Final

from antiphon.domain.accounts import KEY_PREFIX, Credential, Principal
from antiphon.domain.errors import Unauthenticated
from antiphon.ports import account_writes as aw
from antiphon.ports.accounts import Credentials as Store
from antiphon.ports.clock import Clock
from antiphon.ports.jobs import Jobs
from antiphon.ports.storage import UnitOfWork
from antiphon.ports.write_sets import Command
from antiphon.services.tokens import MAX_TOKEN_BYTES, Kind, Tokens, refused

FRESH_SECONDS: Final = 2.0
KNOWN: Final = 10_000
"""Tokens remembered; the oldest is forgotten first and costs a read when it comes again."""
ASKED_AT_ONCE: Final = 1_000
USE_SECONDS: Final = 30.0

End = Callable[[], None]
Complete = Callable[[Principal], Awaitable[Principal]]
"""Adds what else the store knows of a caller, such as its limits."""


async def _as_it_is(who: Principal) -> Principal:
    return who


def _nothing() -> None:
    """What there is to undo where nothing was done."""


class _Known:
    __slots__ = ("checked", "expires_us", "principal")

    def __init__(self, principal: Principal, checked: float, expires_us: int) -> None:
        self.principal = principal
        self.checked = checked
        self.expires_us = expires_us


NEVER_US: Final = 1 << 62


class Credentials:
    """Knows callers by their tokens and keys, and the streams they have open.

    `api_key_hash` is the SHA-256 of the operator's own key, which acts as `owner`.
    """

    def __init__(
        self,
        store: Store,
        unit_of_work: UnitOfWork,
        tokens: Tokens,
        clock: Clock,
        *,
        owner: Principal,
        api_key_hash: bytes | None,
        complete: Complete = _as_it_is,
    ) -> None:
        self._store = store
        self._unit_of_work = unit_of_work
        self._tokens = tokens
        self._clock = clock
        self._owner = owner
        self._api_key_hash = api_key_hash
        self._complete = complete
        self._known: dict[bytes, _Known] = {}
        self._looking: dict[bytes, asyncio.Task[Principal | None]] = {}
        self._version = 0
        self._watched: dict[str, dict[int, End]] = {}
        self._watches = 0
        self._used: dict[str, tuple[bool, int]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    # --- who asks

    def find(self, token: str, *, cookie: bool = False) -> Principal | None:
        """Return who a token was seen to belong to within the last two seconds, or None; never waits."""
        if len(token) > MAX_TOKEN_BYTES:
            return None
        known = self._known.get(_digest(token, cookie))
        if known is None or self._clock.monotonic() - known.checked > FRESH_SECONDS:
            return None
        return known.principal if self._clock.now_us() < known.expires_us else None

    async def authenticate(self, token: str, *, cookie: bool = False) -> Principal:
        """Return who a key or access token (or a cookie's token) belongs to; raises Unauthenticated."""
        found = self.find(token, cookie=cookie)
        if found is not None:
            return found
        if len(token) > MAX_TOKEN_BYTES:
            raise refused()
        digest = _digest(token, cookie)
        looking = self._looking.get(digest)
        if looking is None:
            looking = asyncio.get_running_loop().create_task(self._look(digest, token, cookie))
            self._looking[digest] = looking
            looking.add_done_callback(lambda _: self._looking.pop(digest, None))
        found = await asyncio.shield(looking)
        if found is None:
            raise refused()
        return found

    async def _look(self, digest: bytes, token: str, cookie: bool) -> Principal | None:
        """Read a credential; what was forgotten while it was read is read again."""
        version = -1
        known: _Known | None = None
        while version != self._version:
            version = self._version
            known = await self._read(token, cookie)
        self._known.pop(digest, None)
        if known is None:
            return None
        self._known[digest] = known
        while len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]
        return known.principal

    async def _read(self, token: str, cookie: bool) -> _Known | None:
        checked = self._clock.monotonic()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        if not cookie and self._api_key_hash and hmac.compare_digest(digest, self._api_key_hash):
            return _Known(await self._complete(self._owner), checked, NEVER_US)
        expires = NEVER_US
        if token.startswith(KEY_PREFIX) and not cookie:
            credential = await self._store.key(digest)
        else:
            try:
                claims = self._tokens.read_session(Kind.COOKIE if cookie else Kind.ACCESS, token)
            except Unauthenticated:
                return None
            expires = claims.exp * 1_000_000
            credential = await self._store.session(claims.sid)
            if credential and (credential.account.id, credential.account.epoch) != (claims.sub, claims.epoch):
                return None
        now = self._clock.now_us()
        if credential is None or not credential.holds(now):
            return None
        self._used[credential.id] = (credential.generation is None, now)
        who = await self._complete(credential.principal())
        return _Known(who, checked, min(expires, credential.expires_us or NEVER_US))

    def forget(self, identifier: str) -> None:
        """Read an account or credential (by id) anew from now on; end its streams if it no longer holds."""
        self._drop({identifier})
        ending = asyncio.get_running_loop().create_task(self.end_revoked())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _drop(self, identifiers: set[str]) -> None:
        self._version += 1
        self._known = {
            digest: known
            for digest, known in self._known.items()
            if known.principal.credential_id not in identifiers
            and known.principal.account_id not in identifiers
        }

    # --- what is open

    def watch(self, who: Principal, end: End) -> End:
        """Have `end` called once, soon after the caller's credential ends; returns what undoes this."""
        identifier = who.credential_id
        if identifier is None:
            return _nothing
        self._watches += 1
        number = self._watches
        self._watched.setdefault(identifier, {})[number] = end

        def release() -> None:
            ends = self._watched.get(identifier)
            if ends is not None and ends.pop(number, None) is not None and not ends:
                del self._watched[identifier]

        return release

    async def end_revoked(self) -> None:
        """Look whether the credentials of all open streams still hold, and end those of the others."""
        asked = list(self._watched)
        for start in range(0, len(asked), ASKED_AT_ONCE):
            some = asked[start : start + ASKED_AT_ONCE]
            holding = await self._store.holding(some)
            now = self._clock.now_us()
            gone = {one for one in some if not _holds(holding.get(one), now)}
            if gone:
                self._drop(gone)
            for identifier in gone:
                for end in self._watched.pop(identifier, {}).values():
                    end()

    # --- what was used

    async def remember_use(self) -> None:
        """Write down when credentials were last used."""
        used, self._used = self._used, {}
        keys = tuple((identifier, at) for identifier, (is_key, at) in used.items() if is_key)
        commands: list[Command] = [
            aw.TouchSession(session_id=identifier, now_us=at)
            for identifier, (is_key, at) in used.items()
            if not is_key
        ]
        if keys:
            commands.append(aw.TouchApiKeys(used=keys))
        if commands:
            await self._unit_of_work.commit(*commands)

    def schedule(self, jobs: Jobs) -> None:
        """Hand over the recurring looks."""
        jobs.every(FRESH_SECONDS, "end the streams of revoked credentials", self.end_revoked)
        jobs.every(USE_SECONDS, "remember the use of credentials", self.remember_use)


def _holds(credential: Credential | None, now_us: int) -> bool:
    return credential is not None and credential.holds(now_us)


def _digest(token: str, cookie: bool) -> bytes:
    """Return the name of a token in the cache; a cookie's token is none of a header's."""
    whole = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
    return b"c" + whole if cookie else whole

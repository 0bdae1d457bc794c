"""What login providers are asked over HTTP: small JSON documents, from where they may be.

Every address comes from configuration or from a document found there. The configured origin may
lie in a private network; any other must be https and public, so that a discovery document cannot
send us to a metadata service.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

import msgspec
import structlog

from antiphon.domain.errors import InvalidRequest, LoginProviderError, Unauthenticated
from antiphon.ports.outbound import OutboundError, OutboundHttp, OutboundRequest, Trust
from antiphon.providers.address_guard import take_apart

MAX_BYTES: Final = 256 * 1024
CONNECT_SECONDS: Final = 5.0
TOTAL_SECONDS: Final = 10.0
KEEP_SECONDS: Final = 3600.0
AGAIN_SECONDS: Final = 60.0
UNKNOWN_SECONDS: Final = 5.0
STALE_SECONDS: Final = 24 * 3600.0

log = structlog.get_logger(__name__)


class Answer(msgspec.Struct, frozen=True):
    """A status and the JSON that came with it, None if it was none."""

    status: int
    body: Any

    @property
    def fields(self) -> dict[str, Any]:
        """The body's fields, none if it is no object."""
        return self.body if isinstance(self.body, dict) else {}


class LoginHttp:
    """Asks one login provider. `issuer` is the configured origin."""

    def __init__(self, name: str, issuer: str, http: OutboundHttp) -> None:
        self._name = name
        self._issuer = issuer
        self._http = http

    def trust(self, url: str) -> Trust:
        """Return how an endpoint is to be connected to; raises LoginProviderError if it may not be."""
        try:
            target = take_apart(url, credentials=False)
            if target.origin == take_apart(self._issuer, credentials=False).origin:
                return "operator"
        except InvalidRequest:
            self.fail("an endpoint is no URL")
        if target.scheme != "https":
            self.fail("an endpoint on another origin is not https")
        return "user"

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Return a document; redirects are answers. Raises LoginProviderError."""
        return await self._send("GET", url, headers or {}, b"")

    async def post_form(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str]) -> Answer:
        """Send a form and return what came back; raises LoginProviderError."""
        headers = {**headers, "content-type": "application/x-www-form-urlencoded"}
        return await self._send("POST", url, headers, urlencode(form).encode())

    def fail(self, reason: str) -> NoReturn:
        """Log why and raise LoginProviderError, which says less: anybody may read it."""
        log.warning("login provider failed", provider=self._name, reason=reason)
        raise LoginProviderError(
            f"The login provider '{self._name}' does not answer as it should. Try again later."
        ) from None

    def refuse(self, reason: str) -> NoReturn:
        """Log why and raise Unauthenticated, the same for every reason."""
        log.warning("login refused", provider=self._name, reason=reason)
        raise login_failed() from None

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        request = OutboundRequest(
            method=method,
            url=url,
            trust=self.trust(url),
            headers={"accept": "application/json", **headers},
            body=body,
            connect_seconds=CONNECT_SECONDS,
            idle_seconds=TOTAL_SECONDS,
            total_seconds=TOTAL_SECONDS,
            max_bytes=MAX_BYTES,
        )
        try:
            response = await self._http.send(request)
            raw = await response.read_all(MAX_BYTES)
        except (OutboundError, InvalidRequest) as error:
            self.fail(error.message)
        try:
            return Answer(response.status, msgspec.json.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Answer(response.status, None)


def login_failed() -> Unauthenticated:
    """Return the one error for every login that proves nothing."""
    return Unauthenticated("The login could not be completed. Begin it anew.", code="login_failed")


class Remembered:
    """A document that is fetched when needed and kept for a while. Times are seconds.

    If it cannot be fetched again the old one stays in use for a day. Failures are remembered too,
    so that nobody can make us ask again and again: for `UNKNOWN_SECONDS` while nothing is known,
    else for `AGAIN_SECONDS`.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[dict[str, Any]]], monotonic: Callable[[], float]
    ) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._kept: tuple[float, dict[str, Any]] | None = None
        self._failed: tuple[float, LoginProviderError] | None = None

    async def get(self, *, renew: bool = False) -> dict[str, Any]:
        """Return the document; with `renew` one that is at most a minute old, if it can be had.

        Raises LoginProviderError if there is none.
        """
        async with self._lock:
            now = self._monotonic()
            age = now - self._kept[0] if self._kept is not None else math.inf
            if self._kept is not None and age < (AGAIN_SECONDS if renew else KEEP_SECONDS):
                return self._kept[1]
            pause = AGAIN_SECONDS if age < STALE_SECONDS else UNKNOWN_SECONDS
            if self._failed is None or now - self._failed[0] >= pause:
                try:
                    self._kept, self._failed = (now, await self._fetch()), None
                    return self._kept[1]
                except LoginProviderError as error:
                    self._failed = (now, error)
            if self._kept is not None and age < STALE_SECONDS:
                return self._kept[1]
            raise LoginProviderError(self._failed[1].message)

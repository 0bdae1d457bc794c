"""Every error the core can raise; the surfaces give them numbers and wire shapes.

AntiphonError
├── InvalidRequest            the caller's input is wrong           400
├── Unauthenticated           no or bad credential                  401
├── Forbidden                 known caller, not allowed             403
├── NotFound                  absent or somebody else's             404
├── Conflict                  a guard was lost; read and try again  409
├── InFlight                  the same creation is still running    409
├── PreconditionFailed        changed since the caller read it      412
├── TooLarge                  a body or batch above its limit       413
├── Unprocessable             idempotency key with another body     422
├── RateLimited               wait `retry_after` seconds            429
├── Unavailable               the server cannot serve this now      503
│   └── StorageFull           nothing can be written                507
├── LoginProviderError        a login provider failed               502
└── ProviderError             the model behind us failed            inside the run
"""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain.limits import Standing


class AntiphonError(Exception):
    """Base of all named errors.

    `code` is a stable word for machines, `param` the input field it speaks of.
    """

    code: str | None = None

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class InvalidRequest(AntiphonError):
    """The caller's input cannot be accepted as it is."""


class Unauthenticated(AntiphonError):
    """No credential, or one that does not hold."""

    code = "invalid_api_key"


class Forbidden(AntiphonError):
    """The caller is known and may not do this."""

    code = "forbidden"


class NotFound(AntiphonError):
    """The object does not exist for this caller; foreign objects look the same."""

    code = "not_found"


class Conflict(AntiphonError):
    """A guard of a write set did not hold; whoever decided must read again."""

    code = "conflict"


class PreconditionFailed(AntiphonError):
    """The caller named the revision it had read, and that is no longer the newest."""

    code = "stale_revision"


class InFlight(AntiphonError):
    """A creation with the same idempotency key has not finished yet."""

    code = "idempotency_in_flight"
    retry_after_seconds = 1


class TooLarge(AntiphonError):
    """The input is above a configured limit."""

    code = "request_too_large"


class Unprocessable(AntiphonError):
    """An idempotency key was used again with another request."""

    code = "idempotency_key_reused"


class RateLimited(AntiphonError):
    """A limit is reached; `retry_after_seconds` says when to come back.

    `standings` are those of the limits that were looked at.
    """

    code = "rate_limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float = 1.0,
        code: str | None = None,
        standings: Sequence[Standing] = (),
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds
        self.standings = standings


class Unavailable(AntiphonError):
    """The server cannot serve this request now."""

    code = "service_unavailable"


class StorageFull(Unavailable):
    """The store refuses writes (disk full or read-only); reads go on."""

    code = "storage_full"


class LoginProviderError(AntiphonError):
    """A server that should say who somebody is does not answer, or not as it must."""

    code = "login_provider_failed"


class ProviderError(AntiphonError):
    """A model provider failed.

    `code` is one of OpenAI's closed list for `response.error.code`;
    `retryable` says whether another attempt may help before the first token;
    `retry_after_seconds` is what the provider asked for, if it did;
    `reason` is its own code for what is wrong with the request, `param` the field it named.
    """

    code = "server_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retryable: bool = False,
        retry_after_seconds: float | None = None,
        status: int | None = None,
        reason: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param)
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
        self.status = status
        self.reason = reason


def without_frames(error: BaseException | None) -> None:
    """Let an error that has been dealt with, and those it came from, go of the frames they passed through.

    A frame that has its error in a variable is a cycle with it, which keeps all that its call was given
    until the garbage collector comes: of a thousand failed calls the whole histories.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__

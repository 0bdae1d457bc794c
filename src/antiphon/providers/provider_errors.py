"""From what a provider or the network did wrong to a ProviderError that is safe to show.

| what happened | code | retryable before the first event |
|---|---|---|
| 400, 413, 422 and other 4xx | `invalid_prompt` | no |
| 401, 402, 403 | `server_error` | no |
| 404, or a code that says the model is gone | `server_error` | no |
| 429 | `rate_limit_exceeded` | yes, unless the account has run out of credit |
| 408, 409, 425, 5xx | `server_error` | yes |
| 3xx, a web page, what is no chat completion | `server_error` | no |
| connection refused, reset or cut, silence | `server_error` | yes |
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from antiphon.domain.errors import ProviderError
from antiphon.ports.outbound import OutboundError, OutboundTimeout
from antiphon.providers.surrogates import mend

MAX_MESSAGE: Final = 300
MAX_WORD: Final = 200
MAX_RETRY_AFTER_SECONDS: Final = 24 * 3600.0
SHOWN_RUN: Final = 8
"""So many characters of a secret in a row count as the secret: providers echo keys shortened."""

_GONE: Final = frozenset({"model_not_found", "model_decommissioned", "model_not_supported"})
_RETRYABLE: Final = frozenset({408, 409, 425})
_NO_CREDIT: Final = frozenset({"insufficient_quota", "billing_not_active"})


class Blame:
    """Whom an error speaks of, and what it must not say."""

    __slots__ = ("hint", "model", "provider", "secrets")

    def __init__(self, provider: str, model: str, *, secrets: Sequence[str] = (), hint: str = "") -> None:
        self.provider = provider
        self.model = model
        self.secrets = secrets
        self.hint = hint

    def __repr__(self) -> str:
        return f"Blame({self.provider!r}, {self.model!r})"

    def quote(self, said: Any) -> str:
        """Return a provider's own words as an end of a sentence, or "" if they hold a secret."""
        if not isinstance(said, str) or not said.strip():
            return ""
        if any(_shows(said, secret) for secret in self.secrets):
            return " (its message is withheld: it repeats a credential)"
        words = " ".join(mend(said).split())
        printable = "".join(c for c in words if c.isprintable())
        return f": {printable[:MAX_MESSAGE]}"

    def word(self, said: Any) -> str | None:
        """Return a word for machines as the provider said it, None if it is none that may be shown."""
        if not isinstance(said, str) or not 0 < len(said) <= MAX_WORD or not said.isprintable():
            return None
        return None if any(_shows(said, secret) for secret in self.secrets) else said


class _Said(NamedTuple):
    """An error in a provider's words; `param` and `code` are whatever it sent as such."""

    message: str = ""
    kind: str = ""
    code: Any = None
    param: Any = None

    @property
    def word(self) -> str:
        """The machine's word."""
        return self.code if isinstance(self.code, str) else self.kind


def _shows(text: str, secret: str) -> bool:
    runs = (secret[i : i + SHOWN_RUN] for i in range(max(1, len(secret) - SHOWN_RUN + 1)))
    return any(run in text for run in runs)


def from_status(blame: Blame, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Return the error of a response that is not 2xx."""
    return _judge(blame, status, _read_body(body), retry_after(headers))


def in_stream(blame: Blame, error: Any) -> ProviderError:
    """Return the error that a provider sent as data in place of (more of) an answer."""
    said = _words(error)
    number = error.get("status") or error.get("code") if isinstance(error, dict) else None
    status = int(str(number)) if str(number).isdecimal() and len(str(number)) == 3 else 0
    if not 400 <= status < 600:
        at_fault = "invalid_request_error" in (said.word, said.kind)
        status = 429 if "rate_limit" in said.word else 400 if at_fault else 500
    return _judge(blame, status, said, None)


def _judge(blame: Blame, status: int, said: _Said, wait: float | None) -> ProviderError:
    words, reason, param = blame.quote(said.message), blame.word(said.code), blame.word(said.param)
    name = f"Provider '{blame.provider}'"
    if status in (401, 403):
        # Not one word of the body: providers echo (parts of) the key in just this case.
        sentence = f"{name} refuses our credentials ({status}); check its API key."
        return ProviderError(sentence, status=status)
    if status == 402:
        return ProviderError(f"{name} wants payment first (402){words}", status=status)
    if status == 404 or said.word in _GONE:
        sentence = f"{name} has no model '{blame.model}' ({status}){words}"
        return ProviderError(f"{sentence} {blame.hint}".strip(), status=status)
    if status == 429:
        return ProviderError(
            f"{name} limits our requests (429){words}",
            code="rate_limit_exceeded",
            retryable=said.word not in _NO_CREDIT,
            retry_after_seconds=wait,
            status=status,
            reason=reason,
            param=param,
        )
    if status in _RETRYABLE or status >= 500:
        sentence = f"{name} failed ({status}){words}"
        return ProviderError(sentence, retryable=True, retry_after_seconds=wait, status=status)
    if status < 400:
        sentence = f"{name} answered with status {status}; check its base_url."
        return ProviderError(sentence, status=status)
    sentence = f"{name} refuses the request ({status}){words}"
    return ProviderError(sentence, code="invalid_prompt", status=status, reason=reason, param=param)


def from_transport(blame: Blame, error: OutboundError, *, begun: bool) -> ProviderError:
    """Return the error of a connection that failed; `begun` if events were given out before."""
    kind = "upstream_timeout" if isinstance(error, OutboundTimeout) else "upstream_connection_error"
    sentence = f"{kind}: provider '{blame.provider}': {error.message}"
    return ProviderError(sentence, retryable=not begun)


def protocol(blame: Blame, what: str) -> ProviderError:
    """Return the error of an answer that is no (whole) chat completion."""
    sentence = f"upstream_protocol_error: provider '{blame.provider}': {what}."
    return ProviderError(sentence, retryable=True)


def web_page(blame: Blame) -> ProviderError:
    """Return the error of an answer that is HTML: somebody else's login page or a wrong address."""
    sentence = f"provider '{blame.provider}' answered with a web page; check its base_url."
    return ProviderError(f"upstream_protocol_error: {sentence}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a provider asks us to wait, None if it does not.

    Reads `retry-after-ms` and `Retry-After` as seconds or as a date (RFC 9110 §10.2.3), which is
    compared with the response's own `Date`, so that a wrong clock here or there does not matter.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if seconds >= 0:  # also false for NaN
            return min(seconds, MAX_RETRY_AFTER_SECONDS)
    until = _date(headers.get("retry-after"))
    if until is None:
        return None
    now = _date(headers.get("date")) or datetime.now(UTC)
    return min(max(0.0, (until - now).total_seconds()), MAX_RETRY_AFTER_SECONDS)


def _date(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _read_body(body: bytes) -> _Said:
    try:
        value = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return _Said()
    if not isinstance(value, dict):
        return _Said()
    return _words(value.get("error") or value)


def _words(error: Any) -> _Said:
    """Return what an error in any of the common shapes says."""
    if isinstance(error, str):
        return _Said(error)
    if not isinstance(error, dict):
        return _Said()
    said = next((error[k] for k in ("message", "detail", "error") if isinstance(error.get(k), str)), "")
    kind = error.get("type")
    return _Said(said, kind if isinstance(kind, str) else "", error.get("code"), error.get("param"))

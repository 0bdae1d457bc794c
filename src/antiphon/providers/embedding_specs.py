"""Which embedding model and which reranker there are: from the environment and from configuration.

| written | means |
|---|---|
| `local:DIR` | a model in a directory on this machine |
| `provider/model` | a model of a configured provider, with its address and its key |
| any name, with `EMBEDDING_BASE_URL` | a model of the server there |
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from antiphon.domain.errors import InvalidRequest
from antiphon.providers.specs import ProviderSpec

LOCAL: Final = "local"
OWN: Final = "embedding"
"""The provider's name where the model has an address of its own."""

MAX_BATCH: Final = 2048


@dataclass(frozen=True, kw_only=True, repr=False)
class EmbeddingSpec:
    """An embedding model as configured.

    `written` is the name as it was set. `batch` bounds a call's texts, `batch_characters` their
    sum, `max_characters` each. The prefixes are put before texts of knowledge, as some models
    want it. `threads` is for models on this machine. The key never appears in the repr.
    """

    written: str
    base_url: str = ""
    api_key: str | None = None
    dimensions: int | None = None
    query_prefix: str = ""
    document_prefix: str = ""
    batch: int = 64
    batch_characters: int = 120_000
    max_characters: int = 24_000
    threads: int = 0

    def __post_init__(self) -> None:
        if self.directory is None and not self.base_url and not self.model:
            raise InvalidRequest(
                f"EMBEDDING_MODEL is 'local:DIRECTORY' or 'provider/model', not '{self.written}'."
            )
        for name, most in (("batch", MAX_BATCH), ("batch_characters", 10**7), ("max_characters", 10**6)):
            if not 1 <= getattr(self, name) <= most:
                raise InvalidRequest(f"[embedding] {name} is a number from 1 to {most}.")
        if self.dimensions is not None and not 1 <= self.dimensions <= 16_384:
            raise InvalidRequest("EMBEDDING_DIMENSIONS is a number from 1 to 16384.")

    def __repr__(self) -> str:
        return f"EmbeddingSpec({self.written!r})"

    @property
    def directory(self) -> Path | None:
        """Where a local model lies, None for all others."""
        kind, _, path = self.written.partition(":")
        return Path(path).expanduser() if kind == LOCAL and path else None

    @property
    def provider(self) -> str:
        """The provider's name."""
        if self.directory is not None:
            return LOCAL
        return OWN if self.base_url else self.written.partition("/")[0]

    @property
    def model(self) -> str:
        """The model's name at its provider."""
        if self.directory is not None:
            return self.directory.resolve().name
        return self.written if self.base_url else self.written.partition("/")[2]

    @property
    def shown(self) -> str:
        """The model's id for callers, `provider/model`."""
        return f"{self.provider}/{self.model}"

    def vectors_id(self, revision: str = "") -> str:
        """Return what vectors are kept under: all that makes other vectors of the same document."""
        dimensions = f"@{self.dimensions}" if self.dimensions else ""
        made_of = "\0".join(filter(None, (revision, self.document_prefix)))
        digest = f"#{hashlib.sha256(made_of.encode()).hexdigest()[:12]}" if made_of else ""
        return f"{self.shown}{dimensions}{digest}"

    def description(self) -> bytes:
        """Return what an embedder can be built from again by `described`, without any key."""
        return msgspec.json.encode({name: getattr(self, name) for name in _DESCRIBED})

    def described(self, description: bytes) -> EmbeddingSpec | None:
        """Return the model that was described, by this one's means; None if that is not to be read.

        A key goes to the address it was configured for and to no other.
        """
        try:
            fields = msgspec.json.decode(description, type=dict[str, str | int | None])
            known: dict[str, Any] = {name: fields[name] for name in _DESCRIBED}
            other = replace(self, **known)
        except (msgspec.DecodeError, KeyError, InvalidRequest):
            return None
        return other if other.base_url == self.base_url else replace(other, api_key=None)


_DESCRIBED: Final = ("written", "base_url", "dimensions", "query_prefix", "document_prefix")

_EMBEDDING_FIELDS: Final[dict[str, type]] = {
    "model": str,
    "base_url": str,
    "dimensions": int,
    "query_prefix": str,
    "document_prefix": str,
    "batch": int,
    "batch_characters": int,
    "max_characters": int,
    "threads": int,
}


def embedding_spec(table: Mapping[str, Any], given: Mapping[str, Any]) -> EmbeddingSpec | None:
    """Return the model of an `[embedding]` table over which `given` wins; None if none is named.

    Raises InvalidRequest for an unknown field or a wrong type.
    """
    fields = {**_checked("embedding", table, _EMBEDDING_FIELDS), **_present(given)}
    written = fields.pop("model", None)
    if not written:
        return None
    if fields.get("base_url"):
        _require_url("EMBEDDING_BASE_URL", fields["base_url"])
    return EmbeddingSpec(written=written, **fields)


@dataclass(frozen=True, kw_only=True, repr=False)
class RerankSpec:
    """A reranker as configured: `url` is its `/rerank`. `seconds` bounds the whole call.

    Texts are cut to `max_characters`. The key never appears in the repr.
    """

    url: str
    model: str = ""
    api_key: str | None = None
    provider: str = "rerank"
    seconds: float = 2.0
    max_characters: int = 4000

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 60:
            raise InvalidRequest("[rerank] seconds is a number up to 60.")
        if not 1 <= self.max_characters <= 100_000:
            raise InvalidRequest("[rerank] max_characters is a number from 1 to 100000.")

    def __repr__(self) -> str:
        return f"RerankSpec({self.shown!r})"

    @property
    def shown(self) -> str:
        """The model's id for traces."""
        return f"{self.provider}/{self.model or 'default'}"


_RERANK_FIELDS: Final[dict[str, type]] = {
    "model": str,
    "url": str,
    "seconds": float,
    "max_characters": int,
}


def rerank_spec(
    table: Mapping[str, Any], given: Mapping[str, Any], providers: Collection[ProviderSpec]
) -> RerankSpec | None:
    """Return the reranker of a `[rerank]` table over which `given` wins; None if none is configured.

    Without a URL the model is `provider/model` of a configured provider. Raises InvalidRequest.
    """
    fields = {**_checked("rerank", table, _RERANK_FIELDS), **_present(given)}
    if not fields.get("url") and not fields.get("model"):
        return None
    if not fields.get("url"):
        fields |= _at_provider(fields["model"], providers)
    _require_url("RERANK_URL", fields["url"])
    parts = urlsplit(fields["url"].rstrip("/"))
    if not parts.path.endswith("/rerank"):
        parts = parts._replace(path=f"{parts.path}/rerank")
    return RerankSpec(**{**fields, "url": parts.geturl()})


def _at_provider(written: str, providers: Collection[ProviderSpec]) -> dict[str, Any]:
    name, _, model = written.partition("/")
    found = next((spec for spec in providers if spec.name == name), None)
    if found is None or not model:
        raise InvalidRequest(f"RERANK_MODEL '{written}' needs a RERANK_URL: it names no configured provider.")
    return {"url": found.base_url, "api_key": found.api_key, "model": model, "provider": name}


def _present(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value not in (None, "")}


def _checked(table: str, fields: Mapping[str, Any], known: Mapping[str, type]) -> dict[str, Any]:
    for key, value in fields.items():
        if key not in known:
            raise InvalidRequest(f"[{table}] knows no '{key}'; it knows {', '.join(known)}.")
        fits = (int, float) if known[key] is float else known[key]
        if not isinstance(value, fits) or isinstance(value, bool):
            raise InvalidRequest(f"[{table}] {key} has the wrong type.")
    return dict(fields)


def _require_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise InvalidRequest(f"{name} starts with http:// or https://.")

"""Every setting, one frozen object; read by `bootstrap` and the command line only.

Plain environment names; a `.env` file in the working directory gives what the environment does
not. Lists of providers and aliases can also stand in `antiphon.toml`.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from antiphon.domain.errors import InvalidRequest
from antiphon.domain.limits import parse_limits
from antiphon.domain.redis_address import parse_redis_url

MIN_SECRET_BYTES = 32
MIN_SECRET_VARIETY = 8
SAMPLES = (
    "change",
    "your-",
    "your_",
    "replace",
    "example",
    "sample",
    "placeholder",
    "insert",
    "secret-key",
    "secret_key",
)
"""Words of sample values: a secret that has one was copied from somewhere."""
DOTENV = ".env"
CONFIG_FILE = Path("antiphon.toml")
"""What is read if it is there; a file that is named must be there."""
_OF_CONFIG_FILE = {
    "default_model": str, "aliases": dict, "fallbacks": dict, "providers": dict, "oidc": dict,
    "embedding": dict, "rerank": dict,
}  # fmt: skip
DIALECTS = ("chatai", "branching", "redis-chat", "chatgroq", "book")
"""Names of the older surfaces that can be served beside `/v1`."""


class Settings(BaseSettings):
    """The server's configuration. Sizes in bytes, times in seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(env_file=DOTENV, extra="ignore", frozen=True, populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    data_dir: Path = Path("data")
    database_url: SecretStr | None = None
    database_connections: int = Field(default=10, ge=2, le=1_000)
    mongodb_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("MONGODB_URL", "MONGODB_URI")
    )
    background_jobs: Literal["here", "workers"] = "here"
    redis_url: SecretStr | None = None
    redis_prefix: str = Field(default="antiphon:", pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    redis_timeout_seconds: float = Field(default=1.0, gt=0, le=60)
    environment: Literal["development", "production"] = "development"
    auth_required: bool = False
    secret_key: SecretStr | None = None
    secret_key_previous: SecretStr | None = None
    api_key: SecretStr | None = None
    signup: Literal["closed", "invite", "open"] = "closed"
    default_admin_username: str | None = None
    default_admin_password: SecretStr | None = None
    access_token_expire_minutes: int = Field(default=60, ge=1, le=24 * 60)
    access_token_minutes: int = Field(default=15, ge=1, le=24 * 60)
    refresh_token_days: int = Field(default=30, ge=1, le=365)
    discard_unreadable_secrets: bool = False
    public_url: str | None = None
    google_client_id: str | None = None
    google_client_secret: SecretStr | None = None
    github_client_id: str | None = None
    github_client_secret: SecretStr | None = None
    keycloak_issuer: str | None = None
    keycloak_client_id: str | None = None
    keycloak_client_secret: SecretStr | None = None
    allowed_hosts: str = ""
    cors_origins: str = ""
    trusted_proxies: str = ""
    metrics_token: SecretStr | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    config_file: Path = CONFIG_FILE
    dialects: str = "all"
    durability: Literal["process", "power"] = "process"
    store_chat_completions: Literal["asked", "always", "never"] = "asked"
    max_body_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    max_file_bytes: int = Field(default=512 * 1024 * 1024, ge=1024)
    max_upload_bytes: int = Field(default=8 * 1024 * 1024 * 1024, ge=1024)
    max_storage_bytes_per_user: int = Field(default=0, ge=0)
    context_tokens: int = Field(default=32_768, ge=256)
    response_cache: Literal["off", "user", "shared"] = "off"
    response_cache_seconds: float = Field(default=3600.0, gt=0)
    response_cache_mb: int = Field(default=64, ge=1)
    history_search: Literal["on", "off"] = "on"
    titles: Literal["on", "off"] = "on"
    title_model: str | None = None
    memory_ttl_seconds: int = Field(default=3600, ge=1, le=10 * 365 * 24 * 3600)
    max_cache_size: int = Field(default=1000, ge=1)
    session_cleanup: Literal["expired", "all"] = "expired"
    session_cleanup_seconds: float = Field(default=3600.0, gt=0)
    session_max_messages: int = Field(default=0, ge=0)
    response_ttl_days: int = Field(default=30, ge=0)
    audit_days: int = Field(default=400, ge=0)
    user_retention_days: int = Field(default=0, ge=0, le=36_500)
    admin_retention_days: int = Field(default=0, ge=0, le=36_500)
    registration_message: str = Field(default="", max_length=2_000)
    drain_seconds: float = Field(default=30.0, ge=0)
    default_limits: str = ""
    llm_provider: str | None = None
    default_model: str | None = None
    model_aliases: str = ""
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
    list_scripted_models: bool = False
    provider_connect_seconds: float = Field(default=10.0, gt=0)
    provider_idle_seconds: float = Field(default=60.0, gt=0)
    knowledge_index: Literal["auto", "sql", "mongodb"] = "auto"
    knowledge_cache_mb: int = Field(default=256, ge=0, le=1 << 20)
    embedding_model: str | None = None
    embedding_dimensions: int | None = Field(default=None, ge=1, le=16_384)
    embedding_base_url: str | None = None
    embedding_api_key: SecretStr | None = None
    rerank_url: str | None = None
    rerank_model: str | None = None
    rerank_api_key: SecretStr | None = None
    groq_api_key: SecretStr | None = None
    groq_base_url: str | None = None
    groq_model_name: str | None = None
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    hf_token: SecretStr | None = None
    ollama_base_url: str | None = None
    vllm_base_url: str | None = None
    llamacpp_base_url: str | None = None

    @field_validator("temperature", "max_tokens", "embedding_dimensions", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("secret_key")
    @classmethod
    def _is_given(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value is not None and value.get_secret_value() else None

    @field_validator("secret_key_previous", "api_key")
    @classmethod
    def _is_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        problem = weakness(value.get_secret_value())
        if problem is not None:
            raise ValueError(problem)
        return value

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not _is_url(value.get_secret_value(), "postgresql", "postgres"):
            raise ValueError(
                "is a URL like postgresql://name:password@host/database, where / @ : ? # % in a password are"
                " percent-encoded (%2F for /); without it SQLite is used"
            )
        return value

    @field_validator("mongodb_url")
    @classmethod
    def _is_mongodb(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        # Several hosts with ports are no URL to the standard library, so only its begin is looked at.
        if not value.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError(
                "is a URL like mongodb://name:password@host/database; without it conversations are in SQL"
            )
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        parse_redis_url(value.get_secret_value())
        return value

    @field_validator("public_url")
    @classmethod
    def _is_origin(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value.rstrip("/"))
        if value.rstrip("/") != f"{parts.scheme}://{parts.netloc}" or not parts.hostname or "@" in value:
            raise ValueError("is an origin like https://chat.example.org, without a path")
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
            raise ValueError("must be https: browsers keep the login's cookie nowhere else but on localhost")
        return value.rstrip("/")

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        for origin in names_in(value):
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
                raise ValueError("is a list of origins like https://chat.example.org; '*' is none")
            if not parts.netloc or "*" in parts.netloc or "@" in parts.netloc:
                raise ValueError("is a list of origins like https://chat.example.org; '*' is none")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        try:
            networks_in(value)
        except ValueError as error:
            raise ValueError(f"is a list of addresses and networks like 10.0.0.0/8: {error}") from error
        return value

    @field_validator("dialects")
    @classmethod
    def _are_dialects(cls, value: str) -> str:
        unknown = set() if value in ("all", "none") else set(names_in(value)) - set(DIALECTS)
        if unknown or not value.strip():
            raise ValueError(f"is 'all', 'none' or a list of: {', '.join(DIALECTS)}")
        return value

    @field_validator("default_limits")
    @classmethod
    def _readable(cls, text: str) -> str:
        parse_limits(text)
        return text

    @model_validator(mode="after")
    def _safe(self) -> Settings:
        if self.needs_credentials and self.secret_key is None:
            raise ValueError(
                f"this server wants credentials, so SECRET_KEY is needed (at least {MIN_SECRET_BYTES} bytes;"
                " make one with: openssl rand -hex 32)"
            )
        found = self.secret_key_weakness
        if self.needs_credentials and found is not None:
            raise ValueError(f"SECRET_KEY {found}")
        if self.background_jobs == "workers" and self.database_url is None:
            raise ValueError("BACKGROUND_JOBS=workers needs DATABASE_URL: files belong to one process")
        if self.knowledge_index == "mongodb" and self.mongodb_url is None:
            raise ValueError("KNOWLEDGE_INDEX=mongodb needs MONGODB_URL")
        return self

    @property
    def secret_key_weakness(self) -> str | None:
        """What is wrong with the secret given, as an end of a sentence; None if nothing is."""
        return weakness(self.secret_key.get_secret_value()) if self.secret_key is not None else None

    @property
    def usable_secret_key(self) -> str | None:
        """The secret given, None for none: one that others know signs nothing."""
        if self.secret_key is None or self.secret_key_weakness is not None:
            return None
        return self.secret_key.get_secret_value()

    @property
    def spoken_dialects(self) -> frozenset[str]:
        """The names of the older surfaces that are served."""
        if self.dialects in ("all", "none"):
            return frozenset(DIALECTS if self.dialects == "all" else ())
        return frozenset(names_in(self.dialects))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return _is_loopback(self.host)

    @property
    def has_local_owner(self) -> bool:
        """Whether anybody can act as the local owner: on loopback, or by the operator's key."""
        return not self.needs_credentials or self.api_key is not None

    @property
    def needs_credentials(self) -> bool:
        """Whether a caller must show a credential."""
        return self.auth_required or self.environment == "production" or not self.is_loopback


def names_in(text: str) -> list[str]:
    """Return the entries of a comma-separated list."""
    return [name for part in text.split(",") if (name := part.strip())]


def networks_in(text: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return the networks of a comma-separated list; an address is the smallest one. Raises ValueError."""
    return [ipaddress.ip_network(name, strict=False) for name in names_in(text)]


def weakness(text: str) -> str | None:
    """Return what makes a secret one that can be guessed, None if nothing does."""
    if len(text.encode()) < MIN_SECRET_BYTES:
        return f"needs at least {MIN_SECRET_BYTES} bytes; make one with: openssl rand -hex 32"
    if len(set(text)) < MIN_SECRET_VARIETY or any(word in text.lower() for word in SAMPLES):
        return "is a sample value; make one with: openssl rand -hex 32"
    return None


def _is_url(text: str, *schemes: str) -> bool:
    """Whether an address can be read as a URL; what cannot is quoted by whoever tries, password and all.

    Of several hosts the last one is looked at. An `@` after the host was meant to stand before it.
    """
    try:
        parts = urlsplit(text)
        hosts = parts.netloc.rpartition("@")[2]
        urlsplit(f"//{hosts.rpartition(',')[2]}").port  # noqa: B018 - it raises
    except ValueError:
        return False
    after = parts.path + parts.fragment + ("" if parts.path else parts.query)
    return parts.scheme in schemes and "@" not in after


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(**overrides: Any) -> Settings:
    """Return the settings; `overrides` win over the environment. Raises ValueError."""
    with _naming_dotenv():
        return Settings(**overrides)


def environment() -> dict[str, str]:
    """Return the environment over `.env`, for names that providers bring along. Raises ValueError."""
    with _naming_dotenv():
        return {k: v for k, v in dotenv_values(DOTENV).items() if v is not None} | dict(os.environ)


@contextmanager
def _naming_dotenv() -> Iterator[None]:
    """Name the file that cannot be decoded: its reader tells a place in it alone."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{DOTENV} is not written in UTF-8.") from error


def read_config_file(path: Path) -> Mapping[str, Any]:
    """Return the tables of `antiphon.toml`, none if there is no file of that name.

    Raises InvalidRequest for a file that CONFIG_FILE names and that is not there, and for what it cannot say.
    """
    if path == CONFIG_FILE and not path.exists():
        return {}
    if not path.is_file():
        raise InvalidRequest(f"CONFIG_FILE: there is no file '{path}'.")
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path.name} is not written in UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{path.name}: {error}") from error
    for name, value in tables.items():
        if name not in _OF_CONFIG_FILE:
            raise InvalidRequest(f"{path.name} knows no '{name}'; it knows {', '.join(_OF_CONFIG_FILE)}.")
        if not isinstance(value, _OF_CONFIG_FILE[name]):
            kind = "a name in quotes" if name == "default_model" else f"a table: [{name}]"
            raise InvalidRequest(f"{path.name}: {name} is {kind}.")
    _require_names(path.name, tables)
    return tables


def _require_names(file: str, tables: Mapping[str, Any]) -> None:
    """Raise InvalidRequest where an alias or a fallback is no name of a model."""
    for alias, target in tables.get("aliases", {}).items():
        if not isinstance(target, str):
            raise InvalidRequest(f"{file}: [aliases] {alias} is the name of a model in quotes.")
    for name, others in tables.get("fallbacks", {}).items():
        if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
            raise InvalidRequest(f"{file}: [fallbacks] '{name}' is a list of names of models.")

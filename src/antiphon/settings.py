"""Every setting, one frozen object; read by `bootstrap` and the command line only.

Plain environment names; a `.env` file in the working directory gives what the environment does
not. Lists of providers and aliases can also stand in `antiphon.toml`.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIN_SECRET_BYTES = 32
DOTENV = ".env"


class Settings(BaseSettings):
    """The server's configuration. Sizes in bytes, times in seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(env_file=DOTENV, extra="ignore", frozen=True, populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    data_dir: Path = Path("data")
    environment: Literal["development", "production"] = "development"
    auth_required: bool = False
    api_key: SecretStr | None = None
    allowed_hosts: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    config_file: Path = Path("antiphon.toml")
    durability: Literal["process", "power"] = "process"
    store_chat_completions: Literal["asked", "always", "never"] = "asked"
    max_body_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    context_tokens: int = Field(default=32_768, ge=256)
    drain_seconds: float = Field(default=30.0, ge=0)
    default_model: str | None = None
    model_aliases: str = ""
    list_scripted_models: bool = False
    provider_connect_seconds: float = Field(default=10.0, gt=0)
    provider_idle_seconds: float = Field(default=60.0, gt=0)
    groq_api_key: SecretStr | None = None
    groq_base_url: str | None = None
    groq_model_name: str | None = None
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    hf_token: SecretStr | None = None
    ollama_base_url: str | None = None
    vllm_base_url: str | None = None
    llamacpp_base_url: str | None = None

    @model_validator(mode="after")
    def _safe(self) -> Settings:
        if self.needs_credentials:
            key = self.api_key.get_secret_value() if self.api_key is not None else ""
            if len(key.encode()) < MIN_SECRET_BYTES:
                raise ValueError(
                    f"this server wants credentials, so API_KEY is needed (at least {MIN_SECRET_BYTES} bytes)"
                )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def needs_credentials(self) -> bool:
        """Whether a caller must show a credential."""
        return self.auth_required or self.environment == "production" or not self.is_loopback


def load_settings(**overrides: Any) -> Settings:
    """Return the settings; `overrides` win over the environment. Raises ValueError."""
    return Settings(**overrides)


def environment() -> dict[str, str]:
    """Return the environment over `.env`, for names that providers bring along."""
    return {k: v for k, v in dotenv_values(DOTENV).items() if v is not None} | dict(os.environ)


def read_config_file(path: Path) -> Mapping[str, Any]:
    """Return the tables of `antiphon.toml`, none if there is no such file. Raises ValueError."""
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name}: {error}") from error

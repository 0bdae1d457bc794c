"""Which model providers there are: from well-known environment names and from configuration.

Known names, each of which switches its provider on:

| provider | name | also read |
|---|---|---|
| `groq` | `GROQ_API_KEY` | `GROQ_BASE_URL`, `GROQ_MODEL_NAME` |
| `openai` | `OPENAI_API_KEY` | `OPENAI_BASE_URL`, `OPENAI_MODEL_NAME` |
| `huggingface` | `HF_TOKEN` | `HF_BASE_URL`, `HF_MODEL_NAME` |
| `ollama` | `OLLAMA_BASE_URL` | `OLLAMA_API_KEY`, `OLLAMA_MODEL_NAME` |
| `vllm` | `VLLM_BASE_URL` | `VLLM_API_KEY`, `VLLM_MODEL_NAME` |
| `llamacpp` | `LLAMACPP_BASE_URL` | `LLAMACPP_API_KEY`, `LLAMACPP_MODEL_NAME` |
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from antiphon.domain.errors import InvalidRequest
from antiphon.domain.usage import Price
from antiphon.providers import offline, scripted

BUILT_IN: Final = frozenset({offline.NAME, scripted.NAME})

Continues = Literal["ask", "assistant", "prefix", "vllm"]
CONTINUES: Final = ("ask", "assistant", "prefix", "vllm")

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
SECRET_FROM: Final = 8
"""Characters from which a word counts as a secret: shorter ones stand in every sentence."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ProviderSpec:
    """One provider as configured. Times are seconds.

    `models` empty means an open list: the provider is asked and any name is passed on.
    `default_model` answers when no model is named. `prices` are by model, `*` for all others.
    `model_hint` is added to the sentence that says a model does not exist. `listed` is False for
    what works but is not shown. `continues` is how its models are had to go on with an answer that was
    cut off: `ask` them in words, or have the answer last, as it is (`assistant`), marked (`prefix`), or with
    vLLM's switches (`vllm`). Credentials never appear in the repr.
    """

    name: str
    base_url: str = ""
    api_key: str | None = None
    models: tuple[str, ...] = ()
    default_model: str | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    context_tokens: int | None = None
    connect_seconds: float = 10.0
    idle_seconds: float = 60.0
    model_hint: str = ""
    listed: bool = True
    continues: Continues = "ask"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidRequest(f"{self.name!r} is no name for a provider: use a-z, 0-9, '-', '_' and '.'.")
        if self.name not in BUILT_IN:
            _require_base_url(self.name, self.base_url)

    def __repr__(self) -> str:
        return f"ProviderSpec({self.name!r}, {self.shown_url!r})"

    @property
    def generated_model(self) -> str:
        """The model that a base URL of Hugging Face's text generation ends in, "" for any other URL."""
        url = self.base_url.rstrip("/")
        return "" if url.endswith("/v1") else urlsplit(url).path.partition("/models/")[2]

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown: the key and the values of the extra headers."""
        held = (self.api_key or "", *self.extra_headers.values(), urlsplit(self.base_url).password or "")
        return tuple(secret for secret in held if len(secret) >= SECRET_FROM)

    @property
    def shown_url(self) -> str:
        """The base URL without user and password."""
        parts = urlsplit(self.base_url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _require_base_url(name: str, base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise InvalidRequest(f"Provider '{name}' needs a base_url that starts with http:// or https://.")


@dataclass(frozen=True)
class _Preset:
    name: str
    stem: str
    switch: str
    base_url: str = ""
    default_model: str | None = None
    continues: Continues = "ask"


_PRESETS: Final = (
    _Preset("groq", "GROQ", "GROQ_API_KEY", "https://api.groq.com/openai/v1", "llama3-8b-8192", "assistant"),
    _Preset("openai", "OPENAI", "OPENAI_API_KEY", "https://api.openai.com/v1", "gpt-4o-mini"),
    _Preset(
        "huggingface",
        "HF",
        "HF_TOKEN",
        "https://router.huggingface.co/v1",
        "mistralai/Mistral-7B-Instruct-v0.2",
    ),
    _Preset("ollama", "OLLAMA", "OLLAMA_BASE_URL", continues="assistant"),
    _Preset("vllm", "VLLM", "VLLM_BASE_URL", continues="vllm"),
    _Preset("llamacpp", "LLAMACPP", "LLAMACPP_BASE_URL", continues="assistant"),
)


def presets(env: Mapping[str, str], stored: Collection[str] = ()) -> list[ProviderSpec]:
    """Return the providers switched on by well-known environment names; blank values are absent.

    A provider in `stored` has its key in the store, which switches on what a key switches on.
    Raises InvalidRequest for a base URL that is none.
    """
    known = {name: value.strip() for name, value in env.items() if value.strip()}
    return [
        _with_its_model(_preset(preset, known))
        for preset in _PRESETS
        if preset.switch in known
        or (preset.name in stored and not preset.switch.endswith("_BASE_URL"))
        or "/models/" in known.get(f"{preset.stem}_BASE_URL", "")
    ]


def _with_its_model(spec: ProviderSpec) -> ProviderSpec:
    """Return a provider whose address names its one model as one that has no other."""
    model = spec.generated_model
    return replace(spec, models=(model,), default_model=model) if model else spec


def _preset(preset: _Preset, env: Mapping[str, str]) -> ProviderSpec:
    base_url = env.get(f"{preset.stem}_BASE_URL", preset.base_url)
    keyed = preset.switch.endswith("_BASE_URL")
    if keyed and not urlsplit(base_url).path.strip("/"):
        base_url = base_url.rstrip("/") + "/v1"  # what people set is the server's own address
    return ProviderSpec(
        name=preset.name,
        base_url=base_url,
        api_key=env.get(f"{preset.stem}_API_KEY" if keyed else preset.switch),
        default_model=env.get(f"{preset.stem}_MODEL_NAME", preset.default_model),
        model_hint=f"Set {preset.stem}_MODEL_NAME to a model it has.",
        continues=preset.continues,
    )


def from_toml(
    table: Mapping[str, Any], env: Mapping[str, str], stored: Collection[str] = ()
) -> list[ProviderSpec]:
    """Return the providers of a `[providers]` table, one per `[providers.NAME]`.

    Fields: `base_url`, `api_key_env` (the name of the variable that holds the key), `models`,
    `default_model`, `context_tokens`, `connect_seconds`, `idle_seconds`, `continues`, `extra_headers`
    (values `env:NAME` are looked up), and `prices`, by model or `*`:
    `{input = 0.59, output = 0.79}` in whole units of money for a million tokens.
    The variable of a key may be missing where the provider is in `stored`, as in `presets`.
    Raises InvalidRequest for an unknown field, a wrong type or a missing variable.
    """
    return [
        _with_its_model(_from_table(name, fields, env, keyed=name in stored))
        for name, fields in table.items()
    ]


_FIELDS: Final[dict[str, type | tuple[type, ...]]] = {
    "base_url": str,
    "api_key_env": str,
    "models": list,
    "default_model": str,
    "context_tokens": int,
    "connect_seconds": (int, float),
    "idle_seconds": (int, float),
    "continues": str,
    "extra_headers": dict,
    "prices": dict,
}


def _from_table(name: str, fields: Any, env: Mapping[str, str], *, keyed: bool) -> ProviderSpec:
    if name in BUILT_IN:
        raise InvalidRequest(f"[providers.{name}]: '{name}' is a built-in provider; choose another name.")
    if not isinstance(fields, Mapping):
        raise InvalidRequest(f"[providers.{name}] is not a table of a provider's fields.")
    for key, value in fields.items():
        if key not in _FIELDS:
            raise InvalidRequest(f"[providers.{name}] knows no '{key}'; it knows {', '.join(_FIELDS)}.")
        if not isinstance(value, _FIELDS[key]):
            raise InvalidRequest(f"[providers.{name}] {key} has the wrong type.")
    if fields.get("continues", "ask") not in CONTINUES:
        raise InvalidRequest(f"[providers.{name}] continues is one of {', '.join(CONTINUES)}.")
    given = {key: fields[key] for key in fields if key not in ("api_key_env", "prices", "extra_headers")}
    given["models"] = tuple(str(model) for model in fields.get("models", ()))
    if "api_key_env" in fields and (not keyed or env.get(fields["api_key_env"], "").strip()):
        given["api_key"] = _variable(name, fields["api_key_env"], env)
    given["extra_headers"] = {
        header: _variable(name, value[4:], env) if str(value).startswith("env:") else str(value)
        for header, value in fields.get("extra_headers", {}).items()
    }
    given["prices"] = {model: _price(name, price) for model, price in fields.get("prices", {}).items()}
    return ProviderSpec(name=name, **{"base_url": "", **given})


def _variable(name: str, variable: str, env: Mapping[str, str]) -> str:
    value = env.get(variable, "").strip()
    if not value:
        raise InvalidRequest(f"[providers.{name}] reads {variable}, which is not set.")
    return value


def _price(name: str, price: Any) -> Price:
    if not isinstance(price, Mapping) or not price.keys() <= {"input", "output"}:
        raise InvalidRequest(f"[providers.{name}] a price looks like {{input = 0.5, output = 1.5}}.")
    sums = [price.get(side, 0) for side in ("input", "output")]
    if not all(isinstance(amount, int | float) and 0 <= amount < 1e6 for amount in sums):
        raise InvalidRequest(f"[providers.{name}] a price is a number from 0.")
    return Price(*(round(amount * 1_000_000) for amount in sums))

"""`config.ini` of the Redis chat service: its settings as our environment names.

    [redis]    host, port, password
    [api]      url, token, model
    [auth]     token
    [cleanup]  interval_seconds

What the environment says already stays as it is.
"""

from __future__ import annotations

import configparser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from antiphon.settings import weakness

KNOWN: Final[dict[str, tuple[str, ...]]] = {
    "redis": ("host", "port", "password"),
    "api": ("url", "token", "model"),
    "auth": ("token",),
    "cleanup": ("interval_seconds",),
}
RETIRED_HOST: Final = "api-inference.huggingface.co"
"""Its models are served at the router's OpenAI-compatible address now."""

Values = Mapping[str, str]


class BadConfigIni(ValueError):
    """The file cannot be read or says what nobody understands; never tells a value."""


def names_of(path: Path) -> dict[str, str]:
    """Return the environment names that a `config.ini` stands for; raises BadConfigIni."""
    sections = _sections(path)
    found: dict[str, str] = {"SESSION_CLEANUP": "all"}
    for name, translate in _TRANSLATIONS.items():
        if name in sections:
            found |= translate(sections[name])
    return found


def _sections(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    try:
        parser.read_string(path.read_text("utf-8"))
    except OSError as error:
        raise BadConfigIni(f"{path.name}: {error.strerror}") from None
    except (configparser.Error, UnicodeDecodeError):
        raise BadConfigIni(f"{path.name}: is no file of [sections] with 'name = value' lines") from None
    sections = {name.lower(): dict(parser[name]) for name in parser.sections()}
    for section, values in sections.items():
        for key in ("", *values):
            if section not in KNOWN or (key and key not in KNOWN[section]):
                shown = f"[{section}]" + (f" {key}" if key else "")
                raise BadConfigIni(f"{path.name}: {shown} is not known; known are {_known()}")
    return {
        section: {key: value.strip() for key, value in values.items() if value.strip()}
        for section, values in sections.items()
    }


def _known() -> str:
    return "; ".join(f"[{section}] {' '.join(keys)}" for section, keys in KNOWN.items())


def _redis(values: Values) -> dict[str, str]:
    if "host" not in values:
        return {}
    login = f":{quote(values['password'], safe='')}@" if "password" in values else ""
    return {"REDIS_URL": f"redis://{login}{values['host']}:{values.get('port', '6379')}/0"}


def _api(values: Values) -> dict[str, str]:
    """A URL that ends in `/v1` is OpenAI's API, one in `/models/NAME` Hugging Face's text generation.

    Of the retired inference API only the model's name is taken.
    """
    url, model, token = values.get("url", "").rstrip("/"), values.get("model"), values.get("token")
    named = "" if url.endswith("/v1") else url.partition("/models/")[2]
    if named and urlsplit(url).hostname == RETIRED_HOST:
        url, model, named = "", model or named, ""
    elif url and not named and not url.endswith("/v1"):
        raise BadConfigIni("[api] url: ends in /v1 or in /models/NAME")
    if named:
        found = {"HF_TOKEN": token} if token else {}
        return found | {"HF_BASE_URL": url, "DEFAULT_MODEL": f"huggingface/{named}"}
    stem, provider = ("HF", "huggingface") if token else ("VLLM", "vllm")
    if not token and not url:
        return {}
    found = {"HF_TOKEN": token} if token else {}
    if url:
        found[f"{stem}_BASE_URL"] = url
    if model:
        found |= {f"{stem}_MODEL_NAME": model, "DEFAULT_MODEL": f"{provider}/{model}"}
    return found


def _auth(values: Values) -> dict[str, str]:
    if "token" not in values:
        return {}
    if (problem := weakness(values["token"])) is not None:
        raise BadConfigIni(f"[auth] token: {problem}")
    return {"API_KEY": values["token"]}


def _cleanup(values: Values) -> dict[str, str]:
    return {"SESSION_CLEANUP_SECONDS": values["interval_seconds"]} if "interval_seconds" in values else {}


_TRANSLATIONS: Final[dict[str, Callable[[Values], dict[str, str]]]] = {
    "redis": _redis,
    "api": _api,
    "auth": _auth,
    "cleanup": _cleanup,
}

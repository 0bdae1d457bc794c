"""What providers behind a key have in common: their name, and the headers that carry the key."""

from __future__ import annotations

from antiphon.providers.specs import SECRET_FROM, ProviderSpec


class KeyedProvider:
    """Implements port `Keyed`."""

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._secrets = list(spec.secrets)
        self.use_key(None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._spec.name!r}, {self._spec.shown_url!r})"

    @property
    def name(self) -> str:
        """The configured name."""
        return self._spec.name

    @property
    def takes_key(self) -> bool:
        """See the port."""
        return not any(name.lower() == "authorization" for name in self._spec.extra_headers)

    @property
    def has_key(self) -> bool:
        """See the port."""
        return any(name.lower() == "authorization" for name in self._headers)

    def use_key(self, key: str | None) -> None:
        """See the port."""
        self._headers = {**self._spec.extra_headers, "accept": "text/event-stream, application/json"}
        key = key or self._spec.api_key
        if key and self.takes_key:
            self._headers["authorization"] = f"Bearer {key}"
            if len(key) >= SECRET_FROM and key not in self._secrets:
                self._secrets.append(key)  # for good: a call under way may still be told of an earlier one

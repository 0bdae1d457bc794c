"""Model providers as an administrator sees them, and their keys, which can be set while serving.

A stored key wins over the environment's; deleting it goes back to that one. No key ever leaves.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from antiphon.domain.accounts import Principal, Visit
from antiphon.domain.errors import Forbidden, Unprocessable
from antiphon.ports.clock import Clock
from antiphon.ports.storage import UnitOfWork
from antiphon.services.audit_lines import audit
from antiphon.services.models import Models
from antiphon.services.provider_health import Probe, ProviderHealth
from antiphon.services.secrets import Secrets

PREFIX: Final = "provider_key:"
_KEY = re.compile(r"[\x21-\x7e]{8,4096}")

KeySource = Literal["environment", "stored"]


class ProviderView(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as it may be shown; `key_source` is None where no key is sent."""

    name: str
    base_url: str
    default_model: str | None
    takes_key: bool
    key_source: KeySource | None
    health: ProviderHealth


def stored_keys(secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the provider keys among secrets, by the provider's name."""
    return {name.removeprefix(PREFIX): key for name, key in secrets.items() if name.startswith(PREFIX)}


class ProviderKeys:
    """The keys of model providers. `stored` are those that were read at start."""

    def __init__(
        self,
        models: Models,
        secrets: Secrets,
        unit_of_work: UnitOfWork,
        clock: Clock,
        stored: Mapping[str, str],
    ) -> None:
        self._models = models
        self._secrets = secrets
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._writing = asyncio.Lock()
        self._stored = {name for name in stored if name in models.health()}
        for name in self._stored:
            models.use_key(name, stored[name])

    def list(self, who: Principal) -> list[ProviderView]:
        """Return the providers that are shown, in order of configuration; raises Forbidden."""
        _require_admin(who)
        health = self._models.health()
        return [self._view(name, health[name]) for name in self._models.provider_names()]

    async def put(self, who: Principal, name: str, key: str, visit: Visit) -> ProviderView:
        """Store a provider's key and use it for every call that begins from now on.

        Raises Forbidden, NotFound, and Unprocessable for what is no key or a provider without one.
        """
        _require_admin(who)
        keyed = self._models.keyed(name)
        if keyed is None or not keyed.takes_key:
            raise Unprocessable(f"Provider '{name}' is sent no key.", code="provider_takes_no_key")
        if not _KEY.fullmatch(key):
            message = "A key is 8 to 4096 visible ASCII characters without spaces."
            raise Unprocessable(message, code="invalid_value", param="key")
        async with self._writing:  # memory follows the store's order
            line = audit(who, "provider_key.set", self._clock.now_us(), target=name, visit=visit)
            await self._unit_of_work.commit(self._secrets.put(PREFIX + name, key), line)
            self._stored.add(name)
            self._models.use_key(name, key)
        return self._view(name, self._models.health()[name])

    async def delete(self, who: Principal, name: str, visit: Visit) -> ProviderView:
        """Forget a stored key and go back to the environment's; nothing happens if none is stored.

        Raises Forbidden and NotFound.
        """
        _require_admin(who)
        self._models.keyed(name)
        async with self._writing:
            if name in self._stored:
                line = audit(who, "provider_key.delete", self._clock.now_us(), target=name, visit=visit)
                await self._unit_of_work.commit(self._secrets.delete(PREFIX + name), line)
                self._stored.discard(name)
                self._models.use_key(name, None)
        return self._view(name, self._models.health()[name])

    async def probe(self, who: Principal, name: str) -> Probe:
        """Ask a provider whether it answers, with its key; raises Forbidden and NotFound."""
        _require_admin(who)
        return await self._models.probe(name)

    def _view(self, name: str, health: ProviderHealth) -> ProviderView:
        terms, keyed = self._models.terms_of(name), self._models.keyed(name)
        source: KeySource | None = None
        if keyed is not None and keyed.has_key:
            source = "stored" if name in self._stored else "environment"
        return ProviderView(
            name=name,
            base_url=terms.shown_url,
            default_model=terms.default_model,
            takes_key=keyed is not None and keyed.takes_key,
            key_source=source,
            health=health,
        )


def _require_admin(who: Principal) -> None:
    if not who.is_admin:
        raise Forbidden("This is for administrators.", code="insufficient_scope")

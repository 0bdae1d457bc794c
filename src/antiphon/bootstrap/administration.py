"""Identity and what administrators use, with the runtime settings taking effect where they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from antiphon.bootstrap.beside import Beside
from antiphon.bootstrap.identity import identity_of
from antiphon.domain.accounts import Principal
from antiphon.domain.runtime_settings import SettingValues
from antiphon.ports.clock import Clock
from antiphon.ports.external_logins import LoginProvider
from antiphon.ports.storage import Storage
from antiphon.services.accounts import Accounts
from antiphon.services.admin import Administration, Surroundings, administration
from antiphon.services.models import Models
from antiphon.services.purges import Purges
from antiphon.services.quotas import Quotas
from antiphon.services.response_cache import ResponseCache
from antiphon.services.users import Stopping
from antiphon.settings import Settings


def people_of(
    settings: Settings,
    storage: Storage,
    beside: Beside,
    owner: Principal,
    clock: Clock,
    quotas: Quotas,
    logins: Mapping[str, LoginProvider],
    models: Models,
    cache: ResponseCache,
    purges: Purges,
    stopping: Stopping,
) -> dict[str, Any]:
    """Return the services of identity and administration, by their names in `Application`."""
    identity = identity_of(settings, storage, beside, owner, clock, quotas, logins)
    around = Surroundings(
        passwords=identity.pop("passwords"), credentials=identity["credentials"], models=models, purge=purges,
        stopping=stopping, owner_id=owner.account_id, owner_reachable=settings.has_local_owner,
    )  # fmt: skip
    made = administration_of(settings, storage, clock, around, identity["accounts"], cache)
    return {**identity, "administration": made}


def administration_of(
    settings: Settings,
    storage: Storage,
    clock: Clock,
    around: Surroundings,
    accounts: Accounts,
    cache: ResponseCache,
) -> Administration:
    """Return the services behind `/v1/admin`; the environment gives the settings' defaults."""
    routes = around.models.routes
    defaults = SettingValues(
        signup=settings.signup, registration_message=settings.registration_message,
        default_model=routes.default_model, response_cache=settings.response_cache,
        user_retention_days=settings.user_retention_days, admin_retention_days=settings.admin_retention_days,
    )  # fmt: skip
    made = administration(storage, clock, around, defaults, audit_days=settings.audit_days)

    def take(now: SettingValues) -> None:
        accounts.signing_up = now.signup
        routes.default_model = now.default_model
        cache.mode = now.response_cache

    made.settings.watch(take)
    return made

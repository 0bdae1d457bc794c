"""What administrators use, with the runtime settings taking effect where they are read."""

from __future__ import annotations

from antiphon.domain.runtime_settings import SettingValues
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.accounts import Accounts
from antiphon.services.admin import Administration, Surroundings, administration
from antiphon.services.response_cache import ResponseCache
from antiphon.settings import Settings


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

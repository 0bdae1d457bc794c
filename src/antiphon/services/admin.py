"""All that administrators use, and what the server itself does for it again and again."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.domain.errors import NotFound
from antiphon.domain.runtime_settings import SettingValues
from antiphon.ports.clock import Clock
from antiphon.ports.jobs import Jobs
from antiphon.ports.storage import Storage
from antiphon.services.audit_log import AuditLog
from antiphon.services.departures import LOOK_SECONDS, AccountPurge, Departures
from antiphon.services.groups import Groups
from antiphon.services.models import Models
from antiphon.services.passwords import Passwords
from antiphon.services.retention import EXPIRE_SECONDS, SWEEP_SECONDS, Retention
from antiphon.services.runtime_settings import REFRESH_SECONDS, RuntimeSettings
from antiphon.services.user_credentials import Invites, UserCredentials
from antiphon.services.users import Forgetting, Stopping, Users


@dataclass(frozen=True, kw_only=True)
class Administration:
    """The services behind `/v1/admin`."""

    users: Users
    user_credentials: UserCredentials
    invites: Invites
    groups: Groups
    settings: RuntimeSettings
    audit_log: AuditLog
    retention: Retention
    departures: Departures

    def schedule(self, jobs: Jobs) -> None:
        """Hand over the recurring jobs; each goes on after a restart where it was."""
        jobs.every(REFRESH_SECONDS, "read the runtime settings", self.settings.refresh)
        jobs.every(EXPIRE_SECONDS, "hide what has expired", self.retention.expire)
        jobs.every(SWEEP_SECONDS, "hide what was kept for long enough", self.retention.sweep)
        jobs.every(SWEEP_SECONDS, "forget old audit entries", self.audit_log.forget)
        jobs.every(LOOK_SECONDS, "erase deleted accounts", self.departures.settle)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What administration needs of the rest of the server.

    `owner_reachable` tells whether anybody can act as the local owner.
    """

    passwords: Passwords
    credentials: Forgetting
    models: Models
    stopping: Stopping
    purge: AccountPurge
    owner_id: str
    owner_reachable: bool


def administration(
    storage: Storage, clock: Clock, around: Surroundings, defaults: SettingValues, *, audit_days: int
) -> Administration:
    """Wire the services; reads nothing yet."""

    def unknown_model(name: str) -> str | None:
        try:
            around.models.resolve(name)
        except NotFound as error:
            return error.message
        return None

    groups = Groups(storage, clock)
    settings = RuntimeSettings(storage, clock, defaults, {"default_model": unknown_model})
    users = Users(
        storage, groups, around.passwords, around.credentials, around.stopping, clock,
        owner_id=around.owner_id, owner_reachable=around.owner_reachable,
    )  # fmt: skip
    return Administration(
        users=users,
        user_credentials=UserCredentials(storage, users, around.credentials, clock),
        invites=Invites(storage, groups, clock),
        groups=groups,
        settings=settings,
        audit_log=AuditLog(storage, clock, days=audit_days),
        retention=Retention(storage, settings, clock),
        departures=Departures(storage, around.purge, clock),
    )

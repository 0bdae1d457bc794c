"""Request bodies of the administration routes; fields that are not listed are refused with 422."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from antiphon.api.v1.conversation_bodies import Body

Role = Literal["admin", "user"]
State = Literal["active", "disabled"]
Days = Annotated[int, Field(ge=0, le=36_500)]
UserName = Annotated[str, Field(min_length=1, max_length=64)]
Email = Annotated[str, Field(min_length=3, max_length=254)]
Password = Annotated[str, Field(min_length=1, max_length=1024)]
WireId = Annotated[str, Field(min_length=1, max_length=64)]

MAX_INVITE_SECONDS = 90 * 24 * 3600
INVITE_SECONDS = 7 * 24 * 3600


class CreateUser(Body):
    """A new account; without a password it can log in by another issuer only."""

    name: UserName
    role: Role = "user"
    email: Email | None = None
    password: Password | None = None
    group_id: WireId | None = None
    retention_days: Days | None = None


class UpdateUser(Body):
    """What is to change. Null takes e-mail address, password, group or retention away."""

    role: Role = "user"
    state: State = "active"
    email: Email | None = None
    password: Password | None = None
    group_id: WireId | None = None
    retention_days: Days | None = None

    def given(self) -> dict[str, Any]:
        """Return the fields that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class CreateGroup(Body):
    """A new group."""

    name: UserName
    retention_days: Days | None = None


class UpdateGroup(Body):
    """A new name or retention; a retention of null leaves it to the role."""

    name: UserName = ""
    retention_days: Days | None = None

    def given(self) -> dict[str, Any]:
        """Return the fields that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class CreateInvite(Body):
    """What an invite gives, and for how long it holds."""

    role: Role = "user"
    group_id: WireId | None = None
    expires_in: Annotated[int, Field(ge=60, le=MAX_INVITE_SECONDS, description="Seconds.")] = INVITE_SECONDS

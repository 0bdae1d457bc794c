"""Settings that an administrator may change while the server runs: a closed list, typed."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_type_hints

import msgspec

from antiphon.domain.accounts import Role

Days = Annotated[int, msgspec.Meta(ge=0, le=36_500)]
"""Whole days; 0 is for ever."""


class SettingValues(msgspec.Struct, frozen=True, kw_only=True):
    """What holds now: for each name the stored value, or else the environment's.

    `signup` says who may make an account; `registration_message` is shown beside it.
    Conversations are kept for `user_retention_days` or `admin_retention_days` after their last
    change, unless account or group say otherwise.
    """

    signup: Literal["closed", "invite", "open"] = "closed"
    registration_message: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    default_model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    response_cache: Literal["off", "user", "shared"] = "off"
    user_retention_days: Days = 0
    admin_retention_days: Days = 0

    @property
    def retention_days(self) -> dict[Role, int]:
        """How long conversations are kept, by their owner's role."""
        return {"user": self.user_retention_days, "admin": self.admin_retention_days}


FIRST_ADMINISTRATOR: Final = "first_administrator"
"""A row beside the settings: the account that was made first, and the name it was made with."""
NAMES: Final = SettingValues.__struct_fields__
_TYPES: Final = get_type_hints(SettingValues, include_extras=True)


def checked(name: str, value: Any) -> Any:
    """Return a value for a known name; raises ValueError with a sentence if it is not of its type."""
    try:
        return msgspec.convert(value, _TYPES[name], strict=True)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}.") from None

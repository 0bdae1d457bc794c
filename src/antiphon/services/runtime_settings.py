"""Runtime settings: read once, held in memory, changed by administrators.

The environment gives the default, a stored value wins, and null returns to the default. A change
takes effect at once in this process and within `REFRESH_SECONDS` in every other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from antiphon.domain.errors import Unprocessable
from antiphon.domain.runtime_settings import FIRST_ADMINISTRATOR, NAMES, SettingValues, checked
from antiphon.ports.clock import Clock
from antiphon.ports.operation_writes import DropSetting, PutSetting
from antiphon.ports.storage import Storage
from antiphon.ports.write_sets import Command
from antiphon.services.administration import Administrator, audit

REFRESH_SECONDS: Final = 4.0
log = logging.getLogger(__name__)

Listener = Callable[[SettingValues], None]
Check = Callable[[Any], str | None]
"""Returns why a value cannot be taken, None if it can."""


class RuntimeSettings:
    """What holds now is `current`; `stored` are the values that are not defaults.

    `checks` says by name what a type cannot say. Nothing stored is believed unseen: a value that
    an older or newer release wrote and this one cannot read is passed over, and logged.
    """

    def __init__(
        self, storage: Storage, clock: Clock, defaults: SettingValues, checks: Mapping[str, Check]
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._checks = checks
        self._listeners: list[Listener] = []
        self._raw: dict[str, str] = {}
        self.defaults = defaults
        self.current = defaults
        self.stored: dict[str, Any] = {}

    def watch(self, listener: Listener) -> None:
        """Call a function with what holds, now and after every change."""
        self._listeners.append(listener)
        listener(self.current)

    async def refresh(self) -> None:
        """Read what is stored; tells the listeners if it is news."""
        raw = await self._storage.operations.runtime_settings()
        if raw != self._raw:
            self._take(raw)

    async def change(self, admin: Administrator, changes: Mapping[str, Any]) -> SettingValues:
        """Store values, or forget them where null is given; all of them or none.

        Raises Unprocessable naming the first that is unknown or not of its type.
        """
        now = self._clock.now_us()
        commands: list[Command] = []
        raw = dict(await self._storage.operations.runtime_settings())
        for name, value in changes.items():
            if value is None:
                self._require_known(name)
                commands.append(DropSetting(name=name))
                raw.pop(name, None)
            else:
                encoded = msgspec.json.encode(self._checked(name, value)).decode()
                commands.append(PutSetting(name=name, value=encoded, updated_us=now))
                raw[name] = encoded
        if commands:
            note = audit(admin, self._clock, "settings.update", None, **dict(changes))
            await self._storage.unit_of_work.commit(*commands, note)
            self._take(raw)
        return self.current

    @staticmethod
    def _require_known(name: str) -> None:
        if name not in NAMES:
            known = ", ".join(NAMES)
            raise Unprocessable(
                f"There is no setting '{name}'. Known: {known}.", code="unknown_parameter", param=name
            )

    def _checked(self, name: str, value: Any) -> Any:
        self._require_known(name)
        try:
            value = checked(name, value)
            reason = self._checks[name](value) if name in self._checks else None
        except ValueError as error:
            reason = str(error)
        if reason is not None:
            raise Unprocessable(f"'{name}': {reason}", code="invalid_value", param=name)
        return value

    def _take(self, raw: dict[str, str]) -> None:
        stored: dict[str, Any] = {}
        for name, text in raw.items():
            if name == FIRST_ADMINISTRATOR:
                continue
            try:
                stored[name] = checked(name, msgspec.json.decode(text))
            except (KeyError, ValueError, msgspec.DecodeError):
                log.warning("the stored setting '%s' cannot be read and is passed over", name)
        self._raw, self.stored = raw, stored
        self.current = msgspec.structs.replace(self.defaults, **stored)
        for listener in self._listeners:
            listener(self.current)

"""Commands that write what operating the server leaves behind."""

from __future__ import annotations

from typing import ClassVar

from antiphon.ports.write_sets import Command


class Audit(Command, frozen=True, kw_only=True):
    """Record who changed what; `detail` is JSON and holds no secret and no content.

    `action` is a verb of a kind of object, e.g. `session.revoke`; `target` its wire id.
    """

    id: str
    created_us: int
    actor_id: str | None
    action: str
    credential_id: str | None = None
    target: str | None = None
    detail: str = "{}"
    address: str | None = None


class PutSecret(Command, frozen=True, kw_only=True):
    """Store a sealed secret. With `replaces` only in place of that ciphertext, else lost."""

    GUARD: ClassVar[bool] = True
    name: str
    ciphertext: bytes
    updated_us: int
    replaces: bytes | None = None


class DeleteSecret(Command, frozen=True, kw_only=True):
    """Delete a secret; nothing happens if there is none."""

    name: str


class PutSetting(Command, frozen=True, kw_only=True):
    """Store a runtime setting as JSON."""

    name: str
    value: str
    updated_us: int


class DropSetting(Command, frozen=True, kw_only=True):
    """Forget a runtime setting, so that its default holds; nothing happens if there is none."""

    name: str


class ForgetAudit(Command, frozen=True, kw_only=True):
    """Erase up to `limit` audit entries with ids below `before_id`, the oldest first.

    With `full` a lost guard if they are fewer.
    """

    before_id: str
    limit: int
    full: bool = False

"""What passes its time is hidden and marked; what is written to in that moment stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Visit
from antiphon.domain.errors import Forbidden, NotFound
from antiphon.ports import write_sets as ws
from antiphon.services.administration import Administrator, administrator
from antiphon.services.retention import EXPIRED_AT_ONCE, Retention
from tests.services.world import SystemClock, World, another_person

DAY_SECONDS = 24 * 3600


class Later(SystemClock):
    """The clock of somebody who looks in so many seconds."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def now_us(self) -> int:
        return super().now_us() + int(self.seconds * 1e6)


@pytest.fixture
def root(world: World) -> Administrator:
    return administrator(world.who, Visit("127.0.0.1"))


def looking(world: World, seconds: float) -> Retention:
    """The server's own job, so many seconds from now."""
    return Retention(world.storage, world.application.administration.settings, Later(seconds))  # type: ignore[arg-type]


async def is_there(world: World, conversation_id: str) -> bool:
    try:
        await world.application.conversations.get(world.who, conversation_id)
    except NotFound:
        return False
    return True


async def test_a_conversation_with_an_end_goes_when_it_has_come(world: World) -> None:
    create = world.application.conversations.create
    fields: dict[str, Any] = {"metadata": "{}", "title": None, "key": None}
    short = ids.CONVERSATION + (await create(world.who, [], expires_after_seconds=60, **fields)).id
    long = ids.CONVERSATION + (await create(world.who, [], expires_after_seconds=120, **fields)).id
    never = await world.conversation("hello")
    await looking(world, 59).expire()
    assert await is_there(world, short)
    await looking(world, 61).expire()
    assert [await is_there(world, one) for one in (short, long, never)] == [False, True, True]
    changes = world.rows(
        "SELECT kind, body FROM conversation_changes WHERE conversation_id=? ORDER BY revision", short[5:]
    )
    assert changes[-1] == ("conversation.deleted", '{"reason":"retention"}')


async def test_many_are_hidden_slice_by_slice(world: World) -> None:
    """All in one round: were it a slice a round, more could come in than is hidden."""
    count = EXPIRED_AT_ONCE + 3
    for _ in range(count):
        await world.application.conversations.create(
            world.who, [], metadata="{}", title=None, key=None, expires_after_seconds=1
        )
    left = "SELECT COUNT(*) FROM conversations WHERE deleted IS NULL"
    keeper = looking(world, 5)
    await keeper.expire()
    assert world.rows(left) == [(0,)]


async def test_the_default_for_a_role_is_a_setting_and_holds_at_once(
    world: World, root: Administrator
) -> None:
    conversation = await world.conversation("hello")
    keeper = looking(world, 31 * DAY_SECONDS)
    await keeper.sweep()
    assert await is_there(world, conversation)
    settings = world.application.administration.settings
    await settings.change(root, {"user_retention_days": 30})
    await keeper.sweep()
    assert await is_there(world, conversation)
    await settings.change(root, {"admin_retention_days": 30})
    await looking(world, 29 * DAY_SECONDS).sweep()
    assert await is_there(world, conversation)
    await keeper.sweep()
    assert not await is_there(world, conversation)
    row = world.rows("SELECT expires, deleted FROM conversations WHERE id=?", conversation[5:])
    assert row[0][0] == row[0][1] is not None


async def test_a_turn_keeps_a_conversation(world: World, root: Administrator) -> None:
    await world.application.administration.settings.change(root, {"admin_retention_days": 1})
    conversation = await world.conversation("hello")
    world.storage.unit_of_work.before = None
    held = looking(world, DAY_SECONDS + 60)

    async def meanwhile(commands: Sequence[ws.Command]) -> None:
        if any(isinstance(command, ws.ExpireConversation) for command in commands):
            world.storage.unit_of_work.before = None
            await world.turn("still here", conversation_id=conversation)

    world.storage.unit_of_work.before = meanwhile
    await held.sweep()
    assert world.storage.unit_of_work.before is None
    assert await is_there(world, conversation)


async def test_only_an_administrator_administers(world: World) -> None:
    other = await another_person(world)
    with pytest.raises(Forbidden):
        administrator(other, Visit())


async def test_a_stored_setting_that_cannot_be_read_is_passed_over(
    world: World, root: Administrator, caplog: pytest.LogCaptureFixture
) -> None:
    from antiphon.ports.operation_writes import PutSetting

    settings = world.application.administration.settings
    for name, value in (("signup", '"everybody"'), ("gone", "1"), ("user_retention_days", "{"),
                        ("registration_message", '"hi"')):  # fmt: skip
        await world.storage.unit_of_work.commit(PutSetting(name=name, value=value, updated_us=1))
    await settings.refresh()
    assert settings.stored == {"registration_message": "hi"}
    assert settings.current.signup == "closed"
    assert {record.args[0] for record in caplog.records if record.args} == {  # type: ignore[index]
        "signup", "gone", "user_retention_days"
    }  # fmt: skip


async def test_those_who_watch_hear_of_every_change_and_of_nothing_else(
    world: World, root: Administrator
) -> None:
    settings, heard = world.application.administration.settings, []
    settings.watch(lambda now: heard.append(now.registration_message))
    await settings.refresh()
    await settings.change(root, {"registration_message": "a"})
    await settings.change(root, {})
    await settings.refresh()
    await settings.change(root, {"registration_message": None})
    assert heard == ["", "a", ""]

"""Large data URLs: kept once beside the store, shown and sent to models exactly as they came."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.errors import Conflict, Unavailable
from antiphon.domain.inputs import parse_input
from antiphon.ports import blob_writes as wb
from antiphon.services.idempotency import Key
from tests.services.hand import HAND
from tests.services.test_chat_prefix import complete, conversation_of
from tests.services.world import World
from tests.store import contents, set_columns


def data_url(size: int = 100_000) -> str:
    return "data:image/png;base64," + base64.b64encode(os.urandom(size)).decode()


def picture(url: str, text: str = "look") -> list[dict[str, Any]]:
    content = [
        {"type": "input_text", "text": text},
        {"type": "input_image", "image_url": url, "detail": "auto"},
    ]
    return [{"type": "message", "role": "user", "content": content}]


def files(world: World) -> dict[str, bytes]:
    """The blobs by name."""
    return contents(world.directory, "blobs")


def stored(world: World) -> str:
    """All payloads as the store holds them."""
    return "\n".join(payload for (payload,) in world.rows("SELECT payload FROM items"))


async def add(world: World, conversation: str, items: Any, **fields: Any) -> Any:
    return await world.application.conversations.add_items(
        world.who, conversation, parse_input(items), **fields
    )


async def test_a_large_data_url_lies_beside_the_store_and_comes_back_byte_for_byte(world: World) -> None:
    url, conversation = data_url(), await world.conversation()
    (made,) = await add(world, conversation, picture(url))
    assert files(world) == {hashlib.sha256(url.encode()).hexdigest(): url.encode()}
    assert url not in stored(world)
    (listed,) = await world.path(conversation)
    assert listed.payload == made.payload and url in made.payload
    assert (await world.application.conversations.item(world.who, conversation, made.wire_id)) == listed


async def test_a_small_one_stays_where_it_is(world: World) -> None:
    url = data_url(40_000)
    await add(world, await world.conversation(), picture(url))
    assert files(world) == {} and url in stored(world)


async def test_every_way_in_moves_it_and_every_way_out_shows_it(world: World) -> None:
    url, new = data_url(), data_url()
    made = await world.application.conversations.create(
        world.who, parse_input(picture(url)), metadata="{}", title=None, key=None
    )
    conversation = ids.CONVERSATION + made.id
    turn = await world.turn(items=tuple(parse_input(picture(new, "again"))), conversation_id=conversation)
    first, second, _ = await world.path(conversation)
    (edited,) = await world.application.alternatives.edit_only(
        world.who, conversation, second.wire_id, parse_input(picture(url, "edited"))
    )
    assert new in second.payload and url in edited.payload
    assert len(files(world)) == 2 and "base64" not in stored(world)
    answers, branches = world.application.answers, world.application.branches
    page = await answers.input_items(
        world.who, ids.RESPONSE + turn.run.id, after=None, limit=10, descending=False
    )
    assert [item.payload for item in page.data] == [second.payload]
    siblings = await branches.siblings(world.who, conversation, second.wire_id, 10)
    assert [item.payload for item in siblings] == [second.payload, edited.payload]
    left, right = (await world.branches(conversation)).values()
    compared = await branches.compare(world.who, conversation, left, right, limit=10)
    assert compared.left[0].payload == second.payload and compared.right[0].payload == edited.payload
    asked = await answers.asked(world.who, ids.RESPONSE + turn.run.id)
    assert [item.payload for item in asked] == [first.payload, second.payload]


async def test_a_model_is_shown_it_as_it_came_at_every_later_turn(world: World) -> None:
    url = data_url()
    conversation = await world.conversation()
    for number in range(2):
        items = picture(url) if number == 0 else "and now?"
        begun = await world.begin(items=tuple(parse_input(items)), conversation_id=conversation, model=HAND)
        call = await world.hand.next()
        shown = call.request.messages[0]["content"][1]
        assert shown == {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}
        call.answer("seen")
        await world.wait(begun)


async def test_a_reference_to_an_item_takes_its_picture_along(world: World) -> None:
    url, conversation = data_url(), await world.conversation()
    (made,) = await add(world, conversation, picture(url))
    reference = [{"type": "item_reference", "id": made.wire_id}]
    begun = await world.begin(items=tuple(parse_input(reference)), model=HAND)
    call = await world.hand.next()
    assert url in json.dumps(call.request.messages)
    call.answer("seen")
    await world.wait(begun)
    assert len(files(world)) == 1
    assert world.rows("SELECT COUNT(*), COUNT(DISTINCT digest) FROM blob_refs") == [(2, 1)]


async def test_a_background_answer_that_begins_again_has_its_picture(world: World) -> None:
    url = data_url()
    begun = await world.begin(items=tuple(parse_input(picture(url))), model=HAND, background=True)
    (await world.hand.next()).answer("first")
    answer = await world.ended(begun)
    run = answer.run
    run.state, run.attempt = "queued", 2
    await set_columns(world.storage.inner, world.directory, "runs", state="in_progress")  # as if it had not
    await world.application.turns.resume(run)
    assert url in json.dumps((await world.hand.next()).request.messages)


async def test_a_resent_chat_history_is_recognised_by_its_picture(world: World) -> None:
    image = {"type": "image_url", "image_url": {"url": data_url()}}
    asked = {"role": "user", "content": [{"type": "text", "text": "what?"}, image]}
    first = await complete(world, [asked])
    history = [asked, {"role": "assistant", "content": first.outputs[0].payload["content"][0]["text"]}]
    second = await complete(world, [*history, {"role": "user", "content": "and?"}])
    assert conversation_of(second) == conversation_of(first)
    assert world.rows("SELECT COUNT(*) FROM items") == [(4,)]
    other = {"role": "user", "content": [asked["content"][0], {**image, "image_url": {"url": data_url()}}]}
    third = await complete(world, [other])
    assert conversation_of(third) != conversation_of(first)
    assert len(files(world)) == 2


async def test_a_retry_with_the_same_key_gets_the_same_bytes(world: World) -> None:
    conversation, url = await world.conversation(), data_url()
    key = Key("k", b"f", render=lambda made: made[0].payload.encode())
    (made,) = await add(world, conversation, picture(url), key=key)
    with pytest.raises(Conflict):
        await add(world, conversation, picture(url), key=key)
    assert await world.application.idempotency.finished(world.who, key) == made.payload.encode()


async def test_twenty_turns_with_one_picture_keep_it_once(world: World) -> None:
    url = data_url()
    conversations = [await world.conversation() for _ in range(20)]
    await asyncio.gather(*(add(world, one, picture(url)) for one in conversations))
    assert len(files(world)) == 1
    assert world.rows("SELECT state, COUNT(*) FROM blobs") == [("held", 1)]
    assert world.rows("SELECT COUNT(*) FROM blob_refs") == [(20,)]


async def test_content_that_is_being_erased_is_put_again(world: World) -> None:
    url, owner = data_url(), world.who
    digest = hashlib.sha256(url.encode()).hexdigest()
    commit = world.storage.unit_of_work.commit
    named = {"owner_id": owner.account_id, "digest": digest}
    await commit(wb.AnnounceBlob(**named, slot=owner.slot, size=len(url), now_us=1), wb.DoomBlob(**named))
    adding = asyncio.create_task(add(world, await world.conversation(), picture(url)))
    await asyncio.sleep(0)
    await commit(wb.ForgetBlob(**named))
    (made,) = await adding
    assert url in made.payload and list(files(world)) == [digest]


async def test_a_lost_file_is_an_error_never_an_empty_picture(world: World) -> None:
    conversation = await world.conversation()
    await add(world, conversation, picture(data_url()))
    for digest in files(world):
        assert await world.knowledge.stores.said.delete(world.who.account_id, digest)
    with pytest.raises(Unavailable) as error:
        await world.path(conversation)
    assert error.value.code == "content_missing"


async def test_an_item_that_looks_like_a_reference_is_only_an_item(world: World) -> None:
    conversation = await world.conversation()
    (made,) = await add(world, conversation, picture(data_url()))
    ((reduced,),) = world.rows("SELECT payload FROM items")
    forged = {"type": "message", "role": "user", "content": json.loads(reduced)}
    for items in ([json.loads(reduced)], [forged]):
        with pytest.raises(Exception, match=r"item|object|part"):
            await add(world, conversation, items)
    (kept,) = await add(world, conversation, [{"type": "made_up", "stolen": json.loads(reduced)}])
    assert kept.body()["stolen"] == json.loads(reduced)
    assert made.payload not in kept.payload


async def test_turns_without_pictures_never_touch_the_blob_store(world: World) -> None:
    await world.turn("x" * 200_000)
    assert not (world.directory / "blobs").exists()

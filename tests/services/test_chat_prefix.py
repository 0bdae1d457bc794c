"""Stored chat completions: whoever resends everything leaves one history, and branches where it differs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from antiphon.api.v1.chat_requests import parse_chat, turn_request
from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.services.answers import Answer
from antiphon.services.turns import Begun
from tests.services.gates import Gate
from tests.services.hand import ECHO, HAND
from tests.services.tree_rules import tree_problems
from tests.services.world import World, another_person

Message = dict[str, Any]


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


async def begin(
    world: World, messages: list[Message], *, who: Principal | None = None, **fields: Any
) -> Begun:
    """Begin a stored chat completion as the route does."""
    asking = who or world.who
    body, params = parse_chat(json.dumps({"model": ECHO, "messages": messages, **fields}).encode())
    return await world.application.turns.begin(asking, turn_request(asking, body, params, store=True))


async def complete(world: World, messages: list[Message], **fields: Any) -> Answer:
    begun = await begin(world, messages, **fields)
    await world.wait(begun)
    return await world.application.answers.get(
        world.who, ids.CHAT_COMPLETION + begun.run_id, ids.CHAT_COMPLETION
    )


def conversation_of(answer: Answer) -> str:
    return ids.CONVERSATION + (answer.run.conversation_id or "")


async def history(world: World, turns: int) -> tuple[list[Message], Answer]:
    """A client that resends everything for some turns."""
    messages: list[Message] = [{"role": "system", "content": "be kind"}]
    for number in range(turns):
        messages.append(user(f"u{number}"))
        answer = await complete(world, messages)
        messages.append(assistant(f"re: u{number}"))
    return messages, answer


async def test_fifty_turns_that_resend_everything_leave_exactly_one_line_of_items(world: World) -> None:
    messages, answer = await history(world, 50)
    assert world.rows("SELECT COUNT(*) FROM items") == [(len(messages),)]
    assert world.rows("SELECT COUNT(*) FROM segments") == [(1,)]
    assert world.rows("SELECT COUNT(*) FROM conversations") == [(1,)]
    assert world.rows("SELECT COUNT(*) FROM branches") == [(1,)]
    said = await world.said(conversation_of(answer))
    assert said == [message["content"] for message in messages]
    asked = await world.application.answers.asked(
        world.who, ids.CHAT_COMPLETION + answer.run.id, ids.CHAT_COMPLETION
    )
    assert len(asked) == len(messages) - 1


async def test_an_edited_earlier_message_makes_a_branch_of_the_same_conversation(world: World) -> None:
    messages, answer = await history(world, 3)
    before = world.rows("SELECT COUNT(*) FROM items")[0][0]
    edited = [*messages[:3], user("other"), assistant("re: other"), user("more")]
    branched = await complete(world, edited)
    assert branched.run.conversation_id == answer.run.conversation_id
    assert world.rows("SELECT COUNT(*) FROM items") == [(before + 4,)]
    names = await world.branches(conversation_of(answer))
    assert len(names) == 2
    assert await world.said(conversation_of(answer)) == [*(m["content"] for m in edited), "re: more"]
    assert await world.said(conversation_of(answer), branch_id=names["main"]) == [
        m["content"] for m in messages
    ]
    assert tree_problems(world.directory, at_rest=True) == []


async def test_after_a_branch_the_client_goes_on_along_it_without_further_branches(world: World) -> None:
    messages, answer = await history(world, 3)
    line = [*messages[:3], user("other")]
    for number in range(5):
        await complete(world, line)
        line += [assistant("re: " + line[-1]["content"]), user(f"more {number}")]
    assert len(await world.branches(conversation_of(answer))) == 2
    assert world.rows("SELECT COUNT(*) FROM conversations") == [(1,)]


async def test_a_client_that_goes_back_to_its_first_line_goes_on_there_without_a_further_branch(
    world: World,
) -> None:
    messages, answer = await history(world, 2)
    await complete(world, [*messages[:3], user("other")])  # now the active branch
    for number in range(3):
        messages.append(user(f"back {number}"))
        await complete(world, messages)
        messages.append(assistant(f"re: back {number}"))
    names = await world.branches(conversation_of(answer))
    assert len(names) == 2
    assert await world.said(conversation_of(answer), branch_id=names["main"]) == [
        m["content"] for m in messages
    ]


async def test_an_identical_resend_makes_a_sibling_answer_and_no_copy_of_the_question(world: World) -> None:
    messages, answer = await history(world, 1)
    before = world.rows("SELECT COUNT(*) FROM items")[0][0]
    again = await complete(world, messages[:-1])
    assert world.rows("SELECT COUNT(*) FROM items") == [(before + 1,)]
    assert again.run.conversation_id == answer.run.conversation_id
    assert again.run.request["input_item_ids"] == []
    item = ids.MESSAGE + again.outputs[0].id
    siblings = await world.application.branches.siblings(world.who, conversation_of(answer), item, 10)
    assert len(siblings) == 2
    assert world.rows("SELECT COUNT(*) FROM conversations") == [(1,)]


async def test_after_equal_sibling_answers_the_client_still_goes_on_in_one_line(world: World) -> None:
    """Both answers have the same path; whichever is continued, it must not make a branch at every turn."""
    messages, answer = await history(world, 1)
    await complete(world, messages[:-1])
    for number in range(4):
        messages.append(user(f"next {number}"))
        await complete(world, messages)
        messages.append(assistant(f"re: next {number}"))
    assert len(await world.branches(conversation_of(answer))) == 2
    assert world.rows("SELECT COUNT(*) FROM items") == [(len(messages) + 1,)]


async def test_an_identical_resend_while_the_first_runs_is_a_sibling_too(world: World) -> None:
    first = await begin(world, [user("u")], model=HAND)
    second = await begin(world, [user("u")], model=HAND)
    (await world.hand.next()).answer("one")
    (await world.hand.next()).answer("two")
    await world.wait(first)
    await world.wait(second)
    assert world.rows("SELECT COUNT(*) FROM items") == [(3,)]
    assert world.rows("SELECT COUNT(*) FROM conversations") == [(1,)]
    assert tree_problems(world.directory, at_rest=True) == []


async def test_equal_requests_that_begin_at_the_same_moment_are_all_answered(world: World) -> None:
    gate = Gate(world)
    both = [asyncio.create_task(begin(world, [user("u")])) for _ in range(5)]
    await gate.waiting(5)
    gate.open()
    for begun in await asyncio.gather(*both):
        await world.wait(begun)
    assert world.rows("SELECT DISTINCT state FROM runs") == [("completed",)]
    assert tree_problems(world.directory, at_rest=True) == []


async def test_another_owners_equal_history_is_never_matched(world: World) -> None:
    messages, _ = await history(world, 2)
    stranger = await another_person(world)
    begun = await begin(world, messages[:-1], who=stranger)
    assert begun.live is not None
    while not begun.live.closed:
        await begun.live.wait()
    assert world.rows("SELECT COUNT(*) FROM conversations") == [(2,)]
    assert world.rows("SELECT COUNT(DISTINCT owner_id) FROM items GROUP BY segment_id") == [(1,), (1,)]


async def test_a_deleted_conversation_is_not_matched(world: World) -> None:
    messages, answer = await history(world, 1)
    await world.application.conversations.delete(world.who, conversation_of(answer))
    again = await complete(world, [*messages, user("more")])
    assert again.run.conversation_id != answer.run.conversation_id


async def test_calls_and_their_outputs_are_matched_like_messages(world: World) -> None:
    messages = [user("call")]
    begun = await begin(world, messages, model=HAND)
    call = await world.hand.next()
    call.say("let me see")
    call.call("first", '{"a": 1}', "call_1")
    call.call("second2", "{}", "call_2")
    call.end("tool_calls")
    await world.wait(begun)
    functions = [("call_1", "first", '{"a": 1}'), ("call_2", "second2", "{}")]
    messages += [
        {
            "role": "assistant",
            "content": "let me see",
            "tool_calls": [
                {"id": i, "type": "function", "function": {"name": n, "arguments": a}}
                for i, n, a in functions
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "one"},
        {"role": "tool", "tool_call_id": "call_2", "content": "two"},
    ]
    answer = await complete(world, messages)
    assert world.rows("SELECT COUNT(*) FROM items") == [(1 + 3 + 2 + 1,)]
    assert world.rows("SELECT COUNT(*) FROM segments") == [(1,)]
    assert answer.run.state == "completed"


async def test_content_as_a_string_and_as_one_text_part_is_the_same_history(world: World) -> None:
    messages, _ = await history(world, 1)
    parts = [{"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in messages[:-1]]
    await complete(world, [*parts, messages[-1], user("more")])
    assert world.rows("SELECT COUNT(*) FROM segments") == [(1,)]


async def test_messages_that_differ_only_in_their_role_or_speaker_are_different_histories(
    world: World,
) -> None:
    await complete(world, [user("same")])
    await complete(world, [{"role": "developer", "content": "same"}])
    assert world.rows("SELECT COUNT(*) FROM conversations") == [(2,)]
    await complete(world, [{"role": "user", "name": "Ada", "content": "same"}])
    assert world.rows("SELECT COUNT(*) FROM conversations") == [(3,)]


async def test_the_model_is_sent_the_messages_as_they_came(world: World) -> None:
    messages = [{"role": "user", "name": "Ada", "content": [{"type": "text", "text": "u"}]}]
    begun = await begin(world, messages, model=HAND)
    call = await world.hand.next()
    assert call.request.messages == messages
    call.answer("a")
    await world.wait(begun)


async def test_every_choice_of_n_can_be_continued(world: World) -> None:
    begun = await begin(world, [user("u")], model=HAND, n=3)
    call = await world.hand.next()
    for choice in range(3):
        call.say(f"choice {choice}", choice=choice)
    call.end()
    await world.wait(begun)
    for choice in range(3):
        answer = await complete(world, [user("u"), assistant(f"choice {choice}"), user("on")])
        assert len(answer.run.request["input_item_ids"]) == 1
    assert world.rows("SELECT COUNT(*) FROM items") == [(1 + 3 + 6,)]
    assert tree_problems(world.directory, at_rest=True) == []

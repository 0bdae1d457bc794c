"""Ports `Conversations` and `Runs`: what was put in comes out, by owner and by page."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from antiphon.domain import ids
from antiphon.domain.conversations import Chosen, Conversation, Folder
from antiphon.domain.errors import Conflict
from antiphon.domain.items import Position
from antiphon.domain.runs import Ratings, RunError
from antiphon.domain.usage import Usage
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage
from tests.contracts.builders import (
    OWNER,
    SLOT,
    STRANGER,
    end_of,
    finish,
    new_branch,
    new_conversation,
    new_item,
    new_run,
    put,
    segment,
)

WORKER = "a" * 32


# --- conversations


async def test_a_conversation_comes_back_whole_and_to_its_owner_only(storage: Storage) -> None:
    base = Position(ids.new_id(SLOT), 3, 40, ids.new_id(SLOT))
    conversation, _, commands = new_conversation(title="T", metadata='{"k":"v"}', base=base, kind="implicit")
    await storage.unit_of_work.commit(*commands)
    assert await storage.conversations.get(OWNER, conversation.id) == conversation
    assert await storage.conversations.get(STRANGER, conversation.id) is None
    assert await storage.conversations.get(OWNER, ids.new_id(SLOT)) is None


async def test_an_update_changes_what_it_names_and_a_deleted_one_is_gone(storage: Storage) -> None:
    conversation, _, commands = new_conversation(title="T", metadata='{"k":"v"}')
    await storage.unit_of_work.commit(*commands)
    await storage.unit_of_work.commit(ws.UpdateConversation(conversation_id=conversation.id, metadata="{}"))
    found = await storage.conversations.get(OWNER, conversation.id)
    assert found is not None and (found.title, found.metadata) == ("T", "{}")
    await storage.unit_of_work.commit(ws.DeleteConversation(conversation_id=conversation.id, now_us=5))
    assert await storage.conversations.get(OWNER, conversation.id) is None
    assert await storage.conversations.page(OWNER, after=None, limit=10, descending=True) == []


@pytest.mark.parametrize("descending", [False, True])
async def test_conversations_are_listed_by_pages_without_gap_or_double(
    storage: Storage, descending: bool
) -> None:
    made = []
    for _ in range(7):
        conversation, _, commands = new_conversation()
        await storage.unit_of_work.commit(*commands)
        made.append(conversation.id)
    _, _, commands = new_conversation(owner_id=STRANGER)
    await storage.unit_of_work.commit(*commands)
    seen: list[str] = []
    while True:
        page = await storage.conversations.page(
            OWNER, after=seen[-1] if seen else None, limit=3, descending=descending
        )
        if not page:
            break
        seen += [one.id for one in page]
    assert seen == sorted(made, reverse=descending)


async def test_branches_are_listed_by_pages_and_found_by_id_head_and_prefix(storage: Storage) -> None:
    item = new_item("a")
    conversation, head, commands = new_conversation(item)
    sides = [new_branch(conversation, f"side-{n}", head) for n in range(5)]
    await storage.unit_of_work.commit(*commands, *sides)
    seen: list[str] = []
    while page := await storage.conversations.branches(
        conversation.id, after=seen[-1] if seen else None, limit=2
    ):
        seen += [one.id for one in page]
    assert seen == sorted([conversation.active_branch_id, *(one.branch.id for one in sides)])
    assert await storage.conversations.branch(conversation.id, sides[0].branch.id) == sides[0].branch
    assert await storage.conversations.branch(ids.new_id(SLOT), sides[0].branch.id) is None
    assert await storage.conversations.branch_names(conversation.id, "side-") == {
        f"side-{n}" for n in range(5)
    }
    assert await storage.conversations.branch_names(conversation.id, "nope") == set()
    at = await storage.conversations.branch_at(conversation.id, item.id)
    assert at is not None and at.head.item_id == item.id
    assert await storage.conversations.branch_at(conversation.id, ids.new_id(SLOT)) is None


async def test_names_that_look_like_patterns_are_only_names(storage: Storage) -> None:
    conversation, head, commands = new_conversation(new_item("a"))
    names = ["100%", "100_", "1000", "a*b", "a?b", "aXb", "\U0010ffff"]
    await storage.unit_of_work.commit(*commands, *(new_branch(conversation, name, head) for name in names))
    find = storage.conversations.branch_names
    assert await find(conversation.id, "100%") == {"100%"}
    assert await find(conversation.id, "100_") == {"100_"}
    assert await find(conversation.id, "a*") == {"a*b"}


async def used_at(storage: Storage, now_us: int, **fields: Any) -> Conversation:
    """A conversation that was last used at a time."""
    conversation, _, commands = new_conversation(updated_us=now_us, **fields)
    await storage.unit_of_work.commit(*commands)
    return conversation


async def test_the_last_used_come_first_by_pages_without_gap_or_double(storage: Storage) -> None:
    made = [await used_at(storage, at) for at in (30, 10, 50, 30, 20, 30)]
    await used_at(storage, 99, owner_id=STRANGER)
    wanted = sorted(((one.updated_us, one.id) for one in made), reverse=True)
    seen: list[tuple[int, str]] = []
    while page := await storage.conversations.latest(OWNER, after=seen[-1] if seen else None, limit=2):
        seen += [(one.updated_us, one.id) for one in page]
    assert seen == wanted


async def test_a_title_stays_until_another_is_given_or_it_is_taken_away(storage: Storage) -> None:
    made = await used_at(storage, 9)
    seen: list[str | None] = []
    for fields in ({"title": "a"}, {"metadata": "{}"}, {"title": ""}, {"folder": "b"}, {"title": None}):
        update = ws.UpdateConversation(conversation_id=made.id, **fields)  # type: ignore[arg-type]
        await storage.unit_of_work.commit(update)
        found = await storage.conversations.get(OWNER, made.id)
        assert found is not None
        seen.append(found.title)
    assert seen == ["a", "a", "", "", None]


@pytest.mark.parametrize("by_use", [False, True])
async def test_a_list_shows_those_that_are_chosen(storage: Storage, by_use: bool) -> None:
    plain, pinned, archived, both = [await used_at(storage, 9) for _ in range(4)]
    update = ws.UpdateConversation
    await storage.unit_of_work.commit(
        update(conversation_id=pinned.id, pinned_us=5), update(conversation_id=archived.id, archived_us=6),
        update(conversation_id=both.id, pinned_us=7, archived_us=8),
    )  # fmt: skip

    async def listed(**fields: bool) -> set[str]:
        chosen = Chosen(**fields)
        if by_use:
            found = await storage.conversations.latest(OWNER, after=None, limit=9, chosen=chosen)
        else:
            find = storage.conversations.page
            found = await find(OWNER, after=None, limit=9, descending=True, chosen=chosen)
        return {one.id for one in found}

    assert await listed() == {plain.id, pinned.id, archived.id, both.id}
    assert await listed(pinned=True) == {pinned.id, both.id}
    assert await listed(archived=False) == {plain.id, pinned.id}
    assert await listed(pinned=True, archived=True) == {both.id}
    assert await listed(pinned=False, archived=False) == {plain.id}
    found = await storage.conversations.get(OWNER, both.id)
    assert found is not None and (found.pinned_us, found.archived_us) == (7, 8)
    await storage.unit_of_work.commit(update(conversation_id=both.id, pinned_us=None))
    found = await storage.conversations.get(OWNER, both.id)
    assert found is not None and (found.pinned_us, found.archived_us) == (None, 8)


@pytest.mark.parametrize("by_use", [False, True])
async def test_folders_are_there_as_long_as_something_is_in_them(storage: Storage, by_use: bool) -> None:
    plain, one, two, gone = [await used_at(storage, at) for at in (9, 8, 7, 6)]
    theirs = await used_at(storage, 5, owner_id=STRANGER)
    update, commit = ws.UpdateConversation, storage.unit_of_work.commit
    work = "Work & \u00fcber"
    for made, name in ((one, work), (two, work), (gone, "a"), (theirs, work)):
        await commit(update(conversation_id=made.id, folder=name))

    async def listed(folder: str | None) -> list[str]:
        chosen = Chosen(folder=folder, archived=False)
        if by_use:
            found = await storage.conversations.latest(OWNER, after=None, limit=9, chosen=chosen)
        else:
            find = storage.conversations.page
            found = await find(OWNER, after=None, limit=9, descending=False, chosen=chosen)
        assert all(folder is None or (made.folder or "") == folder for made in found)
        return [made.id for made in found]

    assert await listed(work) == [one.id, two.id]
    assert await listed("") == [plain.id] and await listed("work") == []
    assert set(await listed(None)) == {plain.id, one.id, two.id, gone.id}
    assert await storage.conversations.folders(OWNER) == [Folder(work, 2), Folder("a", 1)]
    await commit(
        update(conversation_id=two.id, title="kept"), ws.DeleteConversation(conversation_id=gone.id, now_us=9)
    )
    await commit(update(conversation_id=one.id, folder=None))
    assert await storage.conversations.folders(OWNER) == [Folder(work, 1)]
    assert await listed(work) == [two.id]


async def test_a_title_is_given_once_and_a_quiet_change_is_no_use(storage: Storage) -> None:
    conversation = await used_at(storage, 9)
    change = ws.AddQuietChange(
        conversation_id=conversation.id, owner_id=OWNER, slot=SLOT, kind="k", body="{}", now_us=99
    )
    give = ws.TitleConversation(conversation_id=conversation.id, title="nul \0 first")
    await storage.unit_of_work.commit(give, change)
    with pytest.raises(Conflict):
        await storage.unit_of_work.commit(msgspec.structs.replace(give, title="second"), change)
    found = await storage.conversations.get(OWNER, conversation.id)
    assert found is not None
    assert (found.title, found.updated_us, found.revision) == ("nul \0 first", 9, 2)
    (told,) = await storage.conversations.changes(conversation.id, after=1, limit=9)
    assert (told.revision, told.created_us) == (2, 99)


async def test_revisions_are_those_of_what_is_there(storage: Storage) -> None:
    conversation, _, commands = new_conversation()
    await storage.unit_of_work.commit(*commands)
    find, unknown = storage.conversations.revisions, ids.new_id(SLOT)
    before = await find([conversation.id, unknown])
    change = ws.AddChange(
        conversation_id=conversation.id, owner_id=OWNER, slot=SLOT, kind="k", body="{}", now_us=9
    )
    await storage.unit_of_work.commit(change)
    assert await find([unknown, conversation.id]) == {conversation.id: before[conversation.id] + 1}
    assert unknown not in before and await find([]) == {}


# --- runs


async def test_a_run_comes_back_as_it_was_opened_and_as_it_ended(storage: Storage) -> None:
    item, answer = new_item("q"), new_item("a", role="assistant")
    conversation, head, commands = new_conversation(item)
    run = new_run(
        conversation, parent=head, input_end=head, branch_id=conversation.active_branch_id, background=True,
        state="queued", metadata='{"a":"b"}', credential_id=ids.new_id(SLOT),
    )  # fmt: skip
    await storage.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
    assert await storage.runs.get(OWNER, run.id) == run
    assert await storage.runs.get(STRANGER, run.id) is None
    end = end_of(head, answer)
    done = finish(
        run,
        state="failed",
        error=RunError("server_error", "ü"),
        usage=Usage(1, 2, 3, 4, True),
        output_end=end,
        incomplete_reason="max_output_tokens",
        ended_us=9,
    )
    await storage.unit_of_work.commit(put(head, answer, run_id=run.id, author=None), done)
    found = await storage.runs.get(OWNER, run.id)
    assert found == done.run
    assert [one.id for one in await storage.runs.outputs(found)] == [answer.id]
    assert await storage.runs.log(found) == (done.log, False)


async def test_a_runs_input_is_its_own_input_only(storage: Storage) -> None:
    before = new_item("before")
    conversation, head, commands = new_conversation(before)
    mine = [new_item("one"), new_item("two")]
    run = new_run(conversation, parent=head, input_end=end_of(head, *mine))
    await storage.unit_of_work.commit(
        *commands, put(head, *mine, run_id=run.id), ws.OpenRun(run=run, worker_id=WORKER)
    )
    assert [item.id for item in await storage.runs.inputs(run)] == [item.id for item in mine]
    assert await storage.runs.outputs(run) == []


async def test_a_run_without_input_of_its_own_has_none(storage: Storage) -> None:
    conversation, head, commands = new_conversation(new_item("q"))
    _, opening, start = segment(conversation, head)
    run = new_run(conversation, parent=head, input_end=start)
    await storage.unit_of_work.commit(*commands, opening, ws.OpenRun(run=run, worker_id=WORKER))
    assert await storage.runs.inputs(run) == []


async def test_a_deleted_run_is_gone_and_its_items_stay(storage: Storage) -> None:
    item = new_item("q")
    conversation, head, commands = new_conversation(item)
    run = new_run(conversation, input_end=head)
    await storage.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
    await storage.unit_of_work.commit(ws.DeleteRun(run_id=run.id, now_us=5))
    assert await storage.runs.get(OWNER, run.id) is None
    assert await storage.tree.item(OWNER, item.id) is not None


@pytest.mark.parametrize("descending", [False, True])
async def test_runs_are_listed_by_surface_filtered_and_by_pages(storage: Storage, descending: bool) -> None:
    kept = []
    for number in range(6):
        fields = {"surface": "chat", "model": "m/x", "metadata": '{"who":"ada","n.\\"x":"1"}'}
        odd = [{}, {"model": "m/y"}, {"metadata": '{"who":"eve"}'}, {"surface": "responses"}][
            max(number - 2, 0)
        ]
        run = new_run(**(fields | odd))
        await storage.unit_of_work.commit(ws.OpenRun(run=run, worker_id=WORKER))
        await storage.unit_of_work.commit(finish(run, state=["completed", "incomplete"][number % 2]))
        if number < 3:
            kept.append(run.id)
    seen: list[str] = []
    while page := await storage.runs.page(
        OWNER, surface="chat", after=seen[-1] if seen else None, limit=2, descending=descending, model="m/x",
        metadata={"who": "ada", 'n."x': "1"},
    ):  # fmt: skip
        seen += [run.id for run in page]
    assert seen == sorted(kept, reverse=descending)


async def test_runs_without_an_answer_are_not_listed(storage: Storage) -> None:
    runs = [new_run(surface="chat") for _ in range(4)]
    for run in runs:
        await storage.unit_of_work.commit(ws.OpenRun(run=run, worker_id=WORKER))
    for run, state in zip(runs[1:], ("failed", "cancelled", "completed"), strict=True):
        await storage.unit_of_work.commit(finish(run, state=state))
    found = await storage.runs.page(
        OWNER, surface="chat", after=None, limit=9, descending=False, model=None, metadata={}
    )
    assert [run.id for run in found] == [runs[3].id]


async def test_metadata_and_cancellation_are_noted(storage: Storage) -> None:
    run = new_run()
    await storage.unit_of_work.commit(ws.OpenRun(run=run, worker_id=WORKER))
    await storage.unit_of_work.commit(
        ws.UpdateRunMetadata(run_id=run.id, metadata='{"x":"y"}'), ws.RequestCancel(run_id=run.id)
    )
    found = await storage.runs.get(OWNER, run.id)
    assert found is not None and (found.metadata, found.cancel_requested) == ('{"x":"y"}', True)
    await storage.unit_of_work.commit(finish(run))
    await storage.unit_of_work.commit(ws.RequestCancel(run_id=run.id))


async def test_ratings_are_kept_with_their_runs_and_counted_by_model(storage: Storage) -> None:
    rated = [
        ("m/b", 10, 1),
        ("m/a", 11, -1),
        ("m/a", 12, 1),
        ("m/a", 20, 1),
        ("m/a", 13, 1),
        ("m/c", 14, None),
    ]
    runs = [new_run(model=model, created_us=at) for model, at, _ in rated]
    commit = storage.unit_of_work.commit
    await commit(*(ws.OpenRun(run=run, worker_id=WORKER) for run in runs))
    for run, (_, _, rating) in zip(runs, rated, strict=True):
        await commit(finish(run), ws.RateRun(run_id=run.id, rating=rating))
    found = [await storage.runs.get(OWNER, run.id) for run in runs]
    assert [run.rating for run in found if run] == [rating for _, _, rating in rated]
    await commit(ws.RateRun(run_id=runs[0].id, rating=-1), ws.RateRun(run_id=runs[2].id, rating=None))
    await commit(ws.DeleteRun(run_id=runs[4].id, now_us=30), ws.RateRun(run_id="0" * 32, rating=1))
    assert await storage.runs.ratings(10, 20) == [Ratings("m/a", 0, 1), Ratings("m/b", 0, 1)]
    assert await storage.runs.ratings(12, 21) == [Ratings("m/a", 1, 0)]


async def test_the_runs_of_a_fan_out_are_found_by_what_they_answer(storage: Storage) -> None:
    conversation, head, commands = new_conversation(new_item("q"))
    first = new_run(conversation, input_end=head)
    beside = [new_run(conversation, parent=head) for _ in range(4)]
    opened = [ws.OpenRun(run=run, worker_id=WORKER) for run in (first, *beside)]
    await storage.unit_of_work.commit(*commands, *opened)
    assert set(await storage.runs.on_input(first, 10)) == {run.id for run in (first, *beside)}


async def test_the_runs_that_have_not_ended_are_found_by_pages_and_by_conversation(storage: Storage) -> None:
    conversation, head, commands = new_conversation(new_item("q"))
    here = [new_run(conversation, input_end=head) for _ in range(2)]
    elsewhere = [new_run(), new_run(state="queued", background=True)]
    opened = [ws.OpenRun(run=run, worker_id=WORKER) for run in (*here, *elsewhere)]
    await storage.unit_of_work.commit(*commands, *opened)
    find = storage.runs.running
    assert [run.id for run in await find(conversation.id, after=None, limit=9)] == sorted(r.id for r in here)
    everywhere = sorted(run.id for run in (*here, *elsewhere))
    first = await find(None, after=None, limit=3)
    rest = await find(None, after=first[-1].id, limit=3)
    assert [run.id for run in (*first, *rest)] == everywhere
    await storage.unit_of_work.commit(finish(here[0]))
    assert await find(conversation.id, after=None, limit=9) == [here[1]]


async def test_json_comes_back_with_its_order_and_its_numbers(storage: Storage) -> None:
    request = {"z": 1, "a": 1.0, "m": [0.1, 1e-7, 2**53, -0.5], "nul": "\0", "$": {"a.b": None}}
    run = new_run(request=request)
    await storage.unit_of_work.commit(ws.OpenRun(run=run, worker_id=WORKER))
    found = await storage.runs.get(OWNER, run.id)
    assert found is not None
    assert msgspec.json.encode(found.request) == msgspec.json.encode(request)


async def test_the_store_says_that_it_answers(storage: Storage) -> None:
    await storage.check()

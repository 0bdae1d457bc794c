"""Answers after they have begun: read, cancel, delete, list their input, count and compact."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.compaction import open_compaction
from antiphon.domain.errors import Conflict, Forbidden, InvalidRequest
from antiphon.domain.inputs import InputItem
from antiphon.domain.items import Item, text_of
from antiphon.domain.members import EDITOR, OWNER, Role
from antiphon.domain.run_events import FILE_SEARCH, Output, RunLog, decode_ops
from antiphon.domain.runs import Run
from antiphon.domain.usage import estimate_request_tokens
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.access import Access, FoundRun, not_found
from antiphon.services.erasure import Purged
from antiphon.services.paging import Page
from antiphon.services.placing import move_head
from antiphon.services.purges import Purges
from antiphon.services.runs.engine import Engine
from antiphon.services.runs.follow import Follower, Followers
from antiphon.services.runs.live import LiveRun
from antiphon.services.runs.mirrors import Mirrors
from antiphon.services.trimming import GRACE_US
from antiphon.services.turn_plans import MAX_CONFLICTS

CANCEL_SECONDS: Final = 5.0
"""How long a cancel waits for the run to end before it returns the run as it is."""

COMPACT_CHARACTERS: Final = 2000


class OutputItem(msgspec.Struct, frozen=True):
    """An item of an answer as it may be shown now; `payload` is without id and status."""

    id: str
    type: str
    status: str
    payload: dict[str, Any]


class Answer(msgspec.Struct, frozen=True):
    """A run and its output so far (choice 0 first).

    `records` holds what searches found, by the id of their items; for ended runs only if asked for.
    """

    run: Run
    outputs: list[OutputItem]
    choices: list[int]
    reasons: list[str | None]
    records: dict[str, dict[str, Any]] = {}


class Retrieved(msgspec.Struct, frozen=True):
    """The searches of an answer, and what became of the markers in it; None where there were no sources."""

    searches: list[Output]
    citations: dict[str, int] | None

    def filenames(self) -> dict[str, str | None]:
        """Return the candidates' files by their wire ids, with their names as far as results tell them."""
        records = [search.record for search in self.searches if search.record is not None]
        names = {one["file_id"]: one["filename"] for record in records for one in record["results"]}
        looked_at = (one["file_id"] for record in records for one in record["trace"]["passages"])
        return {**dict.fromkeys(looked_at), **names}


class Answers:
    """Stored answers of a caller, live or long ended."""

    def __init__(
        self,
        storage: Storage,
        access: Access,
        engine: Engine,
        followers: Followers,
        mirrors: Mirrors,
        purges: Purges,
        clock: Clock,
    ) -> None:
        self._storage = storage
        self._access = access
        self.engine = engine
        self._followers = followers
        self._mirrors = mirrors
        self._purges = purges
        self._clock = clock

    async def follow(self, who: Principal, wire_id: str, after: int = -1) -> Follower:
        """Follow a stored answer from the event after `after`, live or ended; raises NotFound."""
        found = await self._access.run(who, wire_id)
        live, run = found.live or await self._mirrors.of(found.run), found.run
        if live is not None:
            return self._followers.follow_live(live, after, reader=who.actor_id)
        if not run.is_terminal:  # it has ended meanwhile, or its worker has
            run = (await self._access.run(who, wire_id)).run
        return await self._followers.follow(run, after, reader=who.actor_id)

    def of_live(self, live: LiveRun) -> Answer:
        """Return a run of this process as far as it is committed, also after its end."""
        return live_answer(live)

    def now_seconds(self) -> int:
        """Return the time for what is made but not stored."""
        return self._clock.now_us() // 1_000_000

    async def get(self, who: Principal, wire_id: str, *prefixes: str, records: bool = False) -> Answer:
        """Return an answer as far as it is committed, on demand with what its searches found.

        Raises NotFound.
        """
        found = await self._access.run(who, wire_id, *prefixes)
        live = found.live or await self._mirrors.of(found.run)
        if live is not None:
            return live_answer(live)
        answer = await self.stored(found.run)
        if records and any(output.type == FILE_SEARCH for output in answer.outputs):
            return msgspec.structs.replace(answer, records=_records(await self._log_of(found)))
        return answer

    async def of_items(self, who: Principal, conversation_id: str, items: Sequence[Item]) -> dict[str, Run]:
        """Return the runs that took in or gave out a conversation's items, by id, where they are known."""
        _, conversation = await self._access.enter(who, conversation_id)
        run_ids = dict.fromkeys(item.run_id for item in items if item.run_id is not None)
        owner_id = conversation.owner_id
        found = await asyncio.gather(*(self._storage.runs.get(owner_id, run_id) for run_id in run_ids))
        return {run.id: run for run in found if run is not None}

    async def records_of(
        self, who: Principal, conversation_id: str, items: Sequence[Item]
    ) -> dict[str, dict[str, Any]]:
        """Return what the searches among a conversation's items found, by the ids of their items."""
        searches = [item for item in items if item.type == FILE_SEARCH]
        runs = await self.of_items(who, conversation_id, searches)
        logs = await asyncio.gather(*(self._followers.stored_log(run) for run in runs.values()))
        return {identifier: record for log in logs for identifier, record in _records(log).items()}

    async def retrieval(self, who: Principal, wire_id: str) -> Retrieved:
        """Return how an answer's searches went, as far as it is committed; raises NotFound."""
        log = await self._log_of(await self._access.run(who, wire_id, ids.RESPONSE, ids.CHAT_COMPLETION))
        searches = [output for output in log.outputs if output.type == FILE_SEARCH]
        last = log.ops[-1] if log.ops else None
        ended = last is not None and not isinstance(last, str) and last[0] == "Z"
        citations = last[2] if last is not None and ended and len(last) > 2 else None
        return Retrieved(searches, citations)

    async def _log_of(self, found: FoundRun) -> RunLog:
        if found.live is not None:
            return committed_log(found.live)
        return await self._followers.stored_log(found.run)

    async def stored(self, run: Run) -> Answer:
        """Return the answer of a run read from the store."""
        items = await self._storage.runs.outputs(run)
        outputs = [OutputItem(item.id, item.type, item.status, item.body()) for item in items]
        if run.surface == "responses" and len({item.segment_id for item in items}) <= 1:
            return Answer(run, outputs, [0] * len(outputs), [])
        raw, is_script = await self._storage.runs.log(run)
        return choices_from_log(run, outputs, raw, is_script)

    async def gave(self, who: Principal, wire_id: str) -> tuple[Run, list[Item]]:
        """Return a run that has ended, and the items that its end stored; raises NotFound."""
        found = await self._access.run(who, wire_id)
        return found.run, await self._storage.runs.outputs(found.run)

    async def cancel(self, who: Principal, wire_id: str) -> Answer:
        """Stop an answer and return it as it then is; harmless for one that has ended.

        Only background answers can be cancelled, as OpenAI has it.
        """
        found = await self._access.run(who, wire_id, need=EDITOR)
        _require_background(found.run)
        await self._stop(found)
        return await self.get(who, wire_id)

    async def stop(self, who: Principal, wire_id: str) -> Answer:
        """Stop any answer, background or not: the tree extension's cancel."""
        await self._stop(await self._access.run(who, wire_id, need=EDITOR))
        return await self.get(who, wire_id)

    async def _stop(self, found: FoundRun) -> None:
        """Ask for a run's end, wherever it runs, and wait for it; does nothing for one that has ended."""
        if found.live is not None:
            self.engine.cancel(found.live)
            await self._ended(found.live)
        elif not found.run.is_terminal:
            mirror = await self._mirrors.of(found.run)
            await self._storage.unit_of_work.commit(ws.RequestCancel(run_id=found.run.id))
            if mirror is not None:
                await self._ended(mirror)

    def abandon(self, live: LiveRun) -> None:
        """The only client of an ephemeral run has gone: stop it. Stored runs go on."""
        if not live.run.stored:
            self.engine.cancel(live)

    async def _ended(self, live: LiveRun) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                while not (live.closed or live.lost):
                    await live.wait()

    async def delete(
        self, who: Principal, wire_id: str, *prefixes: str, purge: bool = False
    ) -> tuple[str, Purged | None]:
        """Cancel an answer if it runs, then make it invisible; with `purge` the owner erases it.

        Returns its id and what went.
        """
        need: Role = OWNER if purge else EDITOR
        found = await self._access.run(who, wire_id, *prefixes, need=need)
        if found.live is not None or not found.run.is_terminal:
            await self._stop(found)
            found = await self._access.run(who, wire_id, *prefixes, need=need)
        run = found.run
        if purge:
            return run.id, await self._purges.purge_response(found.who, run)
        for _ in range(MAX_CONFLICTS):
            with contextlib.suppress(Conflict):  # it was continued meanwhile, or its branch went on
                return await self._delete(found.who, run), None
        raise Conflict("The conversation changes too fast; try again.")

    async def _delete(self, who: Principal, run: Run) -> str:
        commands = await self._without(who, run)
        now = self._clock.now_us()
        if run.conversation_id is not None:
            due, place = now + GRACE_US, run.conversation_id
            commands.append(wp.Sweep(conversation_id=place, owner_id=run.owner_id, slot=run.slot, due_us=due))
        await self._storage.unit_of_work.commit(ws.DeleteRun(run_id=run.id, now_us=now), *commands)
        return run.id

    async def _without(self, who: Principal, run: Run) -> list[ws.Command]:
        """Return what goes with a deleted answer: in a chain that named no conversation its items,
        unless something continues them; and the chain itself if it was its first turn. A branch that
        ended there ends before it again, so that what is said next goes on there.
        """
        end = run.output_end or run.input_end
        if end is None or run.conversation_id is None:
            return []
        conversation = await self._storage.conversations.get(who.account_id, run.conversation_id)
        if conversation is None or conversation.kind != "implicit":
            return []
        if await self._storage.tree.is_continued(end):
            return []
        if run.parent is None:
            if who.is_guest:
                raise Forbidden("Only its owner can delete the first answer of a conversation.")
            return [ws.DeleteConversation(conversation_id=conversation.id, now_us=self._clock.now_us())]
        items = await self._storage.runs.inputs(run) + await self._storage.runs.outputs(run)
        commands: list[ws.Command] = [
            ws.HideItem(
                conversation_id=conversation.id, item_id=item.id, owner_id=who.account_id, slot=who.slot
            )
            for item in items
        ]
        branch = await self._storage.conversations.branch_at(conversation.id, end.item_id or "")
        if branch is not None:
            commands.append(move_head(branch, run.parent))
        return commands

    async def input_items(
        self, who: Principal, wire_id: str, *, after: str | None, limit: int, descending: bool
    ) -> Page[Item]:
        """List an answer's own input items."""
        found = await self._access.run(who, wire_id)
        items = await self._storage.runs.inputs(found.run)
        if descending:
            items.reverse()
        if after is not None:
            cursor = ids.parse_item(after)
            at = next((index for index, item in enumerate(items) if item.id == cursor), None)
            if at is None:
                raise InvalidRequest(f"Invalid cursor '{after}'.", code="invalid_cursor", param="after")
            items = items[at + 1 :]
        return Page(items[:limit], len(items) > limit)

    async def page(
        self,
        who: Principal,
        *,
        surface: str,
        after: str | None,
        limit: int,
        descending: bool,
        model: str | None,
        metadata: dict[str, str],
    ) -> Page[Answer]:
        """List stored answers of a surface, filtered by model and metadata."""
        cursor = None
        if after is not None:
            cursor = ids.parse(after, ids.CHAT_COMPLETION, ids.RESPONSE)
            if cursor is None:
                raise InvalidRequest(f"Invalid cursor '{after}'.", code="invalid_cursor", param="after")
        found = await self._storage.runs.page(
            who.actor_id, surface=surface, after=cursor, limit=limit + 1, descending=descending,
            model=model, metadata=metadata,
        )  # fmt: skip
        answers = [await self.stored(run) for run in found[:limit]]
        return Page(answers, len(found) > limit)

    async def set_metadata(self, who: Principal, wire_id: str, metadata: str, *prefixes: str) -> Answer:
        """Replace an answer's metadata."""
        found = await self._access.run(who, wire_id, *prefixes, need=EDITOR)
        await self._storage.unit_of_work.commit(ws.UpdateRunMetadata(run_id=found.run.id, metadata=metadata))
        return await self.get(who, wire_id, *prefixes)

    async def asked(self, who: Principal, wire_id: str, *prefixes: str) -> list[Item]:
        """Return the whole path of messages that an answer was given to, root first."""
        run = (await self._access.run(who, wire_id, *prefixes)).run
        if run.input_end is None or run.conversation_id is None:
            return []
        base = await self._storage.tree.position_base(
            run.owner_id, run.conversation_id, run.input_end, run.input_end.tokens + 1
        )
        return base.context if base is not None else not_found("Response", wire_id)


def committed_log(live: LiveRun) -> RunLog:
    """Return a running answer's log as far as it is committed."""
    return live.log if live.closed else RunLog(live.log.ops[: live.committed])


def _records(log: RunLog) -> dict[str, dict[str, Any]]:
    return {output.id: output.record for output in log.outputs if output.record is not None}


def live_answer(live: LiveRun) -> Answer:
    """Return a running answer as far as it is committed."""
    log = committed_log(live)
    outputs = [OutputItem(out.id, out.type, out.status, out.payload()) for out in log.outputs]
    return Answer(live.run, outputs, [out.choice for out in log.outputs], _reasons(log), _records(log))


def _reasons(log: RunLog) -> list[str | None]:
    last = log.ops[-1] if log.ops else None
    return list(last[1]) if last is not None and not isinstance(last, str) and last[0] == "Z" else []


def choices_from_log(run: Run, outputs: list[OutputItem], raw: bytes, is_script: bool) -> Answer:
    """Order a finished answer's outputs by choice and output index, as its log tells."""
    order: dict[str, tuple[int, int]] = {}
    reasons: list[str | None] = []
    for entry in decode_ops(raw):
        if isinstance(entry, (int, str)):
            continue
        if entry[0] == "A":
            order[entry[3] if is_script else entry[3]["id"]] = (entry[2], entry[1])
        elif entry[0] == "Z":
            reasons = list(entry[1])
    outputs.sort(key=lambda item: order.get(item.id, (0, 0)))
    return Answer(run, outputs, [order.get(item.id, (0, 0))[0] for item in outputs], reasons)


def _require_background(run: Run) -> None:
    if not run.background:
        raise InvalidRequest(
            "Only responses created with background=true can be cancelled.", code="not_background"
        )


def count_input(messages: list[dict[str, Any]], tools: list[Any]) -> int:
    """Estimate the tokens of a request that is not sent."""
    return estimate_request_tokens(messages, tools)


def summary_of(items: list[InputItem]) -> str:
    """Return what a compaction keeps of the items it replaces: who said what, shortened evenly."""
    lines: list[tuple[str, str]] = []
    for item in items:
        if item.type == "compaction":  # which holds such lines already
            held = open_compaction(item.payload.get("encrypted_content"))
            parted = (line.partition(": ") for line in held.splitlines())
            lines += [(who, text) if text else (item.type, who) for who, _, text in parted]
        else:
            lines.append((item.role or item.type, " ".join(_said(item).split())))
    lines = [(who, text) for who, text in lines if text]
    room = max(COMPACT_CHARACTERS // max(len(lines), 1), 40)
    return "\n".join(f"{who}: {text if len(text) <= room else text[: room - 1] + '…'}" for who, text in lines)


def _said(item: InputItem) -> str:
    text = text_of(item.payload)
    return f"{item.payload['name']}({text})" if item.type == "function_call" else text

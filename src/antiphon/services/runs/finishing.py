"""The write set that ends a run: output items, terminal state, branch head, ledger."""

from __future__ import annotations

import msgspec

from antiphon.domain import ids
from antiphon.domain.chat_messages import chain_hash
from antiphon.domain.conversations import open_segment, segment_start
from antiphon.domain.items import NewItem, Position
from antiphon.domain.run_events import FILE_SEARCH, Output, RunLog, compact
from antiphon.domain.runs import Run
from antiphon.domain.usage import Price, estimate_item_tokens
from antiphon.ports import write_sets as ws
from antiphon.services.runs.metering import account_for

_json = msgspec.json.Encoder().encode


def new_output_item(output: Output, path_hash: bytes | None = None) -> NewItem:
    """Return an output as the item to store."""
    payload = output.payload()
    return NewItem(
        id=output.id,
        type=output.type,
        role=payload.get("role"),
        status=output.status,
        payload=_json(payload).decode(),
        token_count=estimate_item_tokens(payload),
        path_hash=path_hash,
    )


def hashed_items(run: Run, outputs: list[Output]) -> list[NewItem]:
    """Return a choice's outputs as items, with path hashes where the run's history has them.

    Reasoning and searches are passed over: clients do not send them back.
    """
    last = run.input_hash
    items: list[NewItem] = []
    for output in outputs:
        if last is None or output.type in ("reasoning", FILE_SEARCH):
            items.append(new_output_item(output))
            continue
        last = chain_hash(run.owner_id, last, output.type, output.payload())
        items.append(new_output_item(output, last))
    return items


def place_outputs(run: Run, log: RunLog, *, fresh: bool) -> list[ws.Command]:
    """Return the commands that store a run's outputs, and set `run.output_end`.

    Choice 0 continues the run's input; every further choice is a sibling in a segment of its
    own. `fresh` opens a segment for choice 0 too.
    """
    if run.input_end is None or run.conversation_id is None:
        return []
    commands: list[ws.Command] = []
    by_choice: dict[int, list[Output]] = {}
    for output in log.outputs:
        by_choice.setdefault(output.choice, []).append(output)
    run.output_end = None
    for choice, outputs in sorted(by_choice.items()):
        items = hashed_items(run, outputs)
        after = run.input_end
        if fresh or choice > 0:
            segment = open_segment(ids.new_id(run.slot), run.conversation_id, after)
            commands.append(ws.NewSegment(segment=segment, owner_id=run.owner_id, slot=run.slot))
            after = segment_start(segment)
        commands.append(
            ws.PutItems(
                after=after, owner_id=run.owner_id, slot=run.slot, author_id=None, run_id=run.id,
                created_us=run.ended_us or run.created_us, items=tuple(items),
            )
        )  # fmt: skip
        if run.output_end is None:
            run.output_end = _last(after, items)
    return commands


def _last(after: Position, items: list[NewItem]) -> Position:
    tokens = after.tokens + sum(item.token_count for item in items)
    return Position(after.segment_id, after.depth + len(items), tokens, items[-1].id)


def finish_set(
    run: Run, log: RunLog, *, price: Price, model: str, fresh: bool, sealed: bool, cached: bool = False
) -> ws.WriteSet:
    """Return everything that one commit must hold when a run ends; `model` is the one that answered."""
    items = place_outputs(run, log, fresh=fresh)
    kept, is_script = compact(log)
    commands: list[ws.Command] = [ws.FinishRun(run=run, log=kept, is_script=is_script, sealed=sealed), *items]
    if run.conversation_id is not None:
        if run.branch_id is not None:
            head = _head(run, log)
            commands.append(_end_claim(run, run.conversation_id, run.branch_id, head))
        commands.append(_change(run, run.conversation_id))
    commands += account_for(run, price, model, cached=cached)
    if run.error is not None and not log.answered:
        commands.append(ws.FreeKey(owner_id=run.author_id, run_id=run.id))
    return tuple(commands)


def _head(run: Run, log: RunLog) -> Position | None:
    """Return where the branch goes on, None for where it was before the turn.

    Who only searched has not answered. Then a retry must not stack the question twice, but for surfaces that
    show one line of messages: what was said there stays.
    """
    if log.answered:
        return run.output_end
    return run.input_end if run.keeps_question else None


def _end_claim(run: Run, conversation_id: str, branch_id: str, head: Position | None) -> ws.EndClaim:
    return ws.EndClaim(conversation_id=conversation_id, branch_id=branch_id, run_id=run.id, head=head)


def _change(run: Run, conversation_id: str) -> ws.AddLastChange:
    body = {"run_id": ids.RESPONSE + run.id, "state": run.state}
    if run.branch_id is not None:
        body["branch_id"] = ids.BRANCH + run.branch_id
    if run.output_end is not None and run.output_end.item_id is not None:
        body["item_id"] = run.output_end.item_id
    return ws.AddLastChange(
        conversation_id=conversation_id,
        owner_id=run.owner_id,
        slot=run.slot,
        kind="turn.ended",
        body=_json(body).decode(),
        now_us=run.ended_us or run.created_us,
    )

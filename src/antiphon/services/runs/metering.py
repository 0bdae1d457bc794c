"""What a run used, and the commands that account for it."""

from __future__ import annotations

from typing import Final

from antiphon.domain.run_events import RunLog
from antiphon.domain.runs import Run
from antiphon.domain.usage import BYTES_PER_TOKEN, Price, Usage, estimate_request_tokens
from antiphon.ports import quota_writes as qw
from antiphon.ports import write_sets as ws
from antiphon.ports.model_provider import ModelRequest
from antiphon.services.runs.emitter import Emitter

TOKEN_BYTES: Final = 8
"""Deltas of this size on average are taken for one token each, as most providers send them."""


def usage_of(emitter: Emitter, log: RunLog, request: ModelRequest | None) -> Usage:
    """Return the provider's count, or our own estimate where it gave none."""
    reported = emitter.usage
    if reported is not None:
        return Usage(
            reported.input_tokens, reported.output_tokens, reported.cached_tokens, reported.reasoning_tokens
        )
    if emitter.started is None or request is None:
        return Usage(estimated=True)
    asked = estimate_request_tokens(request.messages, request.params.get("tools") or ())
    return Usage(asked, produced_tokens(log), estimated=True)


def produced_tokens(log: RunLog) -> int:
    """Estimate the tokens of an answer: its deltas where they are small enough, else its size."""
    deltas = size = 0
    for op in log.ops:
        if isinstance(op, str):
            text = op
        elif op[0] in ("D", "L"):
            text = op[4]
        else:
            continue
        deltas += 1
        size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return deltas if size <= TOKEN_BYTES * deltas else -(-size // BYTES_PER_TOKEN)


def account_for(run: Run, price: Price, model: str, *, cached: bool = False) -> list[ws.Command]:
    """Return what records a run's use: its line in the ledger, and the end of what was reserved.

    `model` is the one that answered, as `provider/model`; an answer from the cache costs nothing and
    uses no tokens.
    """
    usage = run.usage or Usage(estimated=True)
    cost = 0 if cached else price.cost(usage)
    line = ws.PutLedger(
        run_id=run.id,
        owner_id=run.owner_id,
        slot=run.slot,
        author_id=run.author_id,
        credential_id=run.credential_id,
        provider=run.provider,
        model=model,
        state=run.state,
        usage=usage,
        cost=cost,
        cached=cached,
        created_us=run.created_us,
        latency_us=(run.ended_us or run.created_us) - run.created_us,
    )
    if not run.reserved:
        return [line]
    tokens = 0 if cached else usage.total_tokens
    return [line, qw.Settle(run_id=run.id, model=model, tokens=tokens, cost=cost)]

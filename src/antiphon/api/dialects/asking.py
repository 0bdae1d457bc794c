"""Putting a message to the model for a surface that knows messages and answers, not runs."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import Request
from starlette.exceptions import HTTPException

from antiphon.api.caching import with_cache_use
from antiphon.api.errors import retry_after
from antiphon.api.idempotency import key_of
from antiphon.api.v1.responses import wait_for
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import ProviderError
from antiphon.domain.inputs import parse_input
from antiphon.domain.runs import Run
from antiphon.services.answers import Answer, OutputItem
from antiphon.services.turn_plans import TurnRequest
from antiphon.services.turns import Begun

RETRY_SECONDS: Final = 5
STOPPED: Final = "The answer was stopped before it was whole."
INTERRUPTED: Final = "The server is shutting down; what was answered so far is kept. Try again."


class Reply(msgspec.Struct, frozen=True):
    """An answer that has ended: its message (None if the model said nothing in words), and its run."""

    message: OutputItem | None
    text: str
    run: Run

    @property
    def id(self) -> str:
        """The message's id, 32 hex digits."""
        return self.message.id if self.message is not None else self.run.id

    @property
    def created_us(self) -> int:
        """When the message was stored, as its item says it too."""
        return self.run.ended_us or self.run.created_us


async def begin(
    application: Application, who: Principal, request: Request, conversation_id: str, text: str,
    *, most_before: int = 0, keeps_question: bool = False, **params: Any,
) -> Begun:  # fmt: skip
    """Begin to answer a user's message at the end of a conversation (the core's id).

    The message is stored, whatever comes of the answer; with `keeps_question` it also stays in line.
    `params` go to the model as they are, and of what was said before at most `most_before` messages, 0: as
    many as it has room for.
    """
    turn = TurnRequest(
        surface="responses",
        items=tuple(parse_input(text, "message")),
        params=params,
        echo={"conversation": True},
        conversation_id=ids.CONVERSATION + conversation_id,
        most_before=most_before,
        keeps_question=keeps_question,
        key=key_of(request.scope, await request.body()),
    )
    return await application.turn_order.begin(who, with_cache_use(application, request.scope, turn))


async def reply_of(application: Application, who: Principal, begun: Begun) -> Reply:
    """Wait for an answer's end and return it; raises HTTPException 502, 503 or 504 if there is none."""
    await wait_for(application, who, begun)
    if begun.live is not None:
        answer = application.answers.of_live(begun.live)
    else:
        answer = await application.answers.get(who, ids.RESPONSE + begun.run_id)
    require_answer(answer.run, begun.failure)
    return folded(answer)


async def asked_once(application: Application, who: Principal, text: str, **params: Any) -> Answer:
    """Ask the model one thing that belongs to nothing and is not kept; it may have failed."""
    turn = TurnRequest(
        surface="chat", items=(), messages=[{"role": "user", "content": text}], store=False, params=params,
        cache="off",
    )  # fmt: skip
    begun = await application.turns.begin(who, turn)
    await wait_for(application, who, begun)
    assert begun.live is not None  # noqa: S101 - nothing leads to an earlier run without a key
    return application.answers.of_live(begun.live)


def model_of(run: Run, provider: str | None = None) -> str:
    """Return the provider's own name of the model that answered, or was to: then `provider` was asked."""
    return run.model.removeprefix(f"{run.provider or provider}/")


def folded(answer: Answer) -> Reply:
    """Return what an answer says in words."""
    said = [
        out
        for out, choice in zip(answer.outputs, answer.choices, strict=True)
        if out.type == "message" and not choice
    ]
    text = "".join(spoken(out.payload) for out in said)
    return Reply(said[-1] if said else None, text, answer.run)


def spoken(payload: dict[str, Any]) -> str:
    """Return the words of a message, as a stream of it gives them one after the other."""
    content = payload.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    said = (part.get("text") or part.get("refusal") for part in parts if isinstance(part, dict))
    return "".join(text for text in said if isinstance(text, str))


def require_answer(run: Run, failure: ProviderError | None) -> None:
    """Raise HTTPException for an answer that failed or was stopped; one cut short by its length is one.

    `failure` is how its provider failed, as far as that is known.
    """
    if run.error is not None:
        code, message = run.error.code, run.error.message
        wait = failure.retry_after_seconds if failure is not None else None
        if code == "rate_limit_exceeded" or wait is not None:
            name, seconds = retry_after(RETRY_SECONDS if wait is None else wait)
            raise HTTPException(503, message, {name.decode(): seconds.decode()})
        raise HTTPException(504 if message.startswith("upstream_timeout") else 502, message)
    if run.state == "cancelled":
        raise HTTPException(502, STOPPED)
    if not run.is_terminal:
        raise HTTPException(503, INTERRUPTED, {"retry-after": str(RETRY_SECONDS)})

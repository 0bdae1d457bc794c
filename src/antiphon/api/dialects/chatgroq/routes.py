"""The calls of ChatGroq's API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from starlette.exceptions import HTTPException

from antiphon import __version__
from antiphon.api.dependencies import App, Caller, Visitor
from antiphon.api.dialects.asking import asked_once, begin, folded, model_of, reply_of
from antiphon.api.dialects.chatgroq import translate, wire
from antiphon.api.dialects.dialect import Asked, Claim, Dialect, detail_only, router_of
from antiphon.api.dialects.fields import read, read_fields
from antiphon.api.v1.admin.caller import admin_of
from antiphon.api.v1.auth import SAY_IN_BODY
from antiphon.api.v1.pages import answer
from antiphon.application import Application
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_sessions import ChatSession
from antiphon.domain.errors import NotFound
from antiphon.services.administration import Administrator
from antiphon.services.turns import Begun

TAG: Final = "chatgroq"
PLACEHOLDER: Final = "string"
"""What a documentation page fills in for a text that nobody typed."""
FIELDS: Final = frozenset(wire.ChatMessage.model_fields)
LOGINS_SHOWN: Final = 100

Admin = Annotated[Administrator, Depends(admin_of)]
router = router_of(TAG)


# --- the administrator


@router.post(
    "/admin/login", summary="Log in", openapi_extra=wire.documented(wire.Login, wire.LOGIN),
    responses=wire.answering(wire.TOKEN),
)  # fmt: skip
async def log_in(application: App, visit: Visitor, request: Request) -> Response:
    """Change a name and password for a token; both in the body, never in the address."""
    _require_no_password_in_query(request)
    body = await read(request, wire.Login)
    return answer(
        translate.token(await application.accounts.log_in_plainly(body.username, body.password, visit))
    )


@router.post("/admin/logout", summary="Log out")
async def log_out(application: App, who: Caller, visit: Visitor) -> Response:
    """End the login used: its token is refused from now on."""
    if who.credential_id is None:
        return answer({"message": "There was no login to end"})
    await application.sessions.log_out(who, visit)
    return answer({"message": "Logged out successfully"})


@router.get("/admin/info", summary="One's own account")
async def info(application: App, who: Caller) -> Response:
    """Return the caller's account."""
    account = await application.accounts.me(who)
    last = await application.sessions.page(who, after=None, limit=1, descending=True)
    return answer(translate.account_info(account, last.data[0].created_us if last.data else None))


@router.post(
    "/admin/change-credentials", summary="Change name and password",
    openapi_extra=wire.documented(wire.NewCredentials, wire.CREDENTIALS),
)  # fmt: skip
async def change_credentials(application: App, who: Caller, visit: Visitor, request: Request) -> Response:
    """Take another name and password; the old ones and all tokens end at once."""
    _require_no_password_in_query(request)
    body = await read(request, wire.NewCredentials)
    changed = await application.account_credentials.change(who, body.new_username, body.new_password, visit)
    return answer({"message": "Credentials updated successfully", "username": changed.name})


@router.get("/admin/status", summary="System status", responses=wire.answering(wire.STATUS))
async def status(application: App, admin: Admin) -> Response:
    """Tell how the provider and Redis do now, and for how long the server has been up."""
    provider, redis, memory = await asyncio.gather(
        application.provider_statuses.status(),
        _redis_answers(application),
        application.chat_sessions.memory(),
    )
    up = int(application.uptime_seconds())
    return answer({
        "redis_connected": redis,
        "chatgroq_healthy": provider.probe.healthy,
        "active_sessions_count": memory.sessions,
        "uptime_seconds": up,
        "uptime_formatted": translate.formatted(up),
    })  # fmt: skip


@router.get("/admin/sessions", summary="One's own logins")
async def logins(application: App, who: Caller) -> Response:
    """List the caller's logins that have not ended, newest first; not the chats, and never a token."""
    page = await application.sessions.page(who, after=None, limit=LOGINS_SHOWN, descending=True)
    return answer(translate.logins(who.name, page.data, who.credential_id))


@router.post(
    "/admin/test-chat", summary="Try the provider", openapi_extra=wire.documented(wire.Test, wire.TEST)
)
async def test_chat(application: App, admin: Admin, request: Request) -> Response:
    """Ask the model once; nothing is kept of it but its costs."""
    body = await read(request, wire.Test)
    began = time.monotonic()
    found = await asked_once(application, admin.who, body.message, **_params(application))
    error, run = found.run.error, found.run
    provider = run.provider or application.provider_statuses.current().provider
    result = {
        "success": error is None,
        "response": folded(found).text,
        "llm_provider": translate.provider_name(provider),
        "model": model_of(run, provider),
        "latency_ms": translate.milliseconds(time.monotonic() - began),
    }
    return answer(result if error is None else {**result, "error": error.message})


# --- chatting


async def chat(asked: Asked) -> Response:
    """Answer a message with the whole of its session in mind."""
    application, who, request = asked.application, asked.who, asked.request
    body = read_fields(asked.fields, wire.ChatMessage)
    name = None if body.session_id == PLACEHOLDER else body.session_id
    async with application.chat_sessions.using(who, name) as opened:
        session, begun = await _begun(application, who, request, opened, body.message)
        reply = await reply_of(application, who, begun)
        await application.chat_sessions.renew(session)
    return answer(translate.chat_answer(reply.text, session.name, reply.run, who.name))


async def _begun(
    application: Application, who: Principal, request: Request, session: ChatSession, text: str
) -> tuple[ChatSession, Begun]:
    """Begin to answer in a session; in another of its name if it went since it was opened."""
    sessions = application.chat_sessions

    def begins(within: ChatSession) -> Awaitable[Begun]:
        return begin(
            application, who, request, within.conversation.id, text, most_before=sessions.most_messages,
            **_params(application),
        )  # fmt: skip

    try:
        return session, await begins(session)
    except NotFound:
        session = await sessions.open(who, session.name, ephemeral=True)
        return session, await begins(session)


def _is_chat_message(asked: Asked) -> bool:
    given = {name for name, value in asked.fields.items() if value is not None}
    return "message" in asked.fields and given <= FIELDS


CHAT: Final = Claim(
    operation=("POST", "/chat/"),
    knows=FIELDS,
    accepts='{"session_id": "…", "message": "…"}, where the session may be left out',
    fits=_is_chat_message,
    answer=chat,
)
"""Another service has the same call."""


@router.delete("/chat/sessions/{chat_session}", summary="Forget a session")
async def forget(application: App, who: Caller, chat_session: str) -> Response:
    """Erase a session of the caller's with what was said in it."""
    name = await application.chat_sessions.forget(who, chat_session)
    return answer({"message": "Session cleared successfully", "session_id": name})


@router.get("/chat/memory/stats", summary="Memory statistics")
async def memory_statistics(application: App, admin: Admin) -> Response:
    """Count the sessions held for everybody, and those that went since the start."""
    return answer(translate.memory_statistics(await application.chat_sessions.memory()))


# --- the provider


@router.get("/llm/provider", summary="The current provider")
async def provider(application: App) -> Response:
    """Return what answers when no model is named."""
    return answer({"current_provider": _current(application)})


@router.get("/llm/providers", summary="All providers")
async def providers(application: App) -> Response:
    """Return the configured providers, and whether each answers now (asked at most every 10 s)."""
    statuses = application.provider_statuses
    current = statuses.current().provider
    names = list(dict.fromkeys((*application.models.provider_names(), current)))
    probes = await asyncio.gather(*(statuses.probe(name) for name in names))
    shown = [
        translate.listed_provider(
            name, statuses.base_url(name), statuses.known_models(name), available=probe.healthy
        )
        for name, probe in zip(names, probes, strict=True)
    ]
    return answer({"providers": shown, "current": translate.provider_name(current)})


@router.get("/llm/health", summary="The provider's health")
async def provider_health(application: App) -> Response:
    """Ask the provider whether it answers, at most every 10 s; nothing is spent."""
    found = await application.provider_statuses.status()
    return answer(translate.provider_health(found.route, found.probe))


# --- the system


@router.get("/info", summary="About this server")
async def about(request: Request) -> Response:
    """Return what this server is and where it is documented."""
    return answer({
        "name": request.app.title,
        "version": __version__,
        "description": request.app.description,
        "docs_url": "/docs",
        "redoc_url": "/redoc",
        "openapi_url": "/openapi.json",
        "dialects": sorted(one.name for one in request.app.state.dialects),
    })  # fmt: skip


async def health(application: Application) -> dict[str, Any]:
    """Return what this API's health check tells; `degraded` if what is configured does not answer."""
    (provider, healthy), redis = await asyncio.gather(_provider(application), _redis_answers(application))
    broken = not healthy or (application.redis_answers is not None and not redis)
    return {
        "status": "degraded" if broken else "healthy",
        "service": translate.SERVICE,
        "version": __version__,
        "llm_provider": provider,
        "llm_healthy": healthy,
        "redis_healthy": redis,
    }


async def _provider(application: Application) -> tuple[str | None, bool]:
    """Return the current provider's name and whether it answers; no name if the default model is nobody's."""
    try:
        found = await application.provider_statuses.status()
    except NotFound:
        return None, False
    return translate.provider_name(found.route.provider), found.probe.healthy


def _current(application: Application) -> dict[str, Any]:
    route, policy = application.provider_statuses.current(), application.policy
    return translate.current_provider(
        route, application.provider_statuses.base_url(route.provider),
        temperature=policy.temperature, max_tokens=policy.max_tokens,
    )  # fmt: skip


def _params(application: Application) -> dict[str, Any]:
    return {"temperature": application.policy.temperature, "max_tokens": application.policy.max_tokens}


async def _redis_answers(application: Application) -> bool:
    return application.redis_answers is not None and await application.redis_answers()


def _require_no_password_in_query(request: Request) -> None:
    if {"password", "new_password"} & request.query_params.keys():
        raise HTTPException(400, SAY_IN_BODY)


CHATGROQ: Final = Dialect(
    name="chatgroq",
    tag=TAG,
    description="ChatGroq's conversational API: log in as administrator, chat in sessions, see how it does.",
    router=router,
    shape=detail_only,
    claims=(CHAT,),
    open_operations=frozenset({
        ("POST", "/admin/login"), ("GET", "/llm/provider"), ("GET", "/llm/providers"), ("GET", "/llm/health"),
        ("GET", "/info"),
    }),
    health=health,
)  # fmt: skip

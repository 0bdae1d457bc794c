"""Coming and going: the welcome, login and logout, and who else is here."""

from __future__ import annotations

from typing import Final

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from antiphon.api.dependencies import App, Caller, Visitor
from antiphon.api.dialects.book.documented import asks
from antiphon.api.dialects.book.forms import TAG, both_keys, text_of
from antiphon.api.dialects.book.reading import bounds, link_to
from antiphon.api.dialects.book.speaking import Call
from antiphon.api.dialects.dialect import Operation, router_of
from antiphon.api.dialects.fields import fields_of
from antiphon.api.v1.auth import SAY_IN_BODY
from antiphon.api.v1.pages import answer
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import USER, Principal, Visit
from antiphon.domain.errors import Unauthenticated
from antiphon.services.administration import administrator

router = router_of(TAG, both_keys)

WELCOME: Final = "Welcome to our chat interface!"
REFUSED: Final = "Invalid credentials"
PEOPLE: Final = 100
SHARED_LOOKED_AT: Final = 20
OPEN: Final[frozenset[Operation]] = frozenset({("GET", "/"), ("POST", "/login")})


@router.get("/", summary="Welcome")
async def welcome(application: App) -> Response:
    """Greet; asks for no credential."""
    return answer({"message": WELCOME})


@router.post("/login", summary="Log in", openapi_extra=asks({"username": "john", "password": "password123"}))
async def log_in(application: App, visit: Visitor, request: Request) -> Response:
    """Change a name, or an e-mail address, and a password for a token; both in the body, never in the URL."""
    if "password" in request.query_params:
        raise HTTPException(400, SAY_IN_BODY)
    fields = await fields_of(request)
    try:
        login = await application.accounts.log_in(
            text_of(fields, "username"), text_of(fields, "password"), visit
        )
    except Unauthenticated:
        return answer(both_keys(REFUSED), status=401, headers={"www-authenticate": "Bearer"})
    return answer({
        "access_token": login.access_token,
        "token_type": "bearer",
        "expires_in": login.access_seconds,
        "refresh_token": login.refresh_token,
        "username": login.account.name,
    })  # fmt: skip


@router.post("/logout", summary="Log out")
async def log_out(application: App, who: Caller, visit: Visitor) -> Response:
    """End the login whose token is shown; it is refused from now on."""
    if who.credential_id is not None:
        await application.sessions.log_out(who, visit)
    return answer({"message": "Logged out successfully"})


@router.get("/users/", summary="Users")
async def users(application: App, who: Caller, visit: Visitor, request: Request) -> Response:
    """Return the caller and who shares a conversation with them, numbered; to an administrator everybody."""
    headers: dict[str, str] = {}
    if who.is_admin:
        names, headers = await _everybody(Call(application, who, request), visit)
    else:
        names = await _companions(application, who)
    numbers = await application.aliases.numbers(who, "user", list(names))
    found = [{"id": numbers[account_id], "name": name} for account_id, name in names.items()]
    return answer(sorted(found, key=lambda one: one["id"]), headers=headers)


async def _everybody(call: Call, visit: Visit) -> tuple[dict[str, str], dict[str, str]]:
    """Return a page of all accounts, and the header that leads to the next."""
    limit, after = bounds(call)
    page = await call.application.administration.users.page(
        administrator(call.who, visit), after=after, limit=limit, descending=False
    )
    headers = link_to(call, USER + page.data[-1].id, limit) if page.has_more else {}
    return {one.id: one.name for one in page.data}, headers


async def _companions(application: Application, who: Principal) -> dict[str, str]:
    """Return the members of the newest conversations that the caller shares, by account id."""
    found = {who.actor_id: who.name}
    shared = await application.members.shared(who, after=None, limit=SHARED_LOOKED_AT, descending=True)
    own = await application.conversations.page(who, after=None, limit=SHARED_LOOKED_AT, descending=True)
    for one in [*shared.data, *own.data]:
        page = await application.members.page(who, ids.CONVERSATION + one.id, after=None, limit=PEOPLE)
        found |= {member.account_id: member.name for member in page.data}
    return dict(list(found.items())[:PEOPLE])

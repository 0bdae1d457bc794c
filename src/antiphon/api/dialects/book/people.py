"""Coming and going: the welcome, login and logout, and who else is here."""

from __future__ import annotations

from typing import Final

from fastapi import Request, Response

from antiphon.api.dependencies import App, Caller, Visitor
from antiphon.api.dialects.book.documented import asks
from antiphon.api.dialects.book.forms import TAG, both_keys, text_of
from antiphon.api.dialects.dialect import Operation, router_of
from antiphon.api.dialects.fields import fields_of
from antiphon.api.v1.pages import answer
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import Principal, Visit
from antiphon.domain.errors import InvalidRequest, Unauthenticated
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
        raise InvalidRequest(
            "Send the password in the JSON body: an address is logged by everything it passes.",
            code="invalid_value", param="password",
        )  # fmt: skip
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
async def users(application: App, who: Caller, visit: Visitor) -> Response:
    """Return the caller and who shares a conversation with them, numbered; to an administrator everybody."""
    names = await _everybody(application, who, visit) if who.is_admin else await _companions(application, who)
    numbers = await application.aliases.numbers(who, "user", list(names))
    found = [{"id": numbers[account_id], "name": name} for account_id, name in names.items()]
    return answer(sorted(found, key=lambda one: one["id"]))


async def _everybody(application: Application, who: Principal, visit: Visit) -> dict[str, str]:
    page = await application.administration.users.page(
        administrator(who, visit), after=None, limit=PEOPLE, descending=False
    )
    return {one.id: one.name for one in page.data}


async def _companions(application: Application, who: Principal) -> dict[str, str]:
    """Return the members of the newest conversations that the caller shares, by account id."""
    found = {who.actor_id: who.name}
    shared = await application.members.shared(who, after=None, limit=SHARED_LOOKED_AT, descending=True)
    own = await application.conversations.page(who, after=None, limit=SHARED_LOOKED_AT, descending=True)
    for one in [*shared.data, *own.data]:
        page = await application.members.page(who, ids.CONVERSATION + one.id, after=None, limit=PEOPLE)
        found |= {member.account_id: member.name for member in page.data}
    return dict(list(found.items())[:PEOPLE])

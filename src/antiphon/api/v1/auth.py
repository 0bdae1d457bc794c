"""Logging in and out, and one's own account and sessions."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from antiphon.api.authentication import COOKIE
from antiphon.api.dependencies import After, App, Caller, IdentityRoute, Limit, Visitor
from antiphon.api.errors import field_problem
from antiphon.api.http import decode_json
from antiphon.api.v1.identity_bodies import ChangePassword, PutPreferences, SignUp, TokenRequest
from antiphon.api.v1.identity_objects import (
    identity_object,
    login_object,
    preferences_object,
    session_object,
    user_object,
)
from antiphon.api.v1.pages import Order, answer, page_object
from antiphon.domain.accounts import SESSION
from antiphon.domain.errors import InvalidRequest, Unprocessable
from antiphon.services.accounts import Login

DEVICE_COOKIE: Final = "__Host-antiphon-device"
FORM: Final = "application/x-www-form-urlencoded"
FORM_FIELDS: Final = 16
SAY_IN_BODY: Final = "Send the password in the body: an address is logged by everything it passes."
_SCHEMA: Final = TokenRequest.model_json_schema()
_TOKEN_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {FORM: {"schema": _SCHEMA}, "application/json": {"schema": _SCHEMA}},
    }
}

token_router = APIRouter(tags=["identity"], route_class=IdentityRoute)
router = APIRouter(prefix="/v1/auth", tags=["identity"], route_class=IdentityRoute)


@token_router.post("/token", summary="Log in, or refresh", openapi_extra=_TOKEN_BODY)
async def token(application: App, visit: Visitor, request: Request) -> Response:
    """Change a name and password, or a refresh token, for tokens; as a form (OAuth 2) or JSON.

    A refresh token is good for one use. Shown a second time it ends its session. A login also gives
    a token for the device (and sets it as a cookie): shown at the next login it lets its owner in
    though others have closed the name by guessing.
    """
    if "password" in request.query_params:
        raise InvalidRequest(SAY_IN_BODY, code="invalid_value", param="password")
    body = _token_request(request.headers.get("content-type", ""), await request.body())
    if body.grant_type == "refresh_token":
        login = await application.accounts.refresh(_given(body.refresh_token, "refresh_token"), visit)
    else:
        name, password = _given(body.username, "username"), _given(body.password, "password")
        device = body.device_token or request.cookies.get(DEVICE_COOKIE)
        login = await application.accounts.log_in(name, password, visit, device=device)
    return _logged_in(login)


def _logged_in(login: Login) -> Response:
    """Return a login's tokens; the device's is a cookie too, which no foreign page can have sent."""
    response = answer(login_object(login))
    if login.device_token is not None:
        cookie = f"{DEVICE_COOKIE}={login.device_token}; Path=/; Max-Age={login.device_seconds}"
        response.headers["set-cookie"] = f"{cookie}; HttpOnly; Secure; SameSite=Strict"
    return response


def _token_request(content_type: str, raw: bytes) -> TokenRequest:
    """Read the body of `/token`; raises Unprocessable, also for a field that comes twice."""
    if content_type.partition(";")[0].strip().lower() == FORM:
        try:
            pairs = parse_qsl(
                raw.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS, errors="strict"
            )
        except ValueError:
            raise Unprocessable("The form cannot be read.", code="invalid_form") from None
        fields: Any = dict(pairs)
        if len(fields) != len(pairs):
            raise Unprocessable("A field comes twice.", code="invalid_form")
    elif "json" in content_type:
        fields = decode_json(raw)
    else:
        raise InvalidRequest("Send a form or JSON.", code="invalid_content_type")
    try:
        return TokenRequest.model_validate(fields)
    except ValidationError as error:
        message, param, code = field_problem(error.errors(include_input=False, include_context=False)[0])
        raise Unprocessable(message, param=param, code=code) from None


def _given(value: str | None, name: str) -> str:
    if value is None:
        raise Unprocessable(
            f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
        )
    return value


@router.get("/signup", summary="Whether one can sign up")
async def registration(application: App) -> Response:
    """Tell who may make an account, and what the administrators say beside it; for everybody."""
    now = application.administration.settings.current
    return answer({"object": "registration", "mode": now.signup, "message": now.registration_message})


@router.post("/signup", summary="Sign up", status_code=202)
async def sign_up(application: App, visit: Visitor, body: SignUp) -> Response:
    """Make an account, where configuration lets people.

    The answer is the same whether the name was free or not: log in to see.
    """
    await application.accounts.sign_up(
        body.username, body.password, email=body.email, invite=body.invite, visit=visit
    )
    return answer({"object": "signup", "status": "accepted"}, status=202)


@router.get("/me", summary="Retrieve one's own account")
async def me(application: App, who: Caller) -> Response:
    """Return the caller's account, and what the credential used may do."""
    found = user_object(await application.accounts.me(who))
    return answer({**found, "scopes": sorted(who.scopes)})


@router.get("/preferences", summary="Retrieve one's preferences", tags=["extension"])
async def preferences(application: App, who: Caller) -> Response:
    """Return what clients remember of the caller, wherever they run."""
    return answer(preferences_object(await application.preferences.get(who)))


@router.put("/preferences", summary="Replace one's preferences", tags=["extension"])
async def put_preferences(application: App, who: Caller, body: PutPreferences) -> Response:
    """Keep an object of up to 32 KiB in the place of the one before; the server reads nothing in it."""
    await application.preferences.put(who, body.values)
    return answer(preferences_object(body.values))


@router.post("/password", summary="Change the password")
async def change_password(application: App, who: Caller, visit: Visitor, body: ChangePassword) -> Response:
    """Change the password in a login session: all others end, this one goes on with the tokens returned."""
    login = await application.accounts.change_password(who, body.current_password, body.new_password, visit)
    return _logged_in(login)


@router.post("/logout", summary="Log out")
async def log_out(application: App, who: Caller, visit: Visitor) -> Response:
    """End the session used: its tokens, its cookie and its open streams."""
    await application.sessions.log_out(who, visit)
    return answer({"object": "session", "deleted": True}, headers=_without_cookie())


@router.get("/sessions", summary="List sessions")
async def list_sessions(
    application: App, who: Caller, after: After = None, limit: Limit = 20, order: Order = "desc"
) -> Response:
    """List the caller's open login sessions."""
    page = await application.sessions.page(who, after=after, limit=limit, descending=order == "desc")
    data = [session_object(one, who.credential_id) for one in page.data]
    return answer(page_object(data, has_more=page.has_more))


@router.delete("/sessions", summary="End all other sessions")
async def revoke_other_sessions(application: App, who: Caller, visit: Visitor) -> Response:
    """End all of the caller's login sessions but the one used now."""
    await application.sessions.revoke_others(who, visit)
    return answer({"object": "list", "deleted": True})


@router.delete("/sessions/{session_id}", summary="End a session")
async def revoke_session(application: App, who: Caller, visit: Visitor, session_id: str) -> Response:
    """End one of the caller's login sessions."""
    ended = await application.sessions.revoke(who, session_id, visit)
    return answer({"id": SESSION + ended, "object": "session", "deleted": True})


@router.get("/identities", summary="List identities")
async def list_identities(application: App, who: Caller) -> Response:
    """List the identities at login providers that open the caller's account."""
    data = [identity_object(one) for one in await application.identities.mine(who)]
    return answer(page_object(data, has_more=False))


@router.delete("/identities/{identity_id}", summary="End an identity")
async def unlink_identity(application: App, who: Caller, visit: Visitor, identity_id: str) -> Response:
    """End a way into the caller's account, never the last one; all other sessions end too."""
    ended = await application.identities.unlink(who, identity_id, visit)
    return answer({"id": ended, "object": "identity", "deleted": True})


@router.post("/cookie", summary="Keep the session in a cookie")
async def set_cookie(application: App, who: Caller) -> Response:
    """Set a cookie for a browser, bound to the session of the access token shown."""
    value, seconds = await application.accounts.cookie(who)
    cookie = f"{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Lax"
    return answer({"object": "cookie", "expires_in": seconds}, headers={"set-cookie": cookie})


@router.delete("/cookie", summary="Drop the cookie")
async def drop_cookie() -> Response:
    """Have the browser forget its cookie; the session goes on, see `logout`."""
    return answer({"object": "cookie", "deleted": True}, headers=_without_cookie())


def _without_cookie() -> dict[str, str]:
    """The same name, path and attributes: otherwise the browser would keep the old one."""
    return {"set-cookie": f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"}

"""Logging in through another server: the two redirects of a browser."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from antiphon.api.authentication import COOKIE
from antiphon.api.dependencies import App, IdentityRoute, Visitor
from antiphon.api.v1.identity_objects import login_object
from antiphon.api.v1.pages import answer
from antiphon.domain.external_logins import LoginAnswer

LOGIN_COOKIE: Final = "__Host-antiphon-login"
_FOR_US_ALONE: Final = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
_ATTRIBUTES: Final = "Path=/; HttpOnly; Secure; SameSite=Lax"

router = APIRouter(prefix="/v1/auth/oidc", tags=["identity"], route_class=IdentityRoute)

Text = Annotated[str | None, Query(max_length=4096)]
Next = Annotated[str | None, Query(max_length=4096, description="A path of this server to go to afterwards.")]


@router.get("", summary="List login providers")
async def list_providers(application: App) -> Response:
    """List the providers that one can log in through; needs no credential."""
    data = [
        {
            "id": name,
            "object": "login_provider",
            "label": terms.label,
            "login_url": f"/v1/auth/oidc/{name}/login",
        }
        for name, terms in application.external_logins.offered().items()
    ]
    return answer({"object": "list", "data": data})


@router.get(
    "/{provider}/login", summary="Log in through a provider", responses={302: {"description": "To it."}}
)
async def login(application: App, provider: str, next: Next = None) -> Response:
    """Send the browser to the provider. It comes back to `…/callback`."""
    begun = await application.external_logins.begin(provider, next)
    cookie = f"{LOGIN_COOKIE}={begun.cookie}; Max-Age={begun.seconds}; {_ATTRIBUTES}"
    headers = {**_FOR_US_ALONE, "location": begun.url, "set-cookie": cookie}
    return Response(status_code=302, headers=headers)


@router.get(
    "/{provider}/callback",
    summary="Come back from a provider",
    responses={302: {"description": "To where the browser wanted to go, with a session's cookie."}},
)
async def callback(
    application: App,
    visit: Visitor,
    request: Request,
    provider: str,
    state: Text = None,
    code: Text = None,
    iss: Text = None,
    error: Text = None,
) -> Response:
    """Finish a login: answer with tokens, or with a cookie and a redirect if the login named `next`."""
    brought = LoginAnswer(state=state, code=code, issuer=iss, error=error)
    logins = application.external_logins
    done = await logins.finish(provider, brought, request.cookies.get(LOGIN_COOKIE), visit)
    if done.url is None:
        response = answer(login_object(done.login), headers=_FOR_US_ALONE)
    else:
        value, seconds = await application.accounts.cookie_of(done.login)
        response = Response(status_code=302, headers={**_FOR_US_ALONE, "location": done.url})
        response.headers.append("set-cookie", f"{COOKIE}={value}; Max-Age={seconds}; {_ATTRIBUTES}")
    response.headers.append("set-cookie", f"{LOGIN_COOKIE}=; Max-Age=0; {_ATTRIBUTES}")
    return response

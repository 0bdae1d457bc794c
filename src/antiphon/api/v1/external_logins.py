"""Logging in through another server, or adding it as a way in: the two redirects of a browser."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from antiphon.api.authentication import COOKIE
from antiphon.api.dependencies import App, Caller, IdentityRoute, Visitor
from antiphon.api.v1.identity_bodies import LinkIdentity
from antiphon.api.v1.identity_objects import identity_object, login_object
from antiphon.api.v1.pages import answer
from antiphon.domain.external_logins import LinkedIdentity, LoginAnswer
from antiphon.services.external_logins import BegunLogin

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
    headers = {**_FOR_US_ALONE, "location": begun.url, "set-cookie": _cookie(begun)}
    return Response(status_code=302, headers=headers)


def _cookie(begun: BegunLogin) -> str:
    return f"{LOGIN_COOKIE}={begun.cookie}; Max-Age={begun.seconds}; {_ATTRIBUTES}"


@router.post("/{provider}/link", summary="Add a provider as a way in")
async def link(application: App, who: Caller, provider: str, body: LinkIdentity) -> Response:
    """Begin a login that adds the identity it proves to the caller's account.

    The browser goes to the `url` returned and comes back to `…/callback`. This takes a login
    session and the current password; in an account without one, a login of a moment ago.
    """
    application.external_logins.require(provider)
    to = await application.identities.may_link(who, body.current_password)
    begun = await application.external_logins.begin(provider, body.next, to)
    found = {"object": "identity.link", "url": begun.url, "expires_in": begun.seconds}
    return answer(found, headers={**_FOR_US_ALONE, "set-cookie": _cookie(begun)})


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
    """Finish a login: answer with tokens, or with a cookie and a redirect if the login named `next`.

    One that added a way in answers with the identity, or redirects, and sets no session's cookie.
    """
    brought = LoginAnswer(state=state, code=code, issuer=iss, error=error)
    logins = application.external_logins
    finished = await logins.finish(provider, brought, request.cookies.get(LOGIN_COOKIE), visit)
    done, url = finished.done, finished.url
    if url is not None:
        response = Response(status_code=302, headers={**_FOR_US_ALONE, "location": url})
    else:
        shown = identity_object(done) if isinstance(done, LinkedIdentity) else login_object(done)
        response = answer(shown, headers=_FOR_US_ALONE)
    if url is not None and not isinstance(done, LinkedIdentity):
        value, seconds = await application.accounts.cookie_of(done)
        response.headers.append("set-cookie", f"{COOKIE}={value}; Max-Age={seconds}; {_ATTRIBUTES}")
    response.headers.append("set-cookie", f"{LOGIN_COOKIE}=; Max-Age=0; {_ATTRIBUTES}")
    return response

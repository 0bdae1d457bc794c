"""Every operation of the application with a body that is right, and the objects of one user and one admin.

What leads to a conversation or an answer stands in `test_access.ROUTES`, with the role it takes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx

from antiphon.api.app import create_app
from antiphon.domain.external_logins import ExternalIdentity
from antiphon.services.identities import linking
from tests.api.client import ORIGIN
from tests.api.dialect_routes import SPOKEN, SPOKEN_BY_ADMINS, SPOKEN_LAST
from tests.api.document_routes import DOCUMENTS, Form, library_of
from tests.api.people_fixtures import Town
from tests.api.shared_town import Shared, share
from tests.api.test_access import QUERIES, ROUTES, filled, placed
from tests.harness.people import PASSWORD, Person, carry
from tests.services.hand import ECHO

Operation = tuple[str, str]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
ADMIN = "/v1/admin"
USER = "/v1/admin/users/{user_id}"
GROUP = "/v1/admin/groups/{group_id}"
PROVIDER = "/v1/admin/providers/{provider}"

OF_ONES_OWN: dict[Operation, Any] = {
    ("GET", "/v1/auth/me"): None,
    ("GET", "/v1/auth/sessions"): None,
    ("POST", "/v1/auth/cookie"): None,
    ("GET", "/v1/auth/preferences"): None,
    ("PUT", "/v1/auth/preferences"): {"values": {"a": 1}},
    ("GET", "/v1/api_keys"): None,
    ("POST", "/v1/api_keys"): {"name": "further"},
    ("DELETE", "/v1/api_keys/{key_id}"): None,
    ("GET", "/v1/models"): None,
    ("GET", "/v1/models/{model}"): None,
    ("POST", "/v1/responses"): {"model": ECHO, "input": "x"},
    ("POST", "/v1/responses/input_tokens"): {"model": ECHO, "input": "x"},
    ("POST", "/v1/responses/compact"): {"model": ECHO, "input": "x"},
    ("GET", "/v1/chat/completions"): None,
    ("POST", "/v1/chat/completions"): {"model": ECHO, "messages": [{"role": "user", "content": "x"}]},
    ("POST", "/v1/embeddings"): {"model": "scripted/embedding", "input": "x"},
    ("GET", "/v1/conversations"): None,
    ("GET", "/v1/folders"): None,
    ("POST", "/v1/conversations"): {},
    **DOCUMENTS,
    **SPOKEN,
    ("GET", "/v1/search"): None,
    ("POST", "/v1/search"): {"query": "hello"},
    ("GET", "/v1/usage"): None,
    ("GET", "/v1/usage/limits"): None,
    ("GET", "/v1/usage/series"): None,
    ("GET", "/v1/export"): None,
    ("GET", "/v1/auth/identities"): None,
    ("POST", "/v1/auth/oidc/{provider}/link"): {"current_password": PASSWORD},
    ("DELETE", "/v1/auth/sessions/{session_id}"): None,
    ("DELETE", "/v1/auth/identities/{identity_id}"): None,
    ("DELETE", "/v1/auth/sessions"): None,
    ("POST", "/v1/auth/logout"): None,
    **SPOKEN_LAST,
    ("POST", "/v1/auth/password"): {"current_password": PASSWORD, "new_password": PASSWORD + " 2"},
}
"""In an order in which one caller can do all of them."""

OF_ADMINS: dict[Operation, Any] = {
    ("GET", "/metrics"): None,
    **SPOKEN_BY_ADMINS,
    ("GET", "/v1/admin/users"): None,
    ("POST", "/v1/admin/users"): {"name": "further"},
    ("GET", USER): None,
    ("PATCH", USER): {"retention_days": 9},
    ("GET", USER + "/sessions"): None,
    ("GET", USER + "/keys"): None,
    ("GET", "/v1/admin/groups"): None,
    ("POST", "/v1/admin/groups"): {"name": "further"},
    ("GET", GROUP): None,
    ("PATCH", GROUP): {"retention_days": 9},
    ("GET", "/v1/admin/invites"): None,
    ("POST", "/v1/admin/invites"): {},
    ("GET", "/v1/admin/settings"): None,
    ("PATCH", "/v1/admin/settings"): {"signup": "invite"},
    ("GET", "/v1/admin/audit"): None,
    ("GET", "/v1/admin/limits"): None,
    ("POST", "/v1/admin/limits"): {"scope": "everyone", "metric": "requests", "period": "day", "amount": 999},
    ("GET", "/v1/admin/usage"): None,
    ("GET", "/v1/admin/usage/series"): None,
    ("GET", "/v1/admin/ratings"): None,
    ("GET", "/v1/admin/runs"): None,
    ("POST", "/v1/admin/runs/{run_id}/cancel"): None,
    ("GET", "/v1/admin/providers"): None,
    ("GET", "/v1/admin/embeddings"): None,
    ("POST", PROVIDER + "/probe"): None,
    ("PUT", PROVIDER + "/key"): {"key": "sk-another-key"},
    ("DELETE", PROVIDER + "/key"): None,
    ("DELETE", USER + "/keys/{key_id}"): None,
    ("DELETE", USER + "/sessions/{session_id}"): None,
    ("DELETE", USER + "/sessions"): None,
    ("DELETE", "/v1/admin/limits/{limit_id}"): None,
    ("DELETE", "/v1/admin/invites/{invite_id}"): None,
    ("DELETE", GROUP): None,
    ("DELETE", USER): None,
}
"""In an order in which one administrator can do all of them."""

SHARED: dict[Operation, Any] = {operation: body for operation, (_, body) in ROUTES.items()}
CLOSED: dict[Operation, Any] = {**OF_ONES_OWN, **SHARED, **OF_ADMINS}
OBJECTS = frozenset({
    "conversation_id", "item_id", "branch_id", "response_id", "completion_id", "share_id",
    "key_id", "session_id", "chat_session", "identity_id", "user_id", "group_id", "invite_id", "limit_id",
    "file_id", "picture_id", "upload_id", "vector_store_id", "batch_id", "run_id",
})  # fmt: skip
"""The parameters that name an object of somebody; each has one in `Gated`."""
COMMON = frozenset({"model", "provider", "token", "number"})
"""Those that do not: models and providers are the server's, and a share link's token is its credential.

A version's number names nothing without its file.
"""

CARRIERS = ("key", "access token", "x-api-key", "cookie")
KEYS = ("key", "x-api-key")
"""Carriers of an API key; the others carry a session, which has all scopes."""


def document_of() -> dict[str, Any]:
    """Return the application's own OpenAPI document."""
    found: dict[str, Any] = create_app(lambda: None)._inner.openapi()  # type: ignore[arg-type,return-value,attr-defined]
    return found


def operations(document: dict[str, Any]) -> set[Operation]:
    """Return every operation of an OpenAPI document."""
    return {(method.upper(), path) for path, known in document["paths"].items() for method in known}


def parameters(path: str) -> set[str]:
    """Return the names of a path's parameters."""
    return set(re.findall(r"\{(\w+)", path))


def of_admins(operation: Operation) -> bool:
    """Whether an operation is for administrators."""
    return operation in OF_ADMINS


@dataclass
class Gated:
    """A town with everything that can be made in it, and every caller's headers by every carrier."""

    shared: Shared
    root: Person
    carried: dict[tuple[str, str], dict[str, str]]

    @property
    def http(self) -> httpx.AsyncClient:
        """A client without a credential."""
        return self.shared.town.http

    async def ask(
        self, operation: Operation, headers: dict[str, str], *, never: bool = False, query: str = ""
    ) -> httpx.Response:
        """Call an operation on the objects of ada (root's for administrators), or on ids never issued."""
        method, path = operation
        s = self.shared
        if path.startswith(ADMIN):
            s = Shared(s.town, s.people, s.ids | {"user_id": f"user_{s.people['owner'].account.id}"})
        ends = path.endswith(("/cancel", "/parts"))
        where = placed(s, path + QUERIES.get(path, ""), never=never, cancels=ends)
        if operation == ("GET", "/v1/search"):
            where += "?query=hello"
        if query:
            where += ("&" if "?" in where else "?") + query
        body = CLOSED[operation]
        if isinstance(body, Form):
            return await self.http.request(method, where, data=body.fields, files=body.files, headers=headers)
        if operation in DOCUMENTS or operation in SPOKEN:
            body = filled(s, body, never=never)
        return await self.http.request(method, where, json=body, headers=headers)

    async def ask_with(
        self, headers: dict[str, str], path: str, body: Any, *, never: bool = False
    ) -> httpx.Response:
        """Post a body with the ids of ada's objects in it, or with ids never issued."""
        usual = {"model": ECHO, "input": "x"}
        body = usual | filled(self.shared, body, never=never)
        return await self.http.post(path, json=body, headers=headers)


async def carriers_of(person: Person, *scopes: str) -> dict[str, dict[str, str]]:
    """Return a person's headers by every carrier; the cookie comes with the server's own Origin."""
    key = await person.key(*scopes)
    cookie = carry("cookie", await person.cookie())
    del cookie["sec-fetch-site"]
    return {
        "key": carry("bearer", key),
        "access token": person.bearer,
        "x-api-key": carry("x-api-key", key),
        "cookie": {**cookie, "origin": ORIGIN},
    }


async def populate(town: Town) -> Gated:
    """Make every kind of object over HTTP, and log everybody in."""
    s = await share(town)
    root = await town.person("root2", role="admin")
    ada = s.people["owner"]
    gated = Gated(s, root, {})
    callers = {"owner": ada, "stranger": s.people["stranger"], "root": root}
    for name, person in callers.items():
        administers = ("admin",) if person is root else ()
        for carrier, headers in (await carriers_of(person, "read", "write", *administers)).items():
            gated.carried[name, carrier] = headers
        reading = await carriers_of(person, "read", *administers)
        for carrier in KEYS:
            gated.carried[f"{name}, reading", carrier] = reading[carrier]
    await ada.key()
    sessions = (await (await town.again(ada)).call("GET", "/v1/auth/sessions?limit=1")).json()["data"]
    limit = {"scope": f"user_{ada.account.id}", "metric": "tokens", "period": "month", "amount": 9_000_000}
    s.ids |= await library_of(s)
    s.ids |= {
        "user_id": f"user_{s.people['viewer'].account.id}",
        "key_id": ada.keys[-1]["id"],
        "session_id": sessions[0]["id"],
        "identity_id": await _identity(town, ada),
        "group_id": (await _made(root, "/v1/admin/groups", {"name": "crew"}))["id"],
        "invite_id": (await _made(root, "/v1/admin/invites", {}))["id"],
        "run_id": s.ids["running_id"],
        "limit_id": (await _made(root, "/v1/admin/limits", limit))["id"],
        "chat_session": (await _made(ada, "/v1/conversations", {}))["id"],
        "model": ECHO,
        "provider": "hand",
    }
    return gated


async def _identity(town: Town, person: Person) -> str:
    """Link somebody's identity at the login provider, and return its id."""
    account = person.account
    identity = ExternalIdentity(issuer="https://idp", subject="ada", provider="hand")
    await town.world.storage.unit_of_work.commit(linking(account, identity, 1, most=1))
    (one,) = (await person.call("GET", "/v1/auth/identities")).json()["data"]
    found: str = one["id"]
    return found


async def _made(root: Person, path: str, body: Any) -> Any:
    response = await root.call("POST", path, body)
    assert response.status_code in (200, 201), response.text
    return response.json()

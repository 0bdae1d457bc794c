"""Request bodies of the identity routes; fields that are not listed are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from antiphon.api.v1.conversation_bodies import Body

Text = Annotated[str, Field(max_length=1024)]
Token = Annotated[str, Field(max_length=4096)]


class TokenRequest(Body):
    """A login by password, or a refresh token to be changed for new tokens.

    `device_token` is that of an earlier login from the same device; browsers have it in a cookie.
    `scope`, `client_id` and `client_secret` are part of OAuth 2's form and of no use here.
    """

    grant_type: Literal["password", "refresh_token"] = "password"
    username: Text | None = None
    password: Text | None = None
    refresh_token: Token | None = None
    device_token: Token | None = None
    scope: Text | None = None
    client_id: Text | None = None
    client_secret: Text | None = None


class PutPreferences(Body):
    """What a client wants to find again, as a JSON object of its own making."""

    values: dict[str, Any]


class SignUp(Body):
    """A name, a password, and what the server wants besides."""

    username: Text
    password: Text
    email: Text | None = None
    invite: Text | None = None


class ChangePassword(Body):
    """The password as it is and as it shall be."""

    current_password: Text
    new_password: Text


class LinkIdentity(Body):
    """The password as it is, and a path of this server to go to afterwards."""

    current_password: Text | None = None
    next: Annotated[str, Field(max_length=4096)] | None = None


class CreateApiKey(Body):
    """A name to know the key by, what it may do (by default read and write), and for how long."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Text], Field(min_length=1, max_length=8)] | None = None
    expires_in: Annotated[int, Field(ge=1, le=10 * 365 * 24 * 3600, description="Seconds.")] | None = None

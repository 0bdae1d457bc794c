"""OpenAPI pieces for the routes whose bodies msgspec decodes, and the error every route may answer."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from antiphon.api.v1.chat_requests import CreateChatCompletion
from antiphon.api.v1.embedding_bodies import CreateEmbedding
from antiphon.api.v1.response_requests import Compact, CountInput, CreateResponse

TEMPLATE: Final = "#/components/schemas/{name}"

ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


SCHEMES: Final[dict[str, Any]] = {
    "token": {"type": "http", "scheme": "bearer", "description": "An API key, or a login's access token."},
    "password": {
        "type": "oauth2",
        "description": "A name and a password.",
        "flows": {"password": {"tokenUrl": "token", "scopes": {}}},
    },
}
"""How callers show who they are, as the documentation's "Authorize" asks for it."""


def components() -> dict[str, Any]:
    """Return the JSON schemas of the msgspec bodies, by name, and of the error."""
    _, schemas = msgspec.json.schema_components(
        (CreateResponse, CountInput, Compact, CreateChatCompletion, CreateEmbedding), ref_template=TEMPLATE
    )
    return {**schemas, "Error": ERROR}


def body_of(name: str) -> dict[str, Any]:
    """Return the `openapi_extra` of a route whose body is the named schema."""
    schema = {"$ref": TEMPLATE.format(name=name)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "An error in OpenAI's shape.",
        "content": {"application/json": {"schema": {"$ref": TEMPLATE.format(name="Error")}}},
    }
}

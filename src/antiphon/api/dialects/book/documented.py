"""What the OpenAPI document says of bodies that are read by us."""

from __future__ import annotations

from typing import Any, Final

MADE: Final[dict[int | str, dict[str, Any]]] = {201: {"description": "Successful Response"}}
"""The answer of calls that answer 200 or 201, by what they are asked."""


def asks(*examples: Any) -> dict[str, Any]:
    """Return the `openapi_extra` of a call with a JSON body, shown by one example or several."""
    shown = {f"example {number}": {"value": one} for number, one in enumerate(examples, 1)}
    return {"requestBody": {"content": {"application/json": {"schema": {}, "examples": shown}}}}


def takes(name: str, example: str) -> dict[str, Any]:
    """Return the `openapi_extra` of a GET with one text: its query, since proxies may drop bodies of GETs."""
    parameter = {
        "name": name, "in": "query", "required": True, "schema": {"type": "string"}, "example": example,
        "description": f'Also as the JSON body `{{"{name}": "…"}}`.',
    }  # fmt: skip
    return {"parameters": [parameter]}

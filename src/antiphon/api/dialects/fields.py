"""The parameters of a call, wherever they stand: in a JSON body or in the query, the body first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from antiphon.domain.errors import InvalidRequest

Made = TypeVar("Made", bound=BaseModel)


async def fields_of(request: Request) -> dict[str, Any]:
    """Return body and query as one mapping; raises InvalidRequest for a body that is no JSON object.

    Clients of the older services send bodies with GET and DELETE too, and some without saying that they
    are JSON.
    """
    query = dict(request.query_params)
    if not (await request.body()).strip():
        return query
    body = await request.json()
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be an object.", code="invalid_type")
    return query | body


def body_schema(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads its parameters as a wire shape."""
    schema = model.model_json_schema(mode="validation")
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


async def read(request: Request, model: type[Made]) -> Made:
    """Return the parameters of a call as its wire shape; raises RequestValidationError."""
    return read_fields(await fields_of(request), model)


def read_fields(fields: Mapping[str, Any], model: type[Made]) -> Made:
    """Return parameters that were collected as a wire shape; raises RequestValidationError."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None

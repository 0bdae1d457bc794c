"""Bodies that are bare lists: of people, of messages."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from antiphon.api.dialects.book.forms import fault

Made = TypeVar("Made", bound=BaseModel)


def read_list(value: Any, model: type[Made], most: int, name: str) -> list[Made]:
    """Return a list of 1 to `most` objects as their wire shape; raises RequestValidationError."""
    if not isinstance(value, list):
        raise fault(name, "list_type", "Input should be a valid list")
    if not 1 <= len(value) <= most:
        raise fault(name, "too_long" if value else "too_short", f"The list holds 1 to {most} entries")
    found: list[Made] = []
    for index, one in enumerate(value):
        try:
            found.append(model.model_validate(one))
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            placed = [{**item, "loc": ("body", name, index, *item["loc"])} for item in faults]
            raise RequestValidationError(placed) from None
    return found

"""A small JSON Schema validator for the tests, independent of the generator under test."""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
}


def accepts(schema: Any, value: Any, root: Any = None) -> bool:
    root = schema if root is None else root
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        found = root
        for key in schema["$ref"].split("/")[1:]:
            found = found[key]
        if not accepts(found, value, root):
            return False
    checks = [_generic(schema, value, root), _numbers(schema, value), _strings(schema, value)]
    return all([*checks, _arrays(schema, value, root), _objects(schema, value, root)])


def _is(kind: str, value: Any) -> bool:
    if kind in ("integer", "number"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (kind == "number" or value == int(value))
    return isinstance(value, _TYPES[kind])


def _generic(schema: dict[str, Any], value: Any, root: Any) -> bool:
    kinds = schema.get("type")
    if kinds is not None and not any(_is(k, value) for k in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if not all(accepts(part, value, root) for part in schema.get("allOf", ())):
        return False
    if "anyOf" in schema and not any(accepts(part, value, root) for part in schema["anyOf"]):
        return False
    return "oneOf" not in schema or sum(accepts(part, value, root) for part in schema["oneOf"]) == 1


def _numbers(schema: dict[str, Any], value: Any) -> bool:
    if not _is("number", value):
        return True
    step = schema.get("multipleOf")
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and schema.get("exclusiveMinimum", value - 1) < value < schema.get("exclusiveMaximum", value + 1)
        and (step is None or abs(value / step - round(value / step)) < 1e-9)
    )


def _strings(schema: dict[str, Any], value: Any) -> bool:
    if not isinstance(value, str):
        return True
    fits = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
    return fits and ("pattern" not in schema or re.search(schema["pattern"], value) is not None)


def _arrays(schema: dict[str, Any], value: Any, root: Any) -> bool:
    if not isinstance(value, list):
        return True
    fixed = schema.get("prefixItems", [])
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    if schema.get("uniqueItems") and any(item in value[:i] for i, item in enumerate(value)):
        return False
    if "contains" in schema:
        found = sum(accepts(schema["contains"], item, root) for item in value)
        if found < schema.get("minContains", 1):
            return False
    items = [fixed[i] if i < len(fixed) else schema.get("items", True) for i in range(len(value))]
    return all(accepts(part, item, root) for part, item in zip(items, value, strict=True))


def _objects(schema: dict[str, Any], value: Any, root: Any) -> bool:
    if not isinstance(value, dict):
        return True
    properties = schema.get("properties", {})
    if not all(name in value for name in schema.get("required", ())):
        return False
    if len(value) < schema.get("minProperties", 0):
        return False
    others = schema.get("additionalProperties", True)
    return all(accepts(properties.get(name, others), item, root) for name, item in value.items())

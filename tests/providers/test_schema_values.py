"""Any schema of the usual words gets a value that an independent validator accepts."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.providers.pattern_text import text_for_pattern
from antiphon.providers.schema_values import FORMATS, UnfitSchema, value_for
from tests.providers.json_schema import accepts

NAMES = st.sampled_from(["a", "b", "city", "unit", "näme"])


@st.composite
def numbers(draw: Any) -> dict[str, Any]:
    low = draw(st.integers(-50, 50))
    schema: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "number"]))}
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + draw(st.integers(20, 40))
    if draw(st.booleans()):
        schema["multipleOf"] = draw(st.integers(1, 7))
    return schema


@st.composite
def strings(draw: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    kind = draw(st.sampled_from(["plain", "length", "format", "pattern", "enum"]))
    if kind == "length":
        schema["minLength"] = draw(st.integers(0, 20))
        schema["maxLength"] = schema["minLength"] + draw(st.integers(0, 5))
    elif kind == "format":
        schema["format"] = draw(st.sampled_from(sorted(FORMATS)))
    elif kind == "pattern":
        schema["pattern"] = draw(st.sampled_from([r"^[A-Z]{2}-\d{3,}$", r"^(yes|no)$", r"\S+@\S+", "^[^a]$"]))
    elif kind == "enum":
        schema["enum"] = draw(st.lists(st.text(max_size=3), min_size=1, max_size=3))
    return schema


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner}, optional={"minItems": st.integers(0, 3)}
    )


@st.composite
def objects(draw: Any, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=3))
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if properties:
        schema["required"] = draw(st.lists(st.sampled_from(sorted(properties)), unique=True))
    schema["additionalProperties"] = draw(st.booleans())
    return schema


def combined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    either = st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some})
    return arrays(inner) | objects(inner) | either


LEAVES = (
    numbers() | strings() | st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": 7}, True, {}])
)  # fmt: skip
SCHEMAS = st.recursive(LEAVES, combined, max_leaves=8)


@given(SCHEMAS)
@settings(max_examples=400, deadline=None)
def test_any_schema(schema: Any) -> None:
    value = value_for(schema)
    assert accepts(schema, value), (schema, value)
    json.dumps(value)


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "required": ["left", "right", "value"],
            "properties": {
                "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "right": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "value": {"type": "integer", "exclusiveMinimum": 0},
            },
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}

SCHEMAS_BY_HAND: list[Any] = [
    TREE,
    {"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {"type": "string"}}}]},
    {"allOf": [{"type": "number", "minimum": 2}, {"type": "integer", "maximum": 3}]},
    {"oneOf": [{"type": "string", "maxLength": 0, "minLength": 1}, {"type": "integer"}]},
    {"type": ["null", "string"]},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "multipleOf": 0.25, "minimum": 0.3},
    {"type": "array", "uniqueItems": True, "minItems": 5, "items": {"type": "string"}},
    {"type": "array", "uniqueItems": True, "minItems": 2, "items": {"enum": ["a", "b"]}},
    {"type": "array", "prefixItems": [{"type": "string"}, {"const": 3}], "minItems": 2, "items": False},
    {"type": "array", "contains": {"type": "integer", "minimum": 5}, "minContains": 2},
    {"type": "object", "minProperties": 3, "properties": {"a": {"type": "string"}}},
    {"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}},
    {"type": "string", "pattern": "^[a-z]+$", "minLength": 12},
    {"properties": {"x": {"const": None}}, "required": ["x"]},
    {"definitions": {"a/b": {"type": "integer"}}, "type": "object", "required": ["q"],
     "properties": {"q": {"enum": [3, 4]}}},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS_BY_HAND, ids=range(len(SCHEMAS_BY_HAND)))
def test_schemas_by_hand(schema: Any) -> None:
    value = value_for(schema)
    assert accepts(schema, value), value


def test_a_recursive_schema_gets_a_shallow_value() -> None:
    assert len(json.dumps(value_for(TREE))) < 200


def test_dependent_required_is_followed() -> None:
    schema = {"type": "object", "required": ["a"], "dependentRequired": {"a": ["b"], "b": ["c"]}}
    assert set(value_for(schema)) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"enum": []},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "string", "minLength": 5, "maxLength": 2},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.org/schema"},
        {"$ref": "#"},
        {"type": "array", "minItems": 10**9, "items": {"type": "array", "minItems": 10**9}},
        {"type": "unknown"},
        {"type": "string", "minLength": 10**12},
        {"required": ["x"], "properties": {"x": {"$ref": "#"}}},
    ],
    ids=range(11),
)
def test_what_cannot_be_is_said_soon(schema: Any) -> None:
    began = time.process_time()
    with pytest.raises(UnfitSchema):
        value_for(schema)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "pattern",
    [r"^[A-Z]{3}-\d+$", "(foo|bar)+", r"^(\d{4})-\1$", "[^a-z]{2,}", r"^\w+\s\W$", "^a?b*c+?$", r"^\D\S$"],
)
def test_patterns(pattern: str) -> None:
    assert re.search(pattern, text_for_pattern(pattern))


def test_a_hostile_pattern_is_never_run_and_never_large() -> None:
    began = time.process_time()
    assert len(text_for_pattern("(((a{1000}){1000}){1000}){1000}")) <= 4096
    assert text_for_pattern("(a+)+$") == "a"
    assert text_for_pattern("(") == ""
    assert time.process_time() - began < 1

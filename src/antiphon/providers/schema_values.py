"""Make a small value that a JSON Schema accepts.

Covers what tools and response formats use: type (also a list), enum, const, properties,
required, dependentRequired, minProperties, items, prefixItems, contains, minItems, uniqueItems,
numeric bounds, multipleOf, string lengths, format, pattern (best effort), allOf, anyOf, oneOf
(first branch that works) and local $ref, also recursive ones.
Not covered: not, if/then/else, patternProperties, propertyNames, remote $ref.
See https://json-schema.org/draft/2020-12/json-schema-validation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from antiphon.providers.pattern_text import text_for_pattern

MAX_NODES: Final = 10_000
"""Schemas come from callers; a nest of `minItems` must not become a bomb."""

DEPTHS: Final = (2, 4, 6, 8, 12, 16, 24, 32, 64)
"""Nesting allowed in turn, so that a recursive schema gets the shallowest value that fits."""

FORMATS: Final = {
    "date-time": "2026-01-{:02d}T12:00:00Z",
    "date": "2026-01-{:02d}",
    "time": "12:00:{:02d}Z",
    "duration": "P{}D",
    "email": "person{}@example.org",
    "idn-email": "person{}@example.org",
    "hostname": "host{}.example.org",
    "idn-hostname": "host{}.example.org",
    "ipv4": "192.0.2.{}",
    "ipv6": "2001:db8::{:x}",
    "uri": "https://example.org/{}",
    "uri-reference": "/{}",
    "iri": "https://example.org/{}",
    "uuid": "00000000-0000-4000-8000-{:012x}",
    "json-pointer": "/{}",
    "regex": "a{{{}}}",
}
"""Documentation-only names and addresses (RFC 2606, RFC 5737, RFC 3849), numbered from 1."""

_OBJECT_WORDS: Final = frozenset({"properties", "required", "additionalProperties", "minProperties"})
_ARRAY_WORDS: Final = frozenset({"items", "prefixItems", "minItems", "contains", "uniqueItems"})
_STRING_WORDS: Final = frozenset({"minLength", "maxLength", "pattern", "format"})
_NUMBER_WORDS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})


class UnfitSchema(ValueError):
    """No value was found: the schema contradicts itself, is too large, or uses what is not covered."""


def value_for(schema: Any) -> Any:
    """Return a JSON value that `schema` (a dict or a boolean) accepts; raises UnfitSchema."""
    failure = UnfitSchema("the schema accepts nothing")
    for limit in DEPTHS:
        try:
            return _Maker(schema, limit).make(schema, 0, 0)
        except UnfitSchema as error:
            failure = error
    raise failure


class _Maker:
    """One generation; `variant` numbers the items of one array so that they can differ."""

    def __init__(self, root: Any, limit: int) -> None:
        self._root = root
        self._limit = limit
        self._nodes = 0

    def make(self, schema: Any, variant: int, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > self._limit:
            raise UnfitSchema("the schema asks for too large a value")
        if schema is True or schema is None:
            return {}
        if not isinstance(schema, Mapping):
            raise UnfitSchema("the schema accepts nothing")
        failure = UnfitSchema("the schema accepts nothing")
        for plain in self._alternatives(schema):
            try:
                return self._make_plain(plain, variant, depth)
            except UnfitSchema as error:
                failure = error
        raise failure

    def _alternatives(self, schema: Mapping[str, Any], hops: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the schema without $ref, allOf, anyOf and oneOf, once for each way to choose."""
        if hops > DEPTHS[-1]:
            raise UnfitSchema("the schema's references go round in a circle")
        rest = dict(schema)
        if "$ref" in rest:
            target = self._resolve(rest.pop("$ref"))
            yield from self._alternatives(_merge(target, rest), hops + 1)
        elif "allOf" in rest:
            for part in rest.pop("allOf"):
                rest = _merge(rest, self._flat(part))
            yield from self._alternatives(rest, hops + 1)
        elif "anyOf" in rest or "oneOf" in rest:
            branches = rest.pop("anyOf" if "anyOf" in rest else "oneOf")
            for branch in branches:
                yield from self._alternatives(_merge(rest, self._flat(branch)), hops + 1)
        else:
            yield rest

    def _flat(self, part: Any) -> dict[str, Any]:
        if part is True:
            return {}
        if not isinstance(part, Mapping):
            return {"enum": []}
        found = dict(part)
        for _ in range(DEPTHS[-1]):
            if "$ref" not in found:
                return found
            found = _merge(self._resolve(found.pop("$ref")), found)
        raise UnfitSchema("the schema's references go round in a circle")

    def _resolve(self, reference: Any) -> dict[str, Any]:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise UnfitSchema(f"only local references can be followed, not {reference!r}")
        found = self._root
        for raw in reference[1:].split("/")[1:]:
            key = raw.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(key)] if isinstance(found, list) else found[key]
            except (KeyError, IndexError, ValueError, TypeError):
                raise UnfitSchema(f"the reference {reference!r} leads nowhere") from None
        return dict(found) if isinstance(found, Mapping) else {} if found is True else {"enum": []}

    def _make_plain(self, schema: dict[str, Any], variant: int, depth: int) -> Any:
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            choices = schema["enum"]
            if not choices:
                raise UnfitSchema("an empty enum accepts nothing")
            return choices[variant % len(choices)]
        failure = UnfitSchema("the schema accepts nothing")
        for kind in _kinds(schema):
            try:
                return self._make_kind(kind, schema, variant, depth)
            except UnfitSchema as error:
                failure = error
        raise failure

    def _make_kind(self, kind: str, schema: dict[str, Any], variant: int, depth: int) -> Any:
        if kind == "object":
            return self._make_object(schema, depth)
        if kind == "array":
            return self._make_array(schema, depth)
        if kind == "string":
            return _string(schema, variant)
        if kind in ("integer", "number"):
            return _number(schema, variant, whole=kind == "integer")
        if kind == "boolean":
            return variant % 2 == 0
        if kind == "null":
            return None
        raise UnfitSchema(f"unknown type {kind!r}")

    def _make_object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        names = list(dict.fromkeys(schema.get("required") or ()))
        for name in names:  # grows while it is walked: a dependency may have dependencies
            names += [n for n in (schema.get("dependentRequired") or {}).get(name, ()) if n not in names]
        wanted = min(int(schema.get("minProperties", 0)), MAX_NODES)
        names += [name for name in properties if name not in names][: max(0, wanted - len(names))]
        names += [f"property_{i}" for i in range(len(names), wanted)]
        others = schema.get("additionalProperties", True)
        made = {}
        for position, name in enumerate(names):
            made[name] = self.make(properties.get(name, others), position, depth + 1)
        return made

    def _make_array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        fixed = schema.get("prefixItems") or []
        rest = schema.get("items", True)
        made: list[Any] = []
        if "contains" in schema:
            made = [
                self.make(_merge(self._flat(schema["contains"]), self._flat(rest)), i, depth + 1)
                for i in range(min(int(schema.get("minContains", 1)), MAX_NODES))
            ]
        for i in range(len(made), min(int(schema.get("minItems", 0)), MAX_NODES)):
            item = fixed[i] if i < len(fixed) else rest
            made.append(self.make(item, i, depth + 1))
        if schema.get("uniqueItems") and any(item in made[:i] for i, item in enumerate(made)):
            raise UnfitSchema("not enough different items were found")
        if len(made) > schema.get("maxItems", math.inf):
            raise UnfitSchema("an array is wanted longer than it may be")
        return made


def _kinds(schema: dict[str, Any]) -> list[str]:
    """Return the types to try, the shortest way out first when the schema lets us choose."""
    declared = schema.get("type")
    if isinstance(declared, str):
        return [declared]
    if isinstance(declared, list):
        return [str(kind) for kind in declared]
    for words, kind in (
        (_OBJECT_WORDS, "object"),
        (_ARRAY_WORDS, "array"),
        (_STRING_WORDS, "string"),
        (_NUMBER_WORDS, "number"),
    ):
        if words & schema.keys():
            return [kind]
    return ["object"]


def _merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that is at least as strict as both, for the words this file knows."""
    merged = dict(first)
    for word, value in second.items():
        if word not in merged:
            merged[word] = value
        elif word in ("required", "allOf"):
            merged[word] = [*merged[word], *value]
        elif word == "properties":
            merged[word] = _merge_properties(merged[word], value)
        elif word in ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"):
            merged[word] = max(merged[word], value)
        elif word in ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"):
            merged[word] = min(merged[word], value)
        elif word == "enum":
            merged[word] = [choice for choice in merged[word] if choice in value]
        elif word == "type":
            merged[word] = _common_types(merged[word], value)
        elif word in ("anyOf", "oneOf"):
            merged.setdefault("allOf", [])
            merged["allOf"] = [*merged["allOf"], {word: value}]
        else:
            merged[word] = value
    return merged


def _merge_properties(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for name, schema in second.items():
        merged[name] = {"allOf": [merged[name], schema]} if name in merged else schema
    return merged


def _common_types(first: Any, second: Any) -> list[str]:
    ours = [first] if isinstance(first, str) else list(first)
    theirs = [second] if isinstance(second, str) else list(second)
    if "number" in theirs and "integer" in ours:
        theirs.append("integer")
    if "number" in ours and "integer" in theirs:
        ours.append("integer")
    return [kind for kind in ours if kind in theirs]


def _string(schema: dict[str, Any], variant: int) -> str:
    shortest = int(schema.get("minLength", 0))
    longest = schema.get("maxLength", math.inf)
    if shortest > longest or shortest > MAX_NODES:
        raise UnfitSchema("no string is long and short enough")
    if "pattern" in schema:
        text = text_for_pattern(schema["pattern"], at_least=shortest)
    elif schema.get("format") in FORMATS:
        text = FORMATS[schema["format"]].format(variant % 28 + 1)
    else:
        text = "text" if variant == 0 else f"text {variant + 1}"
        if len(text) > longest:
            text = str(variant)[: int(longest)]
        text += "x" * (shortest - len(text))
    if not shortest <= len(text) <= longest:
        raise UnfitSchema("no string of a fitting length was found")
    return text


def _number(schema: dict[str, Any], variant: int, *, whole: bool) -> int | float:
    """Return the first fitting number at or above the lower bound, moved on by `variant` steps."""
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    step: int | float = schema.get("multipleOf") or 1
    if whole and step != int(step):
        step *= 10 ** len(str(step).partition(".")[2])
    for place in _places(low, high, step, variant):
        if _fits(schema, place):
            return int(place) if whole or place == int(place) else place
    if not whole and "multipleOf" not in schema and low < high:
        return float((low + high) / 2)
    raise UnfitSchema("no number within the bounds was found")


def _places(low: float, high: float, step: float, variant: int) -> Iterator[float]:
    if low <= 0 <= high:
        yield from (variant * step, 0, step, -step, -variant * step)
    if low > -math.inf:
        first = math.ceil(low / step)
        yield from ((first + variant) * step, first * step, (first + 1) * step)
    if high < math.inf:
        last = math.floor(high / step)
        yield from ((last - variant) * step, last * step, (last - 1) * step)


def _fits(schema: dict[str, Any], place: float) -> bool:
    low: float = schema.get("minimum", -math.inf)
    high: float = schema.get("maximum", math.inf)
    above: float = schema.get("exclusiveMinimum", -math.inf)
    below: float = schema.get("exclusiveMaximum", math.inf)
    return low <= place <= high and above < place < below

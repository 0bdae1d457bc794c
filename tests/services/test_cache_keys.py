"""What makes a question the same: everything the model sees, and who acts."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.bootstrap import SystemClock
from antiphon.domain.accounts import Principal
from antiphon.ports.model_provider import ModelRequest
from antiphon.services.model_routes import ModelRoute
from antiphon.services.response_cache import ResponseCache, key_of
from antiphon.storage.memory.cache import InProcessCache
from tests.services.hand import HAND

ROUTE = ModelRoute(id=HAND, provider="hand", model="held", context_tokens=8192)
BASE: dict[str, Any] = {
    "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
    "params": {"temperature": 0, "tools": [{"type": "function", "function": {"name": "f"}}]},
}
SCHEMA_AB = {"type": "json_schema", "json_schema": {"schema": {"properties": {"a": {}, "b": {}}}}}
SCHEMA_BA = {"type": "json_schema", "json_schema": {"schema": {"properties": {"b": {}, "a": {}}}}}
OTHERS: list[dict[str, Any]] = [
    {"messages": [{"role": "system", "content": "be long"}, {"role": "user", "content": "hello"}]},
    {"messages": [{"role": "user", "content": "be brief"}, {"role": "system", "content": "hello"}]},
    {"messages": [{"role": "user", "content": "hello"}]},
    {"messages": [*BASE["messages"], {"role": "user", "content": ""}]},
    {"messages": [BASE["messages"][0], {"role": "user", "content": [{"type": "text", "text": "hello"}]}]},
    {"params": {}},
    {"params": {**BASE["params"], "temperature": 0.1}},
    {"params": {**BASE["params"], "temperature": None}},
    {"params": {**BASE["params"], "temperature": "0"}},
    {"params": {**BASE["params"], "tools": [{"type": "function", "function": {"name": "g"}}]}},
    {"params": {**BASE["params"], "tool_choice": "none"}},
    {"params": {**BASE["params"], "response_format": {"type": "json_object"}}},
    {"params": {**BASE["params"], "response_format": SCHEMA_AB}},
    {"params": {**BASE["params"], "response_format": SCHEMA_BA}},
    {"params": {**BASE["params"], "seed": 1}},
    {"params": {**BASE["params"], "n": 2}},
    {"params": {**BASE["params"], "some_providers_own": True}},
]


def test_everything_the_model_sees_makes_another_question() -> None:
    def key(scope: list[str], route: ModelRoute = ROUTE, **changes: Any) -> bytes | None:
        return key_of(scope, route, ModelRequest(**{"model": "held", **BASE, **changes}))

    routes = [
        msgspec.structs.replace(ROUTE, **change)
        for change in ({"provider": "other"}, {"model": "other"}, {"provider": "hand/held", "model": ""})
    ]
    scopes = [["everybody"], ["account", "b"], ["account", 'a","hand'], ["accounta"], ["account"]]
    keys = [key(["account", "a"]), *(key(["account", "a"], **other) for other in OTHERS)]
    keys += [key(["account", "a"], route) for route in routes] + [key(scope) for scope in scopes]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    turned = dict(reversed(BASE["params"].items()))
    assert key(["account", "a"], params=turned) == keys[0], "the order of the fields themselves says nothing"


def test_what_has_no_json_has_no_key() -> None:
    lone = ModelRequest(model="held", messages=[{"role": "user", "content": "\ud800"}])
    assert key_of(["account", "a"], ROUTE, lone) is None


async def test_a_member_in_anothers_partition_has_a_cache_of_their_own() -> None:
    cache = ResponseCache(InProcessCache(1 << 20, SystemClock()), shared=False, seconds=60, max_bytes=1 << 20)
    owner = Principal("a" * 32, 1, "owner")
    member = Principal("b" * 32, 2, "member")
    request = ModelRequest(model="held", messages=[{"role": "user", "content": "hello"}])

    async def key(who: Principal) -> bytes | None:
        return (await cache.look(who, "use", ROUTE, request, owner_id=owner.account_id))._key

    assert await key(member.within(owner.account_id, owner.slot)) == await key(member)
    assert await key(member) != await key(owner)

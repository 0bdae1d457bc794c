"""Chats of the branching application that were imported are found under the ids that they had."""

from __future__ import annotations

import json
from pathlib import Path

from tests.api.client import Api
from tests.dialects.test_branching import BASE, activate, branches, pairs, shown


async def test_the_id_that_a_chat_had_before_leads_to_it_in_every_call(api: Api, tmp_path: Path) -> None:
    pair = {"question": "Where?", "response": "Here.", "response_id": "r1", "branches": []}
    old: list[str | int] = ["7d1f0f0e-2f7c-4c5a-9a52-0c3a7f6c1b11", 42]
    export = tmp_path / "chats.jsonl"
    export.write_text("\n".join(json.dumps({"chat_id": one, "qa_pairs": [pair]}) for one in old))
    who = api.world.application.owner
    taken = [one async for one in api.world.application.imports.run(who, export, "branching")]
    assert [one.state for one in taken] == ["new", "new"]
    for name, here in zip(old, taken, strict=True):
        found = await shown(api, str(name))
        assert found["chat_id"].replace("-", "") == (here.conversation_id or "").removeprefix("conv_")
        assert [one["question"] for one in found["qa_pairs"]] == ["Where?"]
        body = {"chat_id": name, "question": "And then?"}
        assert (await api.post(f"{BASE}/messages/add-message", body, status=201))["response"]
        response = (await pairs(api, str(name)))[0]["response_id"]
        made = {"chat_id": name, "response_id": response}
        child = (await api.post(f"{BASE}/branches/create-branch", made, status=201))["branch_chat_id"]
        assert [one["branch_chat_id"] for one in (await branches(api, str(name)))["branches"]] == [child]
        await activate(api, str(name), child)
        renamed = {"chat_id": name, "name": "Kept"}
        assert (await api.call("PUT", f"{BASE}/chats/update-chat", renamed))["name"] == "Kept"
        await api.call("DELETE", f"{BASE}/chats/delete-chat", {"chat_id": name})
        gone = await api.call("GET", f"{BASE}/chats/get-chat", params={"chat_id": str(name)}, status=404)
        never = await api.call("GET", f"{BASE}/chats/get-chat", params={"chat_id": "43"}, status=404)
        assert gone["detail"].replace(str(name), "43") == never["detail"]

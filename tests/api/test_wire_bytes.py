"""What is put together from bytes is what the encoder would have written of the object."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.api.v1.response_objects import response_bytes, response_object
from antiphon.api.v1.wire_json import encode_object
from antiphon.domain.runs import Run, RunError
from antiphon.domain.usage import Usage

ID = "01a1fc674bc97d9d9bcf72c9cbce9650"
ECHOES: list[dict[str, Any]] = [
    {},
    {"parent_id": None, "input_item_ids": ["msg_" + ID]},
    {"conversation": "conv_" + ID, "instructions": "two\u2028lines", "temperature": 0.5, "tools": [{"a": 1}]},
    {"parent_id": "msg_" + ID, "text": {"format": {"type": "json_object"}}, "user": "é\x00"},
]


def run_with(**fields: Any) -> Run:
    usual: dict[str, Any] = {
        "slot": 1, "surface": "responses", "parent": None, "input_end": None, "state": "completed",
        "background": False, "stored": True, "request": {}, "model": "openai/m", "credential_id": None,
        "created_us": 1_700_000_000_999_999, "ended_us": 1_700_000_001_000_000, "branch_id": None,
    }  # fmt: skip
    for name in ("id", "owner_id", "author_id", "conversation_id"):
        usual[name] = ID
    return Run(**usual | fields)


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize(
    "fields",
    [
        {"usage": Usage(3, 5, 1, 2)},
        {"conversation_id": None, "stored": False, "usage": None},
        {"state": "failed", "error": RunError("server_error", 'it said "no"\u2029')},
        {
            "state": "incomplete",
            "incomplete_reason": "max_output_tokens",
            "branch_id": ID,
            "background": True,
        },
        {"model": "ünï\u0085/\\", "metadata": '{"k": "v", "n": "\u2028"}'},
    ],
)
def test_a_response_has_the_same_bytes_either_way(echo: dict[str, Any], fields: dict[str, Any]) -> None:
    run = run_with(request=echo, **fields)
    outputs = [{"id": "msg_" + ID, "type": "message", "content": []}]
    assert response_bytes(run, encode_object(outputs)) == encode_object(response_object(run, outputs))
    for state in ("queued", "in_progress"):
        began = response_object(run, [])
        began.update(status=state, completed_at=None, error=None, incomplete_details=None, usage=None)
        assert response_bytes(run, b"[]", began_as=state) == encode_object(began)

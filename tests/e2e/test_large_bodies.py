"""The largest body that is allowed costs few copies of itself and keeps nobody waiting."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import pytest

from tests.e2e.server_process import ServerProcess, running, upstream_settings
from tests.e2e.watcher import STALLS, begin_peak, longest_stall, pace, peak_bytes
from tests.harness.upstream import Upstream

pytestmark = pytest.mark.alone

MIB = 1 << 20
BODY = 32 * MIB
STALL = 0.085
"""Seconds of the event loop's own work at a time: 30 ms were measured, 100 when it read and hashed too."""
ATTEMPTS = 3
"""Beside busy neighbours a core's work takes up to twice its time now and then; work left there, always."""
COPIES = 4.5
"""What is held at the most, in bodies: four were measured (what was decoded, the item, and two on the way to
the disk), six before."""
MODEL = "openai/burst-n4"


@pytest.fixture(scope="module")
def node(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = upstream_settings(upstream, DRAIN_SECONDS="1")
    with running(tmp_path_factory.mktemp("large"), settings, patch=STALLS) as server:
        yield server


@cache
def picture() -> str:
    return "data:image/png;base64," + base64.b64encode(os.urandom(BODY * 3 // 4 - 1024)).decode()


def responses(text: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    parts = [{"type": "input_text", "text": text}, {"type": "input_image", "image_url": picture()}]
    return "/v1/responses", {"model": MODEL, "input": [{"role": "user", "content": parts}], **fields}


def chat(text: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": picture()}}]
    return "/v1/chat/completions", {
        "model": MODEL,
        "messages": [{"role": "user", "content": parts}],
        **fields,
    }


REQUESTS = {
    "a response": (responses, {}),
    "one that is not stored": (responses, {"store": False}),
    "a completion": (chat, {}),
    "one that is stored": (chat, {"store": True}),
}


@pytest.mark.parametrize("what", REQUESTS)
@pytest.mark.parametrize("key", [False, True])
def test_a_picture_as_large_as_may_be(node: ServerProcess, what: str, key: bool) -> None:
    ask, fields = REQUESTS[what]
    stalls = []
    for attempt in range(ATTEMPTS):
        # A history of its own each time: none is read back.
        path, body = ask(f"attempt {attempt}, with a key: {key}", **fields)
        raw = json.dumps(body).encode()
        assert 0.99 * BODY < len(raw) <= BODY
        headers = {"content-type": "application/json"}
        if key:
            headers["idempotency-key"] = f"{what} {attempt}"
        longest_stall(node)
        before = begin_peak(node)
        url = f"http://127.0.0.1:{node.port}{path}"
        response = httpx.post(url, content=raw, headers=headers, timeout=60, trust_env=False)
        assert response.status_code == 200, response.text[:500]
        grown = peak_bytes(node) - before
        assert grown <= COPIES * BODY, f"{grown / MIB:.0f} MiB more"
        stalls.append(longest_stall(node))
        if stalls[-1] <= STALL or stalls[-1] <= STALL * pace():
            return
    raise AssertionError(f"the event loop was busy for {stalls} s at a time, at a pace of {pace():.1f}")

"""A server whose SECRET_KEY does not fit its stored secrets does not start, and says what to do."""

from __future__ import annotations

import json
import secrets
import urllib.request
from pathlib import Path

from tests.e2e.server_process import ServerProcess, upstream_settings
from tests.harness.upstream import Upstream, upstream_in_thread

STORED = "sk-canary-a91c7be05d2f4863"


def ask(server: ServerProcess, method: str, path: str, body: object = None) -> dict[str, object]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}", method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=20) as response:
        found: dict[str, object] = json.load(response)
    return found


def sent_key(server: ServerProcess, upstream: Upstream) -> str:
    upstream.reset()
    ask(server, "POST", "/v1/responses", {"model": "openai/n1", "input": "x"})
    (request,) = upstream.stats()["requests"].values()
    return str(request["authorization"])


def started(server: ServerProcess, **settings: str) -> None:
    server.stop()
    server.settings.update(settings)
    server.start()


def test_a_rotation_and_a_wrong_key(tmp_path: Path) -> None:
    old, new = secrets.token_hex(32), secrets.token_hex(32)
    with upstream_in_thread() as upstream:
        server = ServerProcess(tmp_path, upstream_settings(upstream, SECRET_KEY=old))
        try:
            server.start()
            ask(server, "PUT", "/v1/admin/providers/openai/key", {"key": STORED})
            assert sent_key(server, upstream) == f"Bearer {STORED}"
            server.stop()
            server.settings["SECRET_KEY"] = new
            server.launch()
            assert server.wait(30) != 0
            for word in ("SECRET_KEY does not open", "provider_key:openai", "SECRET_KEY_PREVIOUS"):
                assert word in server.log
            started(server, SECRET_KEY=new, SECRET_KEY_PREVIOUS=old)
            assert sent_key(server, upstream) == f"Bearer {STORED}"
            started(server, SECRET_KEY_PREVIOUS="")
            assert sent_key(server, upstream) == f"Bearer {STORED}"
            held = b"".join(path.read_bytes() for path in server.data.rglob("*") if path.is_file())
            for secret in (STORED, old, new):
                assert secret.encode() not in held and secret not in server.log
            started(server, SECRET_KEY=old, DISCARD_UNREADABLE_SECRETS="true")
            assert "provider_key:openai" in server.log and sent_key(server, upstream) != f"Bearer {STORED}"
        finally:
            server.stop()

"""The guard with nothing replaced: real names, real addresses, a resolver that changes its mind (T12, T13).

Everything runs in a network namespace of its own, where 169.254.169.254 and a public address lie on
the loopback interface. Where the system gives users no namespaces the test says so and is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.project_files import ROOT

UNSHARE = ["unshare", "--map-root-user", "--net", "--mount"]


def has_namespaces() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(not has_namespaces(), reason="no network namespaces for users here")


def run(directory: Path, *urls: str) -> dict[str, Any]:
    """Fetch in a namespace whose only name server is the program's own."""
    resolver = directory / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    program = 'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"'
    module = [sys.executable, "-m", "tests.providers.namespace_program", *urls]
    command = [*UNSHARE, "sh", "-c", program, str(resolver), *module]
    environment = dict(os.environ) | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@needs_namespaces
def test_no_name_and_no_redirect_leads_into_the_private_network(tmp_path: Path) -> None:
    refused = [
        "http://private.test/", "http://metadata.google.internal/computeMetadata/v1/", "http://mixed.test/",
        "http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/", "http://[64:ff9b::a9fe:a9fe]/", "http://0251.0376.0251.0376/",
        "http://2852039166/", "http://0xa9fea9fe/", "http://169.254.43518/", "http://127.1/",
        "http://localhost/", "http://[::1]/", "http://0/", "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/",
        "http://public.test/to?http://127.0.0.1/", "http://public.test/to?http://169.254.169.254/",
        "http://public.test/to?http://private.test/", "http://public.test/to?//127.0.0.1/",
        "http://public.test/to?http://public.test/to?http://[::1]/", "http://public.test/to?file:///etc/passwd",
        "http://public.test/to?gopher://127.0.0.1/", "http://nobody.test/",
    ]  # fmt: skip
    found = run(tmp_path, *refused, "http://public.test/ok", "http://public.test/to?http://back.test/ok")
    assert {url: found["said"][url] for url in refused} == dict.fromkeys(refused, "url_not_allowed")
    assert found["said"]["http://public.test/ok"] == "ok", "the public address is one, or nothing is proved"
    assert found["said"]["http://public.test/to?http://back.test/ok"] == "ok"
    assert set(found["hits"]) == {"public"}, "no connection to 127.0.0.1, ::1 or 169.254.169.254"


@needs_namespaces
def test_a_name_that_changes_its_mind_is_judged_where_it_is_connected_to(tmp_path: Path) -> None:
    urls = ["http://rebind.test/ok", "http://rebind.test/ok?again"]
    found = run(tmp_path, *urls)
    assert found["said"] == {urls[0]: "ok", urls[1]: "url_not_allowed"}
    assert found["hits"] == {"public": 1}
    assert found["asked"]["rebind.test"] == 2, "one question a connection: none is judged by another's answer"


@needs_namespaces
def test_a_name_that_turns_private_between_two_hops_is_refused(tmp_path: Path) -> None:
    found = run(tmp_path, "http://rebind.test/to?http://rebind.test/ok")
    assert set(found["said"].values()) == {"url_not_allowed"} and found["hits"] == {"public": 1}


@needs_namespaces
def test_every_fetch_has_an_end_in_time_size_and_hops_whatever_its_sender_forgot(tmp_path: Path) -> None:
    urls = [f"http://public.test/{page}" for page in ("bomb", "endless", "loop", "drip")]
    found = run(tmp_path, *urls)
    assert found["said"] == {
        urls[0]: "OutboundTooLarge", urls[1]: "OutboundTooLarge", urls[2]: "OutboundError",
        urls[3]: "OutboundTimeout",
    }  # fmt: skip
    assert found["hits"] == {"public": 1 + 1 + 11 + 1}

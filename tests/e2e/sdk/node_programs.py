"""Runs the programs under `node/`, installing their packages first if that has not been done."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.sdk.launch import clean_environment

FOLDER = Path(__file__).parent / "node"
STAMP = FOLDER / "node_modules" / ".installed-from"
OLDEST_NODE = 20
INSTALL_SECONDS = 300
RUN_SECONDS = 300
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH")


def require_node() -> None:
    """Skip, saying why, where the Node clients cannot run; install them where they can."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("NODE CLIENTS NOT TESTED: node and npm are not on the PATH")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"NODE CLIENTS NOT TESTED: they need Node {OLDEST_NODE}, this is {version.strip()}")
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return
    done = subprocess.run(["npm", "ci"], cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if done.returncode != 0:
        if any(code in done.stderr for code in NO_NETWORK):
            pytest.skip("NODE CLIENTS NOT TESTED: npm ci reached no package registry")
        pytest.fail(f"npm ci failed:\n{done.stdout}\n{done.stderr}")
    STAMP.write_text(wanted)


class Findings:
    """What a program's cases found; asking for one that failed fails the test with its error."""

    def __init__(self, cases: dict[str, dict[str, Any]]) -> None:
        self._cases = cases

    def __getitem__(self, case: str) -> Any:
        result = self._cases[case]
        assert "error" not in result, f"case {case}:\n{result['error']}"
        return result.get("found")


def run_program(name: str, base_url: str) -> Findings:
    """Run one program against a server and return what its cases found."""
    done = subprocess.run(
        ["node", name, base_url],
        cwd=FOLDER,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return Findings(json.loads(done.stdout))

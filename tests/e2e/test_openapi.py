"""The server holds what its own OpenAPI document says, under generated requests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.server_process import ServerProcess

SEED = "20261121"
EXAMPLES = "8"

UNSAID = "positive_data_acceptance"
"""Left out: rules between fields (one of two ids, an input that is not empty, a known item type) are
answered 400 by OpenAI's own server too, and a JSON schema that said them all would help no reader."""


def test_schemathesis_finds_nothing(node: ServerProcess, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    command = [
        str(program), "run", f"http://127.0.0.1:{node.port}/openapi.json", "--seed", SEED, "-n", EXAMPLES,
        "--exclude-checks", UNSAID, "--request-timeout", "20", "--max-failures", "20", "--no-color",
    ]  # fmt: skip
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=dict(os.environ), check=False
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    assert "41/41" in result.stdout or "Tested" in result.stdout
    assert node.health() == 200

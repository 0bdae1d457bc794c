"""What a server says with a status that is no success, as far as it comes soon."""

from __future__ import annotations

import asyncio
from typing import Final

from antiphon.ports.outbound import OutboundError, OutboundResponse

MAX_ERROR_BYTES: Final = 64 * 1024
ERROR_BODY_SECONDS: Final = 5.0


async def error_body(response: OutboundResponse) -> bytes:
    """Return the first 64 KiB of a refusal's body, as far as they come soon."""
    body = b""
    try:
        async with asyncio.timeout(ERROR_BODY_SECONDS):
            while len(body) < MAX_ERROR_BYTES and (received := await response.read()):
                body += received
        response.finish()
    except (OutboundError, TimeoutError):
        pass  # the status says enough
    finally:
        response.close()
    return body[:MAX_ERROR_BYTES]

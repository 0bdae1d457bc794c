"""The sending half of a connection, where one call of ``send`` is one write to the socket."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Final

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Wire:
    """Writes past the event loop's transport, which would join what is written in one turn of the loop.

    The transport is used only for what the kernel did not take.
    """

    __slots__ = ("_fd", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._fd: int = transport.get_extra_info("socket").fileno()

    @property
    def closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._transport.is_closing()

    def send(self, data: bytes) -> None:
        """Write ``data`` now; does nothing on a closing connection."""
        transport = self._transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size():
            transport.write(data)
            return
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            transport.abort()
            return
        if sent < len(data):
            transport.write(data[sent:])

    def close(self) -> None:
        """End the connection after what is still buffered."""
        self._transport.close()

    def half_close(self) -> None:
        """FIN from our side only; does nothing on a closing connection."""
        if not self._transport.is_closing():
            self._transport.write_eof()

    def reset(self) -> None:
        """RST, dropping what is still buffered; does nothing on a closing connection."""
        if not self._transport.is_closing():
            reset(self._transport)


def reset(transport: asyncio.WriteTransport) -> None:
    """Close ``transport`` with a TCP reset."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()

"""Whose request it is that a proxy passes on: the address in `X-Forwarded-For`, as far as it can be believed.

Each proxy appends the address it was called from, so only what trusted ones wrote is true: the list is read
from its end, and the first address that is no trusted proxy's is the client's. What stands before it is
the client's own invention.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from antiphon.api.http import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

HEADER: Final = b"x-forwarded-for"
_MOST_HOPS: Final = 32


def client_address(scope: Scope, trusted: Iterable[Network]) -> str:
    """Return the address a request came from, "" where it has none (a socket file)."""
    client = scope.get("client")
    if not client:
        return ""
    peer, networks = str(client[0]), tuple(trusted)
    if not networks:
        return peer
    found = _address_in(peer)
    if found is None:
        return peer
    for entry in _entries(scope):
        if not _is_in(found, networks):
            break
        further = _address_in(entry)
        if further is None:  # "unknown", or a name: what is known ends here
            break
        found = further
    return str(found)


def _entries(scope: Scope) -> list[str]:
    """Return what the proxies appended, the nearest first; several headers are one list (RFC 9110 §5.3)."""
    joined = b",".join(value for name, value in scope["headers"] if name == HEADER)
    parts = joined.rsplit(b",", _MOST_HOPS)[-_MOST_HOPS:]
    return [part.decode("latin-1").strip() for part in reversed(parts)]


def _address_in(entry: str) -> Address | None:
    """Read an address, which may have a port (`1.2.3.4:80`, `[::1]:80`); an IPv4 one in IPv6 is that one."""
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    try:
        address = ipaddress.ip_address(entry)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)

"""Where a URL leads, and whether anybody may be sent there.

Python's `ipaddress` is no guard: `is_private` is False for 64:ff9b::a9fe:a9fe (NAT64),
2002:7f00:1:: (6to4), ::127.0.0.1, 100.64.0.1, fec0::1 and 224.0.0.1. So the rule is turned
round: only global unicast passes, and an address that carries another inside is judged by that
one too. The judgement is made on the address that is connected to, after resolving, because
`2130706433`, `0x7f.1`, `127.1` and `①②⑦.⓪.⓪.①` are all spellings of 127.0.0.1.

Sources: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890), RFC 6052 (NAT64),
RFC 3056 (6to4), RFC 4380 (Teredo), RFC 5214 (ISATAP), RFC 4291 (IPv4-compatible, mapped).
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import msgspec

from antiphon.domain.errors import InvalidRequest

MAX_URL: Final = 8192
REFUSAL: Final = "The URL cannot be used: it must be http or https and lead to a public address."

_PORTS: Final = {"http": 80, "https": 443}
_IN_PATH: Final = "/%:@!$&'()*+,;=~-._"
_IN_QUERY: Final = _IN_PATH + "?[]"

_REFUSED_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this network"; 0.0.0.0 reaches the host itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and Alibaba's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent, in otherwise public space
        "169.254.0.0/16",  # link-local, metadata services of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, and Oracle's metadata service
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_REFUSED_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",
        "3fff::/20",
    )
)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_6TO4: Final = IPv6Network("2002::/16")
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)


class Target(msgspec.Struct, frozen=True):
    """A URL taken apart once, so that what is checked and what is connected to are the same.

    `path` is ready to be sent; `authorization` comes from user and password in the URL.
    """

    scheme: str
    host: str
    port: int
    path: str
    authorization: str | None = None

    @property
    def host_header(self) -> str:
        """The host as it is sent, with the port if it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL again, without credentials."""
        return f"{self.scheme}://{self.host_header}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What a connection can be shared for."""
        return self.scheme, self.host, self.port


def refused() -> InvalidRequest:
    """Return the one error for every URL that may not be used, whatever the reason."""
    return InvalidRequest(REFUSAL, code="url_not_allowed")


@lru_cache(maxsize=256)
def take_apart(url: str, *, credentials: bool) -> Target:
    """Return where a URL leads; raises InvalidRequest `url_not_allowed`. Few are asked often: remembered.

    Refuses what parsers read in different ways: control characters, white space and backslashes
    before the path, an odd port, and a user part unless `credentials` are allowed.
    """
    if len(url) > MAX_URL or any(c <= " " or c == "\\" or c == "\x7f" for c in url):
        raise refused()
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii") if parts.hostname else ""
    except (ValueError, UnicodeError):
        raise refused() from None
    if parts.scheme not in _PORTS or not host or port == 0:
        raise refused()
    if "@" in parts.netloc and not credentials:
        raise refused()
    path = quote(parts.path, safe=_IN_PATH) or "/"
    if parts.query:
        path += "?" + quote(parts.query, safe=_IN_QUERY)
    authorization = _basic(parts.username, parts.password)
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], path, authorization)


def _basic(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return "Basic " + b64encode(pair.encode()).decode()


def is_public(address: str) -> bool:
    """Return whether an IP address, with or without a scope, is global unicast all the way in."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv4Address):
        return not any(found in network for network in _REFUSED_V4)
    return "%" not in address and _is_public_v6(found)


def _is_public_v6(address: IPv6Address) -> bool:
    number = int(address)
    if address in _MAPPED or address in _NAT64:
        return is_public(str(IPv4Address(number & 0xFFFF_FFFF)))
    if address not in _GLOBAL_V6 or any(address in network for network in _REFUSED_V6):
        return False
    if address in _6TO4:
        return is_public(str(IPv4Address(number >> 80 & 0xFFFF_FFFF)))
    if number >> 32 & 0xFFFF_FFFF in _ISATAP:
        return is_public(str(IPv4Address(number & 0xFFFF_FFFF)))
    return True

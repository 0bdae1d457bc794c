"""Where a Redis lies, as `REDIS_URL` says it: one server, a Sentinel's, or a cluster.

    redis://[name:password@]host[:port][/database]            one server; rediss:// with TLS
    unix:///path/to/socket[?db=N]
    redis+sentinel://[name:password@]host:port,…/SERVICE[/database]
    redis+cluster://[name:password@]host:port,…

The last two are how the `limits` library and others write them; `rediss+…` is the same with TLS.
"""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

Kind = Literal["single", "sentinel", "cluster"]
NO_HOST: Final = "names no host and port that can be read; / @ and ? in a password are percent-encoded"
PORT: Final = 6379
SENTINEL_PORT: Final = 26379
SCHEMES: Final[dict[str, tuple[Kind, bool]]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "unix": ("single", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
"""What a scheme means: the kind, and whether the way there is encrypted."""
OF_TLS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"})
OF_SENTINELS: Final = {"sentinel_username": "username", "sentinel_password": "password"}
MOST_DATABASES: Final = 10_000


class RedisAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A Redis. `nodes` are the sentinels' or some of the cluster's; none where it is a socket's `path`.

    `service` is what Sentinel calls it; `sentinel_login` how the sentinels are logged into. `tls` says
    which certificates are used, by redis-py's names.
    """

    kind: Kind
    nodes: tuple[tuple[str, int], ...]
    is_encrypted: bool = False
    path: str | None = None
    username: str | None = None
    password: str | None = None
    database: int = 0
    service: str = ""
    tls: dict[str, str] = {}
    sentinel_login: dict[str, str] = {}


def parse_redis_url(url: str) -> RedisAddress:
    """Return what a URL names; raises ValueError with the rest of a sentence that never quotes it."""
    scheme, separator, rest = url.strip().partition("://")
    if scheme in ("http", "https"):
        raise ValueError("is a REST address; give the one that begins with rediss:// or redis://")
    if not separator or scheme not in SCHEMES:
        raise ValueError(f"begins with one of: {', '.join(f'{known}://' for known in SCHEMES)}")
    kind, is_encrypted = SCHEMES[scheme]
    netloc, _, tail = rest.partition("?")[0].partition("/")
    if scheme != "unix" and "@" in tail:
        raise ValueError(NO_HOST)
    login, _, hosts = netloc.rpartition("@")
    options = _options(url, kind, is_encrypted=is_encrypted)
    username, _, password = login.partition(":")
    service, database = _path(scheme, kind, tail, options.pop("db", None))
    return RedisAddress(
        kind=kind,
        nodes=() if scheme == "unix" else _nodes(hosts, kind),
        is_encrypted=is_encrypted,
        path=f"/{unquote(tail)}" if scheme == "unix" else None,
        username=unquote(username) or None,
        password=unquote(password) or None,
        database=database,
        service=service,
        tls={name: value for name, value in options.items() if name in OF_TLS},
        sentinel_login={OF_SENTINELS[name]: value for name, value in options.items() if name in OF_SENTINELS},
    )


def _options(url: str, kind: Kind, *, is_encrypted: bool) -> dict[str, str]:
    known = (
        {"db"} | (OF_TLS if is_encrypted else set()) | (OF_SENTINELS.keys() if kind == "sentinel" else set())
    )
    options = dict(parse_qsl(url.strip().partition("?")[2], keep_blank_values=True))
    unknown = sorted(options.keys() - known)
    if unknown:
        raise ValueError(f"has options that are not known here: {', '.join(unknown)}")
    if options.get("ssl_cert_reqs", "required") not in ("required", "none"):
        raise ValueError("has an ssl_cert_reqs that is neither 'required' nor 'none'")
    return options


def _path(scheme: str, kind: Kind, tail: str, option: str | None) -> tuple[str, int]:
    """Return the service and the database that a path and the option `db` name."""
    if scheme == "unix":
        if not tail:
            raise ValueError("names no socket: unix:///path/to/socket")
        return "", _database(option)
    parts = [unquote(part) for part in tail.split("/") if part]
    service = ""
    if kind == "sentinel":
        if not parts:
            raise ValueError("names no service: redis+sentinel://host:26379,host:26379/SERVICE")
        service, *parts = parts
    if len(parts) > 1:
        raise ValueError("has a path with too many parts")
    database = _database(parts[0] if parts else option)
    if kind == "cluster" and database:
        raise ValueError("names a database, but a cluster has number 0 only")
    return service, database


def _database(text: str | None) -> int:
    if text is None or text == "":
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < MOST_DATABASES):
        raise ValueError("names a database that is no number")
    return int(text)


def _nodes(hosts: str, kind: Kind) -> tuple[tuple[str, int], ...]:
    nodes = tuple(_node(host, SENTINEL_PORT if kind == "sentinel" else PORT) for host in hosts.split(","))
    if kind == "single" and len(nodes) > 1:
        raise ValueError(
            "names several servers; a cluster is redis+cluster://, a Sentinel's redis+sentinel://"
        )
    return nodes


def _node(text: str, usual: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text.strip()}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or "@" in text:
        raise ValueError(NO_HOST)
    return host, port or usual

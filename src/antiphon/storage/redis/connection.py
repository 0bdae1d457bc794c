"""One client for all adapters, of a single server, a Sentinel's or a cluster; it connects when it is used."""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection

from antiphon.domain.redis_address import RedisAddress

CONNECTIONS: Final = 20
"""Of each server; more calls at once take turns. One is held until the answer, half a millisecond or so."""
NAME: Final = "antiphon"

Client = Redis | RedisCluster


def connect(address: RedisAddress, *, seconds: float) -> Client:
    """Return a client; `seconds` is how long connecting and an answer may each take."""
    options = _options(address, seconds)
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.nodes]
        # With a node that is gone the others go on; what lay there is then counted by each server itself.
        return RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)
    options["db"] = address.database
    if address.kind == "sentinel":
        return _by_sentinel(address, options)
    if address.path is not None:
        return Redis(unix_socket_path=address.path, **options)
    ((host, port),) = address.nodes
    return Redis(host=host, port=port, **options)


def _by_sentinel(address: RedisAddress, options: dict[str, Any]) -> Redis:
    """Return a client of whichever server the sentinels call the master; they are asked at each connect."""
    own = {name: value for name, value in options.items() if name not in ("db", "username", "password")}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        address.nodes, sentinel_kwargs={**own, **address.sentinel_login}, **options
    )
    client: Redis = sentinels.master_for(address.service)
    return client


def _options(address: RedisAddress, seconds: float) -> dict[str, Any]:
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        "socket_connect_timeout": seconds,
        "socket_timeout": seconds,
        "max_connections": CONNECTIONS,
        "client_name": NAME,
        # The older protocol and no library's name: proxies and older servers know nothing else.
        "protocol": 2,
        "driver_info": None,
        # Servers close what was idle for long: the first call afterwards begins again, once.
        "retry": Retry(NoBackoff(), 1, supported_errors=(LostConnection,)),
    }
    if address.is_encrypted:
        options |= {"ssl": True, **address.tls}
        options["ssl_check_hostname"] = address.tls.get("ssl_cert_reqs") != "none"
    return options

"""REDIS_URL: every documented form is understood, everything else refused with a sentence without secrets."""

from __future__ import annotations

import pytest

from antiphon.domain.redis_address import RedisAddress, parse_redis_url


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        ("redis://cache", {"nodes": (("cache", 6379),)}),
        (" redis://[::1]:7000/3 ", {"nodes": (("::1", 7000),), "database": 3}),
        ("redis://h?db=2", {"nodes": (("h", 6379),), "database": 2}),
        ("redis://:p%40ss%20word%25@h", {"nodes": (("h", 6379),), "password": "p@ss word%"}),
        (
            "rediss://default:Ab_9@eu1-x.upstash.io:6380",
            {
                "nodes": (("eu1-x.upstash.io", 6380),), "username": "default", "password": "Ab_9",
                "is_encrypted": True,
            },
        ),
        (
            "rediss://h?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=none",
            {
                "nodes": (("h", 6379),), "is_encrypted": True,
                "tls": {"ssl_ca_certs": "/etc/ca.pem", "ssl_cert_reqs": "none"},
            },
        ),
        ("unix:///run/redis/r.sock?db=1", {"nodes": (), "path": "/run/redis/r.sock", "database": 1}),
        ("unix://:pw@/run/r", {"nodes": (), "path": "/run/r", "password": "pw"}),
        (
            "redis+sentinel://u:p@a:1,b/chats/2?sentinel_password=x&sentinel_username=y",
            {
                "kind": "sentinel", "nodes": (("a", 1), ("b", 26379)), "service": "chats", "database": 2,
                "username": "u", "password": "p", "sentinel_login": {"username": "y", "password": "x"},
            },
        ),
        (
            "rediss+cluster://a,b:7001/",
            {"kind": "cluster", "nodes": (("a", 6379), ("b", 7001)), "is_encrypted": True},
        ),
        ("redis+cluster://a/0", {"kind": "cluster", "nodes": (("a", 6379),)}),
    ],
)  # fmt: skip
def test_what_a_url_names_is_understood(url: str, fields: dict[str, object]) -> None:
    assert parse_redis_url(url) == RedisAddress(**{"kind": "single", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "begins with"),
        ("localhost:6379", "begins with"),
        ("mysql://hunter2@h", "begins with"),
        ("https://hunter2.upstash.io", "REST address"),
        ("redis://", "no host"),
        ("redis://:hunter2/x@h", "no host"),
        ("redis://a:hunter2@b@c:x", "no host"),
        ("redis://h:port", "no host"),
        ("redis://h:99999", "no host"),
        ("redis://[::1", "no host"),
        ("redis://:hunter2@h,h2", "several servers"),
        ("redis://h/x", "no number"),
        ("redis://h/-1", "no number"),
        ("redis://h/1/2", "too many parts"),
        ("redis://h?ssl_ca_certs=x", "not known here: ssl_ca_certs"),
        ("redis://h?password=hunter2", "not known here: password"),
        ("rediss://h?ssl_cert_reqs=hunter2", "neither"),
        ("unix://", "no socket"),
        ("redis+sentinel://a,b", "no service"),
        ("redis+cluster://a/1", "number 0 only"),
    ],
)
def test_everything_else_is_refused_with_a_sentence_that_quotes_no_secret(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        parse_redis_url(url)
    assert "hunter2" not in str(refused.value)

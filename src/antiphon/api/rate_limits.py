"""The `x-ratelimit-*` headers in OpenAI's formats: of each metric the limit with the least left."""

from __future__ import annotations

from collections.abc import Iterable

from antiphon.domain.limits import Standing, tightest


def headers_of(standings: Iterable[Standing]) -> list[tuple[bytes, bytes]]:
    """Return the headers that tell a caller where it stands; none without limits."""
    found = tightest(standings)
    headers: list[tuple[bytes, bytes]] = []
    for metric in ("requests", "tokens"):
        one = found.get(metric)
        if one is not None:
            for name, value in (
                ("limit", str(one.limit.amount)),
                ("remaining", str(one.remaining)),
                ("reset", duration(one.reset_seconds)),
            ):
                headers.append((f"x-ratelimit-{name}-{metric}".encode(), value.encode()))
    return headers


def duration(seconds: float) -> str:
    """Return a time as OpenAI writes it: `250ms`, `8s`, `6m0s`, `23h4m0s`."""
    if seconds < 1:
        return f"{max(int(seconds * 1000), 0)}ms"
    minutes, rest = divmod(-int(-seconds // 1), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"

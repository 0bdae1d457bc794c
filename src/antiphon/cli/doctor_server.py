"""What the doctor asks of the server itself: who has the port, and which providers answer through it."""

import socket
from collections import Counter
from collections.abc import Iterator

from antiphon.bootstrap.providers import provider_specs
from antiphon.cli.api_client import ApiClient, ApiError, ClientError
from antiphon.cli.configuration import base_url_of
from antiphon.cli.findings import Finding, State
from antiphon.domain.errors import AntiphonError
from antiphon.settings import Settings


def server_and_providers(settings: Settings, api_key: str | None) -> Iterator[Finding]:
    client = ApiClient(base_url_of(settings.host, settings.port), api_key)
    port, answering = port_state(settings.host, settings.port, client)
    yield port
    try:
        configured = [spec.name for spec in provider_specs(settings)]
    except (AntiphonError, ValueError) as error:
        yield Finding("providers", State.FAIL, str(error), "see .env.example")
    else:
        yield from providers(configured, client if answering else None)


def port_state(host: str, port: int, client: ApiClient) -> tuple[Finding, bool]:
    """Who has the port, and whether it is a server of ours."""
    try:
        client.get("/health")
    except ApiError as error:
        if error.status >= 500 and error.code is not None:  # an error of our shape, which others have not
            unwell = f"the server at {client.base_url} cannot serve: {error}"
            return Finding("server", State.FAIL, unwell), True
        return _foreign(port, f"answers {error.status} at /health"), False
    except ClientError:
        return _free_port(host, port), False
    return Finding("port", State.OK, f"a server answers at {client.base_url}"), True


def _foreign(port: int, what: str) -> Finding:
    return Finding("port", State.FAIL, f"{port} {what}", "stop the other program or choose another PORT")


def _free_port(host: str, port: int) -> Finding:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return _foreign(port, f"cannot be bound on {host}: {error.strerror}")
    return Finding("port", State.OK, f"{port} is free")


def providers(configured: list[str], client: ApiClient | None) -> Iterator[Finding]:
    """One finding for each configured provider: the models it has now, seen through the running server."""
    if not configured:
        yield Finding("providers", State.WARN, "none configured", "set GROQ_API_KEY, OPENAI_API_KEY, …")
    elif client is None:
        names = ", ".join(configured)
        yield Finding("providers", State.SKIP, f"{names}: not asked", "start the server to check them")
    else:
        yield from _reachable(configured, client)


def _reachable(configured: list[str], client: ApiClient) -> Iterator[Finding]:
    try:
        models = client.get("/v1/models").get("data", [])
    except ApiError as error:
        hint = "give a key with --api-key" if error.status in {401, 403} else None
        yield Finding("providers", State.SKIP if hint else State.FAIL, f"models not listed: {error}", hint)
        return
    except ClientError as error:
        yield Finding("providers", State.FAIL, str(error))
        return
    counts = Counter(str(model["id"]).partition("/")[0] for model in models)
    for name in configured:
        if counts[name]:
            yield Finding(name, State.OK, f"{counts[name]} models")
        else:
            yield Finding(name, State.FAIL, "no models", "check its address, its key and the network")

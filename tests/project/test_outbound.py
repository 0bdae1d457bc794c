"""Only the guarded client opens connections: everything else asks it through port `outbound`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from scripts.project_files import ROOT

SOURCE = ROOT / "src" / "antiphon"

MODULES = {
    "aiohttp", "anyio", "authlib.integrations", "ftplib", "http.client", "httpcore", "httpx", "httpx2",
    "imaplib", "nntplib", "poplib", "pycurl", "requests", "smtplib", "socket", "telnetlib", "urllib.request",
    "urllib3", "websocket", "websockets", "xmlrpc",
}  # fmt: skip
"""What can open a connection by a URL or an address."""

CALLS = {
    "connect_ex", "connect_tcp", "create_connection", "create_datagram_endpoint", "create_unix_connection",
    "getaddrinfo", "gethostbyname", "open_connection", "open_unix_connection", "sock_connect", "urlopen",
}  # fmt: skip
"""Methods of event loops and sockets that do so without an import that tells."""

ALLOWED = {
    "providers/http_client.py": {"socket", "create_connection", "getaddrinfo"},
    "process.py": {"socket"},  # listens, and sets options of what it accepts
    "cli/doctor_server.py": {"socket", "getaddrinfo"},  # whether the port to listen on is free
    "parsers/process.py": {"socket", "open_connection"},  # a pair of sockets to the reader of a document
    "parsers/zygote_link.py": {"socket", "open_connection"},  # a pair of sockets to the process it starts
    "parsers/zygote.py": {"socket"},  # the other one of the pair
    "cli/api_client.py": {"http.client"},  # the command line is a client of the server it is told
    "cli/alive.py": {"http.client"},  # a container asks the server in it
}


def openers(source: str) -> Iterator[str]:
    """Everything in a module that can open a connection."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute):
            yield from {node.attr} & CALLS
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield from {node.func.id} & CALLS
        for name in names:
            yield from (module for module in MODULES if name == module or name.startswith(f"{module}."))


def test_no_other_module_opens_connections() -> None:
    found = {
        str(path.relative_to(SOURCE)): seen
        for path in sorted(SOURCE.rglob("*.py"))
        if (seen := set(openers(path.read_text("utf-8"))))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "line",
    [
        "import httpx", "import httpx as web", "from httpx import get", "import urllib.request",
        "from urllib import request", "from urllib.request import urlopen", "from http import client",
        "def f():\n    import requests", "async def f(loop):\n    await loop.create_connection(P, h, 1)",
        "from asyncio import open_connection\nopen_connection('a', 1)",
        "import asyncio\nasyncio.open_connection('a', 1)", "from authlib.integrations.httpx_client import X",
        "import socket as s", "from socket import socket",
    ],
)  # fmt: skip
def test_the_scan_would_notice(line: str) -> None:
    assert set(openers(line))


def test_no_pipe_is_given_to_the_event_loop() -> None:
    """uvloop closes a pipe's number twice, and in between another thread may have opened a file under it."""
    for path in sorted(SOURCE.rglob("*.py")):
        assert not re.search(r"\.connect_(read|write)_pipe\(", path.read_text("utf-8")), path


@pytest.mark.parametrize("line", ["import sqlite3\nsqlite3.connect('x')", "from urllib.parse import urljoin"])
def test_what_is_harmless_is_left_alone(line: str) -> None:
    assert not set(openers(line))

"""A client of the application itself, for when no server runs: it takes the data directory's lock."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from antiphon.cli.api_client import ApiError, Form, Json
from antiphon.process import DirectCalls, direct_calls
from antiphon.settings import Settings

DATABASE = "antiphon.db"


def has_data(settings: Settings) -> bool:
    """Whether a server ever ran in the data directory."""
    return (Path(settings.data_dir) / DATABASE).exists()


@contextmanager
def direct_client(settings: Settings, *, indexing: bool = False) -> Iterator["DirectClient"]:
    """Open the application for the block, on demand with the indexing of documents.

    Raises Unavailable while another process has the directory.
    """
    with direct_calls(settings, indexing=indexing) as calls:
        yield DirectClient(calls)


class DirectClient:
    """The methods of `ApiClient`, without a network."""

    def __init__(self, calls: DirectCalls) -> None:
        self._calls = calls

    def get(self, path: str, **parameters: str | int) -> Json:
        return self._json("GET", f"{path}?{urlencode(parameters)}" if parameters else path)

    def post(self, path: str, body: Json | None = None) -> Json:
        return self._json("POST", path, body or {})

    def patch(self, path: str, body: Json) -> Json:
        return self._json("PATCH", path, body)

    def delete(self, path: str) -> Json:
        return self._json("DELETE", path)

    def upload(self, path: str, file: Path, **fields: str) -> Json:
        form = Form(file, fields)
        return self._answer(*self._calls.request("POST", path, form.pieces(), form.content_type))

    def wait(self, seconds: float) -> None:
        self._calls.wait(seconds)

    def _json(self, method: str, path: str, body: Json | None = None) -> Json:
        content = b"" if body is None else json.dumps(body).encode()
        return self._answer(*self._calls.request(method, path, [content]))

    @staticmethod
    def _answer(status: int, answer: bytes) -> Json:
        value: Json = json.loads(answer or b"{}")
        if status >= 400:
            error = value["error"]
            raise ApiError(status, str(error["message"]), error.get("code"))
        return value

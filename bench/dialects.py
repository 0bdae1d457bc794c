"""How the load generator asks in each dialect, and how it reads the answer without parsing JSON.

Tokens are counted by the mark that ends each plain token of the upstream, see ``tests/harness/tokens.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.harness.tokens import PLAIN_MARK

_MARK: Final = PLAIN_MARK.encode()
_CHAT_END: Final = b"data: [DONE]"
_TAIL_BYTES: Final = 32
_DELTA_EVENT: Final = b"event: response.output_text.delta\n"
_TERMINAL_EVENT: Final = b"event: response.completed\n"
_NAME_WITHIN: Final = 64  # bytes; an id line may stand before the event's name
_PROMPT: Final = "Tell me something, please."


class ChatScanner:
    """Counts tokens in a stream of chat completion chunks."""

    def __init__(self) -> None:
        self.complete = False
        self._tail = b""

    def feed(self, body: bytes) -> int:
        """How many tokens ``body`` brought."""
        end = self._tail + body[-_TAIL_BYTES:]
        self.complete = self.complete or _CHAT_END in end
        self._tail = end[-_TAIL_BYTES:]
        return body.count(_MARK)


class ResponsesScanner:
    """Counts tokens in the text deltas of a stream of response events; later events repeat the text."""

    def __init__(self) -> None:
        self.complete = False
        self._partial = b""

    def feed(self, body: bytes) -> int:
        """How many tokens ``body`` brought."""
        if self._partial:
            body = self._partial + body
        *events, self._partial = body.split(b"\n\n")
        tokens = 0
        for event in events:
            if event.find(_DELTA_EVENT, 0, _NAME_WITHIN) >= 0:
                tokens += event.count(_MARK)
            elif event.find(_TERMINAL_EVENT, 0, _NAME_WITHIN) >= 0:
                self.complete = True
        return tokens


class JsonScanner:
    """Counts tokens in an answer that is not streamed; its end is the end of the message."""

    complete = True

    def feed(self, body: bytes) -> int:
        """How many tokens ``body`` brought."""
        return body.count(_MARK)


Scanner = ChatScanner | ResponsesScanner | JsonScanner


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a question is put and its streamed answer read."""

    path: str
    scanner: type[ChatScanner] | type[ResponsesScanner]
    question: Callable[[str], dict[str, Any]]

    def request(self, model: str, *, streamed: bool, authorization: str = "") -> bytes:
        """The whole HTTP request."""
        body = json.dumps({**self.question(model), "stream": streamed}).encode()
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"{f'Authorization: {authorization}' if authorization else 'Accept: */*'}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


CHAT: Final = Dialect(
    "/v1/chat/completions",
    ChatScanner,
    lambda model: {"model": model, "messages": [{"role": "user", "content": _PROMPT}]},
)
RESPONSES: Final = Dialect(
    "/v1/responses", ResponsesScanner, lambda model: {"model": model, "input": _PROMPT}
)

"""One call of a model: batches of events, waited for or taken now and then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from antiphon.ports.model_provider import ProviderEvent
from antiphon.ports.outbound import OutboundError, OutboundResponse
from antiphon.providers import provider_errors
from antiphon.providers.chat_events import ChatEvents
from antiphon.providers.provider_errors import Blame

MAX_JSON_BYTES: Final = 16 * 1024 * 1024


class ChatAnswer:
    """The stream of one call, an asynchronous iterator; nothing is sent before its first batch is asked for.

    Also port `Pullable`. `post` sends the request and returns a response of status 2xx.
    """

    __slots__ = ("_blame", "_closed", "_post", "_reading", "_response")

    def __init__(self, post: Callable[[], Awaitable[OutboundResponse]], blame: Blame) -> None:
        self._post: Callable[[], Awaitable[OutboundResponse]] | None = post
        self._blame = blame
        self._reading = ChatEvents(blame)
        self._response: OutboundResponse | None = None
        self._closed = False

    def __aiter__(self) -> ChatAnswer:
        """Return itself."""
        return self

    async def __anext__(self) -> Sequence[ProviderEvent]:
        """Return what the next reads complete; raises ProviderError."""
        try:
            while not self._closed:
                if self._reading.error is not None:
                    raise self._reading.error
                if self._reading.done:
                    break
                if events := await self._next():
                    return events
        except OutboundError as error:
            self._close()
            raise provider_errors.from_transport(self._blame, error, begun=self._reading.begun) from error
        except BaseException:
            self._close()
            raise
        if self._response is not None and not self._closed:
            self._response.finish()
        self._close()
        raise StopAsyncIteration

    async def _next(self) -> Sequence[ProviderEvent]:
        response = self._response
        if response is not None:
            return self._reading.feed(await _next_bytes(response, self._reading))
        assert self._post is not None  # noqa: S101 - there is no response yet
        posting, self._post = self._post(), None
        response = self._response = await posting
        received = await _first_bytes(response)
        if received[:1] == b"<":
            raise provider_errors.web_page(self._blame)
        if received[:1] == b"{":
            return self._reading.read_whole(received + await response.read_all(MAX_JSON_BYTES))
        return self._reading.feed(received)

    def pull(self) -> Sequence[ProviderEvent]:
        """See the port."""
        response, reading = self._response, self._reading
        if response is None or reading.done or reading.error is not None:
            return ()
        try:
            received = response.read_nowait()
        except OutboundError:
            return ()  # the iterator says so
        return reading.feed(received) if received else ()

    @property
    def at_end(self) -> bool:
        """See the port."""
        reading, response = self._reading, self._response
        return reading.done or reading.error is not None or (response is not None and response.at_end)

    def on_news(self, callback: Callable[[], None] | None) -> None:
        """See the port."""
        if self._response is not None:
            self._response.on_news = callback

    async def aclose(self) -> None:
        """Close the call at once; does nothing if it has ended."""
        self._close()

    def _close(self) -> None:
        self._closed = True
        if self._response is not None:
            self._response.close()


async def _first_bytes(response: OutboundResponse) -> bytes:
    """Return the first read without leading white space, b"" if there is nothing else."""
    while received := await response.read():
        if stripped := received.lstrip(b" \t\r\n\xef\xbb\xbf"):
            return stripped
    return b""


async def _next_bytes(response: OutboundResponse, reading: ChatEvents) -> bytes:
    """Return the next read; a connection lost after the model's end is an end."""
    try:
        return await response.read()
    except OutboundError:
        if reading.complete:
            return b""
        raise

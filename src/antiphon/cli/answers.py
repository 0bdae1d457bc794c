"""One answer as it arrives, followed across broken connections."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from antiphon.cli.api_client import (
    ApiClient,
    ApiError,
    ClientError,
    ConnectionBroken,
    Json,
    NoServer,
    ServerEvent,
    quoted,
)

TERMINAL = {"response.completed", "response.incomplete", "response.failed", "error"}
TEXT_DELTAS = {"response.output_text.delta", "response.refusal.delta"}
# Together longer than a restarted server needs to come back and settle what it left running.
RETRY_PAUSE_SECONDS = (0.2, 0.5, 1, 2, 3, 5, 5, 5, 5, 5)
WORTH_A_RETRY = {409, 502, 503, 504}


class AnswerStream:
    """The events of one answer, each once and in order, until the terminal one.

    When the connection breaks the stream goes on after the last event seen. If it broke before the server
    named the response, the same request is sent again under the same idempotency key, which joins the
    running answer.
    """

    def __init__(self, client: ApiClient, path: str, body: Json) -> None:
        self.response_id: str | None = None
        self._client = client
        self._path = path
        # Only an answer in the background can be stopped; it is followed like any other.
        self._body = {**body, "stream": True, "background": True}
        self._key = uuid.uuid4().hex
        self._last_seen = -1

    def __iter__(self) -> Iterator[ServerEvent]:
        failures = 0
        while True:
            try:
                for event in self._connect():
                    failures = 0
                    if self._is_new(event):
                        yield event
                    if event.type in TERMINAL:
                        return
                failure: ClientError = ConnectionBroken("the stream ended before the answer did")
            except ClientError as error:
                failure = error
            if not self._may_retry(failure, failures):
                raise failure
            time.sleep(RETRY_PAUSE_SECONDS[failures])
            failures += 1

    def stop(self) -> None:
        """Ask the server to stop generating; does nothing if the answer never began."""
        if self.response_id:
            self._client.post(f"/v1/responses/{quoted(self.response_id)}/cancel")

    def _connect(self) -> Iterator[ServerEvent]:
        if self.response_id is None:
            return self._client.stream("POST", self._path, self._body, idempotency_key=self._key)
        path = f"/v1/responses/{quoted(self.response_id)}?stream=true"
        if self._last_seen >= 0:
            path += f"&starting_after={self._last_seen}"
        return self._client.stream("GET", path)

    def _is_new(self, event: ServerEvent) -> bool:
        response = event.data.get("response")
        if isinstance(response, dict) and isinstance(response.get("id"), str):
            self.response_id = response["id"]
        number = event.sequence_number
        if number is None:
            return True
        if number <= self._last_seen:
            return False
        self._last_seen = number
        return True

    def _may_retry(self, failure: ClientError, failures: int) -> bool:
        begun = failures > 0 or self.response_id is not None
        if failures >= len(RETRY_PAUSE_SECONDS):
            return False
        if isinstance(failure, ApiError):
            return begun and failure.status in WORTH_A_RETRY
        return begun or not isinstance(failure, NoServer)


@dataclass(slots=True)
class Answer:
    """An answer folded from its events."""

    text: str = ""
    status: str = "in_progress"
    problem: str | None = None
    model: str | None = None
    branch_id: str | None = None
    conversation_id: str | None = None

    def apply(self, event: ServerEvent) -> str:
        """Take in an event; the result is the text it added."""
        if event.type in TEXT_DELTAS:
            return self._add(str(event.data.get("delta", "")))
        if event.type == "response.content_part.added" and self.text:
            return self._add("\n\n")
        if event.type == "error":
            self.status, self.problem = "failed", _message(event.data.get("error") or event.data)
        elif isinstance(response := event.data.get("response"), dict):
            self._note(response)
        return ""

    def _add(self, text: str) -> str:
        self.text += text
        return text

    def _note(self, response: Json) -> None:
        self.status = str(response.get("status") or self.status)
        self.model = response.get("model") or self.model
        if response.get("error"):
            self.problem = _message(response["error"])
        elif isinstance(details := response.get("incomplete_details"), dict):
            self.problem = str(details.get("reason", ""))
        ours = response.get("antiphon")
        if isinstance(ours, dict):
            self.branch_id = ours.get("branch_id") or self.branch_id
            self.conversation_id = ours.get("conversation_id") or self.conversation_id


def _message(error: object) -> str:
    if isinstance(error, dict):
        return str(error.get("message") or error.get("code") or error)
    return str(error)

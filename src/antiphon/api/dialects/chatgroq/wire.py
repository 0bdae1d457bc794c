"""The shapes of ChatGroq's API: request bodies, and examples as its document prints them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

Name = Annotated[str, Field(min_length=1, max_length=1024)]
Message = Annotated[str, Field(min_length=1)]


class Login(BaseModel):
    """What one logs in with."""

    username: Name
    password: Name


class NewCredentials(BaseModel):
    """What one logs in with from now on."""

    new_username: Name
    new_password: Name


class Test(BaseModel):
    """A message to try the provider with."""

    message: Message


class ChatMessage(BaseModel):
    """A message in a session; without one a new one is made."""

    message: Message
    session_id: str | None = None


LOGIN: Final = {"username": "admin", "password": "admin123"}
TOKEN: Final = {
    "access_token": "eyJhbGciOiJIUzI1NiJ9...", "token_type": "bearer", "expires_in": 3600,
    "username": "admin",
}  # fmt: skip
CREDENTIALS: Final = {"new_username": "newadmin", "new_password": "newsecurepass"}
TEST: Final = {"message": "Test message"}
CHAT: Final = {"session_id": "chat123", "message": "Hello! How are you today?"}
ANSWER: Final = {
    "response": "Hello! How can I help you today?", "session_id": "chat123", "llm_provider": "chatgroq",
    "model": "llama3-8b-8192", "user_id": "admin",
}  # fmt: skip
STATUS: Final = {
    "redis_connected": True, "chatgroq_healthy": True, "active_sessions_count": 2, "uptime_seconds": 3600,
    "uptime_formatted": "1h 0m",
}  # fmt: skip


def documented(body: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route whose body is read by us."""
    content = {"schema": body.model_json_schema(), "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def answering(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that answers like the example."""
    return {
        200: {"description": "Successful Response", "content": {"application/json": {"example": example}}}
    }

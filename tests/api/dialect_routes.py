"""Operations of the dialects for the route gate, each with a body that is right.

What leads to a conversation by an id in its path stands in `test_access.ROUTES`, with the role it takes;
so do bodies and queries that name one, in `BODIES` and `QUERIES` there.
"""

from __future__ import annotations

from typing import Any

from tests.harness.people import PASSWORD

S = "/sessions/{chat_session}"

SPOKEN: dict[tuple[str, str], Any] = {
    ("POST", "/conversation"): None,
    ("GET", "/conversation"): None,
    ("POST", "/chat"): {"text": "hello"},
    ("GET", "/chat"): None,
    ("GET", "/chat/"): None,
    ("GET", "/chat_history"): None,
    ("GET", "/chat/history"): None,
    ("GET", "/chat/search"): {"query": "hello"},
    ("POST", "/chat/response"): {"message": "hello"},
    ("POST", "/chat/llm"): {"prompt": "hello"},
    ("POST", "/chat/{chat_session}"): {"message": "hello"},
    ("PUT", "/chat/{chat_session}"): {"message": "hello again"},
    ("GET", "/chat/{chat_session}"): None,
    ("POST", "/chat/{chat_session}/message"): {"message": "hello"},
    ("GET", "/chat/{chat_session}/history"): None,
    ("GET", "/chat/history/{chat_session}"): None,
    ("POST", "/rag"): {"prompt": "hello"},
    ("POST", "/llm_response"): {"prompt": "hello"},
    ("GET", "/generate_response"): {"prompt": "hello"},
    ("GET", "/process_query"): {"query": "hello"},
    ("POST", "/start_session"): {"user_id": "user123"},
    ("POST", "/send_message"): {"session_id": "gate", "message": "hello"},
    ("GET", "/get_chat_history"): {"session_id": "gate"},
    ("POST", "/sessions/"): {"user_id": "user123"},
    ("POST", S + "/messages/"): {"message": "hello"},
    ("GET", S + "/messages/"): None,
    ("POST", S + "/responses/"): {"prompt": "hello"},
    ("GET", S + "/history/"): None,
    ("POST", "/messages/"): {"text": "hello"},
    ("GET", "/messages/"): None,
    ("POST", "/save_conversation"): {"conversation": [{"text": "hello"}]},
    ("GET", "/conversations"): None,
    ("GET", "/users/"): None,
    ("GET", "/admin/info"): None,
    ("GET", "/admin/sessions"): None,
    ("POST", "/chat/"): {"session_id": "gate", "message": "hello"},
    ("DELETE", "/chat/sessions/{chat_session}"): None,
    ("POST", "/api/v1/chats/create-chat"): {"name": "further"},
    ("GET", "/api/v1/chats/get-chat"): None,
    ("PUT", "/api/v1/chats/update-chat"): {"chat_id": "{conversation_id}", "name": "other"},
    ("POST", "/api/v1/messages/add-message"): {
        "chat_id": "{conversation_id}",
        "question": "x",
        "response": "y",
    },
    ("POST", "/api/v1/branches/create-branch"): {"chat_id": "{conversation_id}", "response_id": "{item_id}"},
    ("GET", "/api/v1/branches/get-branches"): None,
    ("PUT", "/api/v1/branches/set-active-branch"): {"chat_id": "{conversation_id}", "branch_chat_id": None},
    ("DELETE", "/api/v1/chats/delete-chat"): None,
}
"""In an order in which one caller can do all of them; `{…_id}` stands for the caller's own object."""

SPENDING: frozenset[tuple[str, str]] = frozenset({("GET", "/generate_response"), ("GET", "/process_query")})
"""GETs that act: they ask a model, or mark what they search as used."""

SPOKEN_LAST: dict[tuple[str, str], Any] = {
    ("POST", "/admin/logout"): None,
    ("POST", "/logout"): None,
    ("POST", "/admin/change-credentials"): {"new_username": "ada", "new_password": PASSWORD},
}
"""What ends its caller's login."""

SPOKEN_BY_ADMINS: dict[tuple[str, str], Any] = {
    ("GET", "/admin/status"): None,
    ("GET", "/chat/memory/stats"): None,
    ("POST", "/admin/test-chat"): {"message": "hello"},
}
"""What administrators only may do, in the same way."""

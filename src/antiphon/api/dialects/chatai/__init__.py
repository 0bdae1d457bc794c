"""ChatAI-API: conversations with their messages, and one completion at a time."""

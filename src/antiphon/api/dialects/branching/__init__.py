"""The branching chat: chats of question and response pairs, each of which others can branch off from."""

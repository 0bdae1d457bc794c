"""The rules of conversations, runs and their logs: pure, without input or output."""

"""Reads what other chat applications export, one conversation at a time."""

"""Generating an answer, following it, and ending it after a crash."""

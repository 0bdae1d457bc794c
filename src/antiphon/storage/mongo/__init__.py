"""Conversations in MongoDB: a log of commits for each owner, and documents made from it."""

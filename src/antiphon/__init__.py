"""Antiphon: a self-hosted conversation server that speaks OpenAI's API."""

__version__ = "0.1.0"

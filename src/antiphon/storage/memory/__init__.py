"""Adapters that live in the process and die with it."""

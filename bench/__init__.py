"""Measures the server against nginx under the same load: ``python -m bench``."""

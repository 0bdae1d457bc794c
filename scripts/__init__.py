"""The project's own checks; `make check` runs them, and `tests/project` runs them again as tests."""

"""The Redis chat service: one call, which answers a message in a session."""

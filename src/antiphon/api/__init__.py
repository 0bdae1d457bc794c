"""HTTP and WebSocket surfaces: they translate and decide nothing."""

"""What the core asks of the outside world, one Protocol a file."""

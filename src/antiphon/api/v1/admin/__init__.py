"""`/v1/admin`: what administrators do; everybody else is refused with 403."""

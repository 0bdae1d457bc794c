"""The chat back ends of a book on FastAPI: thirty-five calls of twenty-one chapters, on one server."""

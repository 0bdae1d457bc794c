"""Adapters that keep state: the folder is the port, the file is the technology."""

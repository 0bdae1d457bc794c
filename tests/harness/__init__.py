"""Test doubles that stand on the other side of a socket: a scripted upstream model and a faulty network."""

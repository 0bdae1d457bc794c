"""Relational storage: one schema and one set of statements for every SQL engine."""

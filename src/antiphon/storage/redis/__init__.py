"""Adapters on Redis: what several servers count and keep together. Losing it costs speed, nothing else."""

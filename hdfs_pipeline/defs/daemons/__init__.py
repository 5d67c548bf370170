"""Dagster definitions of what daemons write beside blocks."""

"""Dagster definitions of web requests."""

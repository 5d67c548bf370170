"""Dagster definitions of application logs."""

"""Dagster: assets, checks, jobs, sensors and schedules; each file here is loaded by `definitions.py`."""

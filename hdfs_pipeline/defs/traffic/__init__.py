"""Dagster definitions of the traffic of web servers, minute by minute."""

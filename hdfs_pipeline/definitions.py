"""Dagster's entry point: everything that `defs/` declares."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, checks, jobs, sensors and schedules."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)

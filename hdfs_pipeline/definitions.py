"""Dagster's entry point: everything that `defs/` declares."""

from pathlib import Path

import dagster as dg

from hdfs_pipeline.defs.common.beta import beta


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, checks, jobs, sensors and schedules; of each asset Dagster's page opens the code in an editor."""
    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    # A file that imports an asset of another file declares it once more.
    assets = list({id(asset): asset for asset in loaded.assets or []}.values())
    with beta():
        assets = list(dg.with_source_code_references(assets))
    return dg.Definitions(
        assets=assets,
        asset_checks=loaded.asset_checks,
        jobs=loaded.jobs,
        sensors=loaded.sensors,
        schedules=loaded.schedules,
        resources=loaded.resources,
        executor=loaded.executor,
        loggers=loaded.loggers,
        metadata=loaded.metadata,
        component_tree=loaded.component_tree,
    )

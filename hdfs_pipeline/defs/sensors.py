"""New files in the home's folder `incoming` start a run by themselves."""

import json
from pathlib import Path
from typing import Any

import dagster as dg

from hdfs_pipeline.defs.incoming import LABELS_FILE, Stamp, rested, run_key
from hdfs_pipeline.defs.jobs import blocks_job, ingest_and_score_job
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.scoring.models import trained_detectors


@dg.sensor(
    jobs=[ingest_and_score_job, blocks_job],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reads and scores what is new or has changed in the home's `incoming` folder, once it has come to rest "
    "for a few seconds; `labels.csv` is taken as labels. In a home without a model the whole of `blocks_job` runs.",
)
def incoming_files(context: dg.SensorEvaluationContext, home: Home) -> dg.SensorResult | dg.SkipReason:
    """One run for all that is new or has changed; with training in a home without a model, so that anomalies come."""
    settings = home.settings
    folder = settings.incoming.resolve()
    now = rested(folder)
    before = {path: tuple(stamp) for path, stamp in json.loads(context.cursor or "{}").items()}
    changed = {path: stamp for path, stamp in now.items() if before.get(path) != stamp}
    if not changed:
        return dg.SkipReason(f"nothing new in {folder}")
    job = ingest_and_score_job if trained_detectors(settings) else blocks_job
    request = dg.RunRequest(run_key=run_key(changed), job_name=job.name, run_config=_config(folder, changed))
    # What is still being written keeps its old stamp, and what is gone is forgotten.
    kept = {path: stamp for path, stamp in before.items() if Path(path).exists()}
    return dg.SensorResult([request], cursor=json.dumps(kept | now))


def _config(folder: Path, changed: dict[str, Stamp]) -> dict[str, Any]:
    labels = str(folder / LABELS_FILE)
    ops: dict[str, Any] = {"raw_logs": {"config": {"paths": sorted(path for path in changed if path != labels)}}}
    if labels in changed:
        ops["labels"] = {"config": {"path": labels}}
    return {"ops": ops}

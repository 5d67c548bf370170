"""Jobs: one per path through the assets, each with the checks of its assets."""

from typing import Any

import dagster as dg

from hdfs_pipeline.detectors import DETECTORS

_READ = ["raw_logs", "labels", "parsed_events", "event_templates", "event_matrix"]
_MODELS = [f"{name}_model" for name in DETECTORS] + [f"{name}_evaluation" for name in DETECTORS]
_VERDICTS = [f"{name}_scores" for name in DETECTORS] + ["anomalies"]


def _job(name: str, assets: list[str], description: str) -> Any:  # dagster does not export the type
    return dg.define_asset_job(name, dg.AssetSelection.assets(*assets), description=description)


blocks_job = _job("blocks_job", [*_READ, *_MODELS, *_VERDICTS], "From log files to anomalies, training included.")
ingest_job = _job("ingest_job", _READ, "Read log files and labels, parse, count events per block.")
train_job = _job("train_job", _MODELS, "Train and judge every detector on the blocks that are there.")
score_job = _job("score_job", _VERDICTS, "Score all blocks with the present models and publish the anomalies.")
ingest_and_score_job = _job("ingest_and_score_job", [*_READ, *_VERDICTS], "What new files need: all but training.")

"""Jobs: one per path through the assets, each with the checks of its assets."""

from typing import Any

import dagster as dg

from hdfs_pipeline.defs.streams import STREAM_ASSETS
from hdfs_pipeline.detectors import DETECTORS, STANDARD

_READ = ["raw_logs", "labels", "parsed_events", "event_templates", "event_matrix", "feedback"]
PARSE = ["parsed_events", "event_matrix"]
_MODELS = [f"{name}_model" for name in STANDARD] + [f"{name}_evaluation" for name in STANDARD]
VERDICTS = [f"{name}_scores" for name in DETECTORS] + ["anomalies"]


def _job(name: str, assets: list[str], description: str) -> Any:  # dagster does not export the type
    return dg.define_asset_job(name, dg.AssetSelection.assets(*assets), description=description)


blocks_job = _job(
    "blocks_job", [*_READ, *_MODELS, "champion", *VERDICTS], "From log files to anomalies, training included."
)
ingest_job = _job("ingest_job", _READ, "Read log files and labels, parse, count events per block.")
train_job = _job("train_job", _MODELS, "Train and judge the standard detectors on the blocks that are there.")
retrain_job = _job("retrain_job", ["champion"], "Let challengers learn what is new, and serve if they are not worse.")
score_job = _job("score_job", VERDICTS, "Score all blocks with the present models and publish the anomalies.")
parse_and_score_job = _job("parse_and_score_job", [*PARSE, *VERDICTS], "What log records that came over Kafka need.")
stream_jobs = [
    _job(f"{name}_job", [name], f"Messages of the Kafka topic {topic} into the store.")
    for name, topic in STREAM_ASSETS.items()
]
backtest_job = _job("backtest_job", ["backtest"], "Replay the history with another model or threshold, by day.")
compare_job = _job(
    "compare_job", ["comparison"], "Compare the detectors on the blocks that are there; none of it serves."
)
ingest_and_score_job = _job("ingest_and_score_job", [*_READ, *VERDICTS], "What new files need: all but training.")

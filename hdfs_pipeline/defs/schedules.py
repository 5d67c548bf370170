"""What runs by the clock, and only where there is something to do."""

from typing import Any

import dagster as dg

from hdfs_pipeline.defs.jobs import PARSE, VERDICTS, parse_and_score_job, retrain_job
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.defs.retraining import new_blocks
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.scoring.models import model_folder, trained_detectors
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.score import serving_detector


@dg.schedule(
    job=parse_and_score_job,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Parses log records that came over Kafka, and scores where blocks have no score by the present model, "
    "as after an ingest or a retrain.",
)
def score_every_five_minutes(home: Home) -> dg.RunRequest | dg.SkipReason:
    """A run if records wait to be parsed, or if a block has no score by the serving model since the latest logs."""
    settings = home.settings
    if not home.store.path.exists():
        return dg.SkipReason("nothing was read in this home yet")
    trained = trained_detectors(settings)
    # Every parsed record is one of `raw_logs`: where the counts differ, some wait.
    if _one(home.store, "SELECT (SELECT count(*) FROM raw_logs) > (SELECT count(*) FROM parsed_events)", {}):
        return dg.RunRequest(asset_selection=[dg.AssetKey(name) for name in PARSE + VERDICTS * bool(trained)])
    if not trained:
        return dg.SkipReason("no model in this home yet")
    name = serving_detector(settings)
    waiting = _one(
        home.store,
        """SELECT count(*) FROM event_matrix ANTI JOIN (SELECT block_id FROM scores WHERE detector = $name
        AND version = $version AND scored_at >= (SELECT max(ingested_at) FROM sources)) USING (block_id)""",
        {"name": name, "version": int(model_folder(settings, name).name)},
    )
    if waiting:
        return dg.RunRequest(asset_selection=[dg.AssetKey(name) for name in VERDICTS])
    return dg.SkipReason(f"every block has a score by the present model of {name}")


@dg.schedule(
    job=retrain_job,
    cron_schedule="30 2 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Retrains where enough blocks are new to be judged on, though they are no full batch. A "
    "challenger that is worse than the champion does not serve.",
)
def retrain_nightly(home: Home) -> dg.RunRequest | dg.SkipReason:
    """A run if `retrain_holdout_blocks` blocks or more are new to a detector."""
    least = home.settings.retrain_holdout_blocks
    try:
        most = max(new_blocks(home).values(), default=0)
    except PipelineError as error:
        return dg.SkipReason(str(error))
    if most < least:
        return dg.SkipReason(f"{most:,} new blocks: fewer than the {least:,} to judge a challenger on")
    return dg.RunRequest(run_config={"ops": {"champion": {"config": {"at_least": least}}}})


def _one(store: Store, sql: str, parameters: dict[str, Any]) -> Any:
    with store.read() as con:
        return con.execute(sql, parameters).fetchall()[0][0]

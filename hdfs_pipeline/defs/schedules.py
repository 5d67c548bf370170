"""What runs by the clock, and only where there is something to do."""

from datetime import datetime
from typing import Any

import dagster as dg

from hdfs_pipeline.defs.jobs import score_job, train_job
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.scoring.models import model_folder, trained_detectors
from hdfs_pipeline.serving.verdicts import serving_detector
from hdfs_pipeline.store import Store


@dg.schedule(
    job=score_job,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Scores where blocks have no score by the present model, as after an ingest or a retrain.",
)
def score_every_five_minutes(home: Home) -> dg.RunRequest | dg.SkipReason:
    """A run if a block has no score by the serving model, or an older one than the latest logs."""
    settings = home.settings
    if not home.store.path.exists() or not trained_detectors(settings):
        return dg.SkipReason("no blocks or no model in this home yet")
    name = serving_detector(settings)
    waiting = _one(
        home.store,
        """SELECT count(*) FROM event_matrix ANTI JOIN (SELECT block_id FROM scores WHERE detector = $name
        AND version = $version AND scored_at >= (SELECT max(ingested_at) FROM sources)) USING (block_id)""",
        {"name": name, "version": int(model_folder(settings, name).name)},
    )
    return dg.RunRequest() if waiting else dg.SkipReason(f"every block has a score by the present model of {name}")


@dg.schedule(
    job=train_job,
    cron_schedule="30 2 * * *",
    description="Trains every detector anew where logs came in since the last training. Off at first, because a new "
    "model serves at once, seen by nobody.",
)
def retrain_nightly(home: Home) -> dg.RunRequest | dg.SkipReason:
    """A run if logs came in since the last training."""
    if not home.store.path.exists():
        return dg.SkipReason("nothing was read in this home yet")
    read: datetime | None = _one(home.store, "SELECT max(ingested_at) FROM sources", {})
    trained: datetime | None = _one(home.store, "SELECT max(created_at) FROM models", {})
    if read is None or (trained is not None and trained >= read):
        return dg.SkipReason("no logs came in since the last training")
    return dg.RunRequest()


def _one(store: Store, sql: str, parameters: dict[str, Any]) -> Any:
    with store.read() as con:
        return con.execute(sql, parameters).fetchall()[0][0]

"""The sensor that tells of incidents where no `hdfs-pipeline notify --follow` does: each tick is one pass over them."""

from typing import Final

import dagster as dg
from filelock import Timeout

from hdfs_pipeline.alerting.notify import notify_once
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.errors import SetupError

_TICK_S: Final = 30
_LIMIT_S: Final = 20.0  # of one tick: Dagster ends one that takes a minute


@dg.sensor(
    target=None,
    name="notify",
    minimum_interval_seconds=_TICK_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells Alertmanager, the webhook and the Kafka topic incidents what has become of incidents, as far as "
    "these are set. Rests while `hdfs-pipeline notify` does. What a target refuses is an error in this sensor's log.",
)
def notify(context: dg.SensorEvaluationContext, home: Home) -> dg.SkipReason:
    """One pass: what is new for each target; a target that is away is asked again by the next tick."""
    settings = home.settings
    if not home.store.path.exists():
        return dg.SkipReason("no store yet: nothing to tell")
    try:
        done = notify_once(home.store_for_ticks, settings, turn_s=0, patience_s=0, limit_s=_LIMIT_S)
    except Timeout:
        return dg.SkipReason("another process tells of incidents")
    except SetupError as error:
        return dg.SkipReason(str(error))
    for told in done:
        if not told.well:
            context.log.error(told.line())
    return dg.SkipReason("; ".join(told.line() for told in done))


@dg.definitions
def notices() -> dg.Definitions:
    """The sensor."""
    return dg.Definitions(sensors=[notify])

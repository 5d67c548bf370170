"""The sensor that reports what `hdfs-pipeline sink` has stored: materializations with totals, each few minutes."""

import json
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.metadata import row_count
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.streams.assets import STREAM_TOPICS
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.sinks.following import is_followed

_TICK_S: Final = 300  # each report stays in Dagster's history
_STANDS: Final = "SELECT topic, sum(next)::BIGINT FROM offsets GROUP BY topic"


@dg.sensor(
    target=None,
    name="stored",
    minimum_interval_seconds=_TICK_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports what `hdfs-pipeline sink` has stored of each topic since the last time, as a materialization. "
    "Rests where runs store it, which report themselves.",
)
def stored(context: dg.SensorEvaluationContext, home: Home) -> dg.SensorResult:
    """One look: an event for each topic that has gone on. The cursor is where each topic stood, as JSON."""
    store = home.store_for_ticks
    try:
        if not store.path.exists():
            return dg.SensorResult(skip_reason="no store yet", cursor=context.cursor)
        with store.read() as con:
            stands: dict[str, int] = dict(con.execute(_STANDS).fetchall())
        before = json.loads(context.cursor or "null")
        events = [] if before is None or not is_followed(home.settings) else _events(home, stands, before)
    except PipelineError as error:
        return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)
    why = None if events else "nothing was stored but by runs"
    return dg.SensorResult(asset_events=events, skip_reason=why, cursor=json.dumps(stands))


def _events(home: Home, stands: dict[str, int], before: dict[str, int]) -> list[dg.AssetMaterialization]:
    events = []
    for asset, topic in STREAM_TOPICS.items():
        messages = stands.get(topic.name, 0) - before.get(topic.name, 0)
        if messages > 0 and topic.sink is not None:
            metadata: dict[str, Any] = {"messages": messages, "stored by": "hdfs-pipeline sink"}
            metadata |= row_count(home.store_for_ticks, topic.sink.table)
            events.append(dg.AssetMaterialization(asset, metadata=metadata))
    return events


@dg.definitions
def reports() -> dg.Definitions:
    """The sensor."""
    return dg.Definitions(sensors=[stored])

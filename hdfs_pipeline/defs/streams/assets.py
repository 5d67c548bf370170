"""Assets of Kafka topics: one for each topic that the store keeps, and one for the reports of stream workers.

Runs take ranges of offsets, never messages. The sensor (sensors.py) or a person gives the ranges.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.freshness import DAILY
from hdfs_pipeline.defs.common.metadata import OWNERS, row_count, table_metadata
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.domains.contract import Domain, Topic
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.sinks.topics import Sunk, ingest_range
from hdfs_pipeline.sources.ranges import Range
from hdfs_pipeline.streaming.reporter import stream_asset
from hdfs_pipeline.streaming.topics import all_topics

STREAM_TOPICS: Final = {topic.asset: topic for topic in all_topics().values() if topic.sink is not None}
STREAM_ASSETS: Final = {asset: topic.name for asset, topic in STREAM_TOPICS.items()}
"""Name of the topic by asset."""

GROUP: Final = "stream"
SINK: Final = "sink"
"""The stage of assets that store a topic."""

_REPORT: Final = dg.TableSchema([dg.TableColumn("metadata", "map", "Figures of one worker since its last report.")])
# Brokers come back, stores are released, and another run may have been quicker: the same ranges can be tried again.
_RETRY: Final = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL)


class StreamRanges(dg.Config):
    """Which messages to read. Empty: from where the store stands to the end, up to the setting `sink_max_records`."""

    ranges: dict[str, list[int]] = {}  # noqa: RUF012 - pydantic copies defaults
    """For each partition the first offset and the one after the last, such as {"7": [1000, 2000]}."""
    cluster_id: str = ""
    """The cluster that the ranges belong to; '' is the present one."""
    topic_id: str = ""
    """The topic's id that the ranges belong to; '' is the present one. A topic that was made anew has another id."""
    again: bool = False
    """Read ranges again that are in the store already, and replace their rows."""

    def parsed(self) -> dict[int, Range]:
        """The ranges by partition. Raises: DataError if one is no range."""
        try:
            return {int(part): (start, end) for part, (start, end) in self.ranges.items()}
        except ValueError:
            raise DataError(f'ranges {self.ranges}: write them like {{"7": [1000, 2000]}}') from None


def _workers(domain: Domain) -> dg.AssetSpec:
    return dg.AssetSpec(
        stream_asset(domain),
        description=f"What the stream workers report each minute: they read the topics {' and '.join(domain.ways)}, "
        f"group records by {domain.item.noun}, score the {domain.item.plural} and publish the anomalies, in less time "
        "than a run takes to start.",
        group_name=GROUP,
        kinds={"kafka", "python"},
        owners=OWNERS,
        tags={"domain": domain.name, "stage": "stream"},
        metadata={"dagster/column_schema": _REPORT},
        code_version=version_of("streaming.worker", "streaming.outbox"),
    )


_STREAMING: Final = [domain for domain in all_domains() if domain.ways]
_RECORDS: Final = {domain.records_topic for domain in _STREAMING}
workers = [_workers(domain) for domain in _STREAMING]


def _stream_asset(topic: Topic) -> dg.AssetsDefinition:
    sink = topic.sink
    assert sink is not None, "only topics with a sink have an asset"
    writers = [stream_asset(domain) for domain in _STREAMING if topic.name in set().union(*domain.ways.values())]

    @dg.asset(
        name=topic.asset,
        deps=writers if topic.from_stage else [],
        description=f"{topic.about} Into the table `{sink.table}`; each message counts once: rows and offsets change "
        "in one transaction.",
        group_name=GROUP,
        kinds={"kafka", "duckdb"},
        owners=OWNERS,
        tags={"stage": SINK, "topic": topic.name},
        metadata=table_metadata(sink.table),
        code_version=version_of("sinks.topics"),
        freshness_policy=DAILY if topic.name in _RECORDS else None,  # other topics may be silent for long
        retry_policy=_RETRY,
    )
    def stream(context: dg.AssetExecutionContext, home: Home, config: StreamRanges) -> dg.MaterializeResult:
        with _no_retry_of_mistakes():
            done = ingest_range(
                home.store,
                home.settings,
                topic.name,
                sink,
                config.parsed(),
                cluster_id=config.cluster_id,
                topic_id=config.topic_id,
                again=config.again,
            )
        for note in done.notes:
            (context.log.warning if done.missing or done.unkeyed else context.log.info)(note)
        return dg.MaterializeResult(metadata={**row_count(home.store, sink.table), **_facts(done)})

    return stream


@contextmanager
def _no_retry_of_mistakes() -> Iterator[None]:
    """Ranges that cannot be used fail at once: they would fail again."""
    try:
        yield
    except DataError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _facts(done: Sunk) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "messages": done.messages,
        "rows": done.rows,
        "dead letters": done.dead_letters,
        "missing messages": done.missing,
        "messages left": done.left,
        "copies not stored": done.copies,
        "without a key": done.unkeyed,
        "messages per second": done.messages / done.seconds if done.seconds else 0.0,
        "life of the topic": done.epoch,
        "ranges": dg.MetadataValue.json({str(part): list(bounds) for part, bounds in sorted(done.ranges.items())}),
        "cluster id": done.cluster_id,
        "topic id": done.topic_id,
    }
    if done.gaps:
        facts["gaps"] = dg.MetadataValue.json({str(part): list(map(list, gaps)) for part, gaps in done.gaps.items()})
    return facts | ({"notes": "; ".join(done.notes)} if done.notes else {})


stream_assets = [_stream_asset(topic) for topic in STREAM_TOPICS.values()]

kafka_job = dg.define_asset_job(
    "kafka_job",
    dg.AssetSelection.tag("stage", SINK),
    description="Messages of Kafka topics into the store: those of the assets that are chosen.",
)

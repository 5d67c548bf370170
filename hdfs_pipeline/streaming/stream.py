"""`hdfs-pipeline stream`: puts a worker together and runs it."""

import logging

from hdfs_pipeline.domains.blocks.champion import Champion
from hdfs_pipeline.domains.blocks.stage import RawStage, Sender, VectorStage, counting_catalogue
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import (
    AGGREGATED_EVENTS,
    ANOMALIES,
    HDFS_LOGS,
    RAW_LOGS,
    bootstrap_servers,
    fewer_collections,
)
from hdfs_pipeline.sources.ranges import reachable
from hdfs_pipeline.streaming.metrics import Metrics
from hdfs_pipeline.streaming.outbox import Outbox
from hdfs_pipeline.streaming.reporter import Reporter
from hdfs_pipeline.streaming.topics import ensure_topics
from hdfs_pipeline.streaming.worker import Stage, Worker

_log = logging.getLogger(__name__)
WAYS = {RAW_LOGS: (AGGREGATED_EVENTS, ANOMALIES), AGGREGATED_EVENTS: (ANOMALIES,), HDFS_LOGS: (ANOMALIES,)}
"""Where a worker may begin, and where each may end."""


def stream(
    settings: Settings,
    *,
    detector: str | None = None,
    threshold: float | None = None,
    begin: str = RAW_LOGS,
    end: str = ANOMALIES,
) -> None:
    """Run a worker from topic `begin` to topic `end` until SIGTERM, SIGINT or SIGHUP.

    `detector` is the home's champion by default, `threshold` the model's own. Raises: DataError for topics that no
    stage joins, NotTrainedError without a model, SetupError where the brokers do not answer or refuse.
    """
    if end not in WAYS.get(begin, ()):
        ways = ", ".join(f"{start} to {' or '.join(ends)}" for start, ends in WAYS.items())
        raise DataError(f"no stage leads from {begin} to {end}; there are {ways}")
    if not reachable(settings):
        raise SetupError(f"no Kafka broker answers at {bootstrap_servers(settings)}: start it, then this worker")
    ensure_topics(settings)
    metrics = Metrics(begin)
    outbox = Outbox(settings)
    sender = Sender(outbox, metrics)
    champion = None
    if end == ANOMALIES or settings.catalogue == "auto":  # whoever only counts needs a model only for its catalogue
        champion = Champion(settings, detector, threshold)
        _log.info("serving: %s, threshold %g", champion.label, champion.threshold)
    stage: Stage
    if begin == RAW_LOGS:
        catalogue = counting_catalogue(settings, champion)
        scores = champion if end == ANOMALIES else None
        stage = RawStage(settings, scores, catalogue, sender, settings.kafka_partitions)
    else:
        assert champion is not None
        stage = VectorStage(settings, begin, champion, sender)
    port = metrics.serve(settings)
    worker = Worker(settings, stage, outbox, metrics, settings.kafka_partitions)
    _log.info("reading %s; metrics at http://%s:%d/metrics", begin, settings.metrics_host, port)
    with fewer_collections(), Reporter(settings, metrics):
        worker.run()

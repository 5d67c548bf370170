"""`hdfs-pipeline stream`: puts a worker together and runs it."""

import logging

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import SetupError, UsageError
from hdfs_pipeline.processes.threads import one_thread
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import ANOMALIES, bootstrap_servers, fewer_collections
from hdfs_pipeline.sources.ranges import reachable
from hdfs_pipeline.streaming.metrics import Metrics
from hdfs_pipeline.streaming.outbox import Outbox
from hdfs_pipeline.streaming.reporter import Reporter, stream_asset
from hdfs_pipeline.streaming.topics import ensure_topics
from hdfs_pipeline.streaming.worker import Worker

_log = logging.getLogger(__name__)


def stream(
    settings: Settings,
    begin: str,
    end: str = ANOMALIES,
    *,
    detector: str | None = None,
    threshold: float | None = None,
) -> None:
    """Run a worker from topic `begin` to topic `end` until SIGTERM, SIGINT or SIGHUP.

    `detector` is the champion of the topic's domain by default, `threshold` the model's own. Raises: DataError for
    topics that no stage joins, NotTrainedError without a model, SetupError where the brokers do not answer or refuse.
    """
    domain = _domain(begin, end)
    if not reachable(settings):
        raise SetupError(f"no Kafka broker answers at {bootstrap_servers(settings)}: start it, then this worker")
    ensure_topics(settings)
    metrics = Metrics(begin)
    outbox = Outbox(settings)
    stage = domain.stage(settings, begin, end, detector=detector, threshold=threshold, outbox=outbox, figures=metrics)
    port = metrics.serve(settings)
    worker = Worker(settings, stage, outbox, metrics, settings.kafka_partitions)
    _log.info("reading %s; metrics at http://%s:%d/metrics", begin, settings.metrics_host, port)
    reporter = Reporter(settings, metrics, stream_asset(domain), settings.stream_report_s)
    # The threads of BLAS took as much of the processor as all other work on requests.
    with fewer_collections(), one_thread(), reporter:
        worker.run()


def _domain(begin: str, end: str) -> Domain:
    """The domain with a stage from `begin` to `end`. Raises: UsageError where none has one."""
    domains = all_domains()
    for domain in domains:
        if end in domain.ways.get(begin, ()):
            return domain
    ways = [f"{start} to {' or '.join(ends)}" for domain in domains for start, ends in domain.ways.items()]
    raise UsageError(f"no stage leads from {begin} to {end}; there are {', '.join(ways)}")

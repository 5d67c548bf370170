"""What the fault tests ask of topics and groups, and change in them for a while."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hdfs_pipeline.domains.blocks.topics import RAW_LOGS
from hdfs_pipeline.sources.kafka import committed as committed_places
from hdfs_pipeline.sources.kafka import consumer
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import REAL


def committed(home: Home, group: str, topic: str = RAW_LOGS) -> dict[int, int]:
    """What a group has committed, by partition."""
    from confluent_kafka import TopicPartition

    asked = consumer(home.settings, group_id=group, enable_auto_commit=False)
    places = [TopicPartition(topic, part) for part in range(home.settings.kafka_partitions)]
    found = {place.partition: place.offset for place in committed_places(asked, places) if place.offset >= 0}
    asked.close()
    return found


@contextmanager
def configured(home: Home, topics: Sequence[str], name: str, value: str) -> Iterator[None]:
    """Topics of the real broker with another setting, for a while; the embedded one has none, and no limits either."""
    if not REAL:
        yield
        return
    from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    admin = AdminClient({"bootstrap.servers": REAL})

    def alter(kind: AlterConfigOpType, to: str | None) -> None:
        entries = [ConfigEntry(name, to, incremental_operation=kind)]
        resources = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries) for topic in topics]
        for future in admin.incremental_alter_configs(resources, request_timeout=20).values():
            future.result(30)

    alter(AlterConfigOpType.SET, value)
    try:
        yield
    finally:
        alter(AlterConfigOpType.DELETE, value)

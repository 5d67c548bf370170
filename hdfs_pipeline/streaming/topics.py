"""Kafka's topics: names them, makes missing ones, checks existing ones, and counts their messages."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.domains.contract import Topic
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sinks.messages import verdict_sink
from hdfs_pipeline.sources.kafka import ANOMALIES, DEAD_LETTERS, INCIDENTS, client_config, explained, is_embedded
from hdfs_pipeline.sources.ranges import patiently

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

TIMEOUT_S: Final = 20.0
REFRESH_MS: Final = 5_000
"""Milliseconds after which clients that read on and on look for partitions that were added."""
BROKER_DEFAULT: Final = -1  # replication factor: what the broker's `default.replication.factor` says

_DAY_MS: Final = 24 * 3600 * 1000
# A worker reads back what was published about its items, and needs the latest message of each item only. All messages
# stay for a day, so that a sink that lags sees each; what is older than the broker's retention goes, since
# items come without end.
_LATEST_BY_KEY: Final = {"cleanup.policy": "compact,delete", "min.compaction.lag.ms": str(_DAY_MS)}


def all_topics() -> dict[str, Topic]:
    """The topics of every domain by name, then those that they share. All have `kafka_partitions` partitions."""
    domains = all_domains()
    shared = (
        Topic(
            ANOMALIES,
            f"Verdicts on {', '.join(domain.item.plural for domain in domains)}, from the stream workers.",
            verdict_sink(item_readers()),
            "stream_anomalies",
            from_stage=True,
            latest_by_key=True,
        ),
        Topic(DEAD_LETTERS, "Messages that could not be used, and why."),
        Topic(INCIDENTS, "Incidents as they open, change and end: the latest of each.", latest_by_key=True),
    )
    return {topic.name: topic for topic in (*(topic for domain in domains for topic in domain.topics), *shared)}


def item_readers() -> dict[str, Callable[[str], str]]:
    """By domain, the function that reads the id of an item (see `decode_verdict`)."""
    return {domain.name: domain.item.shown for domain in all_domains()}


@dataclass(frozen=True)
class TopicSize:
    """What a topic holds: `messages` is the distance of its watermarks, summed over the partitions."""

    name: str
    partitions: int
    messages: int


def ensure_topics(settings: Settings, topics: Iterable[str] | None = None) -> list[str]:
    """Make the topics that are missing, check the number of partitions of all, and return the names of the new ones.

    Without `topics` these are all topics. Topics that exist are left as they are. Raises: SetupError where no broker
    answers, where it refuses, or where a topic has another number of partitions.
    """
    known = all_topics()
    wanted = tuple(known if topics is None else topics)
    admin = _admin(settings)
    partitions = _partitions(admin, settings)
    missing = [name for name in wanted if name not in partitions]
    if missing and is_embedded(settings):
        raise SetupError(f"the embedded broker has no topic {missing[0]}: start it again with `hdfs-pipeline broker`")
    if missing:
        _create(admin, [known[name] for name in missing], settings)
        partitions = _wait_until_there(admin, settings, wanted)
    for name in wanted:
        if partitions[name] != settings.kafka_partitions:
            raise SetupError(_other_count(name, partitions[name], settings))
    return missing


def _other_count(name: str, count: int, settings: Settings) -> str:
    wanted = settings.kafka_partitions
    problem = f"topic {name} has {count} partitions, and the setting kafka_partitions wants {wanted}: "
    if is_embedded(settings):
        return problem + "start the embedded broker again"
    hint = (
        f" or add partitions (`kafka-topics.sh --alter --topic {name} --partitions {wanted}`)" if count < wanted else ""
    )
    return (
        problem + f"set HDFS_PIPELINE_KAFKA_PARTITIONS={count} if all topics have that many{hint}. Add none while "
        "items are open: an item's key then leads to another partition"
    )


def raise_partitions(settings: Settings, source: str, partitions: int) -> None:
    """Give the topics that we write at least so many partitions, since `source` has been given as many.

    Returns once all of them answer. Raises: SetupError where the broker refuses.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewPartitions

    written = [name for name, topic in all_topics().items() if topic.from_stage or name in (DEAD_LETTERS, INCIDENTS)]
    admin = _admin(settings)
    there = _partitions(admin, settings)
    few = [
        NewPartitions(settings.topic(name), partitions) for name in written if there.get(name, partitions) < partitions
    ]
    for name, future in admin.create_partitions(few, request_timeout=TIMEOUT_S).items() if few else ():
        try:
            future.result(TIMEOUT_S * 2)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.INVALID_PARTITIONS:  # another worker was quicker
                raise explained(error, f"topic {name} cannot be given {partitions} partitions") from None
    _wait_until_there(admin, settings, [name for name in (source, *written) if name in there], partitions)


def delete_topics(settings: Settings) -> None:
    """Delete all topics of ours that have a prefix, with all their messages.

    Raises: SetupError where there is no prefix, since others may use them; where no broker answers, or it refuses.
    """
    from confluent_kafka import KafkaException

    if not settings.kafka_topic_prefix:
        raise SetupError("topics without a prefix (kafka_topic_prefix) are not deleted: others may use them")
    admin = _admin(settings)
    names = [settings.topic(name) for name in _partitions(admin, settings) if name in all_topics()]
    try:
        for future in admin.delete_topics(names, operation_timeout=TIMEOUT_S).values() if names else ():
            future.result(TIMEOUT_S * 2)
    except KafkaException as error:
        raise explained(error, f"topics of {settings.kafka_topic_prefix} cannot be deleted") from None


def describe_topics(settings: Settings) -> list[TopicSize]:
    """The topics that are there, with what they hold. Raises: SetupError where no broker answers."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import OffsetSpec

    admin = _admin(settings)
    partitions = _partitions(admin, settings)
    counts = dict.fromkeys((name for name in all_topics() if name in partitions), 0)
    places = [TopicPartition(settings.topic(name), part) for name in counts for part in range(partitions[name])]
    for sign, spec in ((1, OffsetSpec.latest()), (-1, OffsetSpec.earliest())):
        for name, offset in _offsets(admin, dict.fromkeys(places, spec)):
            counts[name.removeprefix(settings.kafka_topic_prefix)] += sign * offset
    return [TopicSize(name, partitions[name], count) for name, count in counts.items()]


def _offsets(admin: "AdminClient", wanted: dict[Any, Any]) -> list[tuple[str, int]]:
    """Topic and offset of each place, once partitions that were just made have their leader."""
    from confluent_kafka import KafkaException

    def ask() -> list[tuple[str, int]]:
        answers = admin.list_offsets(wanted, request_timeout=TIMEOUT_S)
        return [(place.topic, future.result(TIMEOUT_S).offset) for place, future in answers.items()]

    try:
        return patiently(ask, TIMEOUT_S)
    except KafkaException as error:
        raise explained(error) from None


def _admin(settings: Settings) -> "AdminClient":
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # An admin client has no partitioner; librdkafka would warn of it.
    config: dict[str, Any] = client_config(settings)
    config.pop("partitioner", None)
    try:
        return AdminClient(config)
    except KafkaException as error:
        raise explained(error) from None


def _partitions(admin: "AdminClient", settings: Settings) -> dict[str, int]:
    """How many partitions each topic of ours has that the brokers list."""
    from confluent_kafka import KafkaException

    try:
        topics = admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise explained(error) from None
    prefix = settings.kafka_topic_prefix
    return {
        name.removeprefix(prefix): len(topic.partitions)
        for name, topic in topics.items()
        if topic.error is None and name.startswith(prefix)
    }


def _create(admin: "AdminClient", topics: list[Topic], settings: Settings) -> None:
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    new = [
        NewTopic(
            settings.topic(topic.name),
            settings.kafka_partitions,
            BROKER_DEFAULT,
            config=_LATEST_BY_KEY if topic.latest_by_key else {},
        )
        for topic in topics
    ]
    for name, future in admin.create_topics(new, request_timeout=TIMEOUT_S, operation_timeout=TIMEOUT_S).items():
        try:
            future.result(TIMEOUT_S * 2)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was quicker
                raise explained(error, f"topic {name} cannot be made") from None


def _wait_until_there(admin: "AdminClient", settings: Settings, names: Iterable[str], least: int = 1) -> dict[str, int]:
    """Partitions by topic, once the broker lists `least` partitions of all `names` and each of them answers."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import OffsetSpec

    deadline = time.monotonic() + TIMEOUT_S
    while True:
        partitions = _partitions(admin, settings)
        missing = [name for name in names if partitions.get(name, 0) < least]
        if not missing:
            places = [TopicPartition(settings.topic(name), part) for name in names for part in range(partitions[name])]
            _offsets(admin, dict.fromkeys(places, OffsetSpec.latest()))  # every partition has its leader
            return partitions
        if time.monotonic() > deadline:
            raise SetupError(f"topic {missing[0]} was made, but the broker does not show it after {TIMEOUT_S:.0f} s")
        time.sleep(0.05)

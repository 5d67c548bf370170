"""Kafka's topics: make what is missing, check what is there, count what they hold."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import (
    AGGREGATED_EVENTS,
    ANOMALIES,
    LABELS,
    TOPICS,
    client_config,
    explained,
    is_embedded,
)

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

TIMEOUT_S: Final = 20.0
BROKER_DEFAULT: Final = -1  # replication factor: what the broker's `default.replication.factor` says

_DAY_MS: Final = 24 * 3600 * 1000
# A worker rebuilds its memory of blocks from aggregated_events and anomalies, and needs the latest message of each
# block only. All messages stay for a day, so that a sink that lags sees each; what is older than the broker's
# retention goes, since blocks come without end.
_LATEST_BY_KEY: Final = {"cleanup.policy": "compact,delete", "min.compaction.lag.ms": str(_DAY_MS)}
CONFIGS: Final[dict[str, dict[str, str]]] = dict.fromkeys((AGGREGATED_EVENTS, ANOMALIES, LABELS), _LATEST_BY_KEY)
"""Settings of a topic when it is made; the broker's own for the others. Topics that exist are left as they are."""


@dataclass(frozen=True)
class Topic:
    """What a topic holds: `messages` is the distance of its watermarks, summed over the partitions."""

    name: str
    partitions: int
    messages: int


def ensure_topics(settings: Settings, topics: Iterable[str] = TOPICS) -> list[str]:
    """Make the topics that are missing and check the number of partitions of all; the names of those made.

    Raises: SetupError where no broker answers, it refuses, or a topic has another number of partitions.
    """
    wanted = tuple(topics)
    admin = _admin(settings)
    found = _partitions(admin)
    missing = [name for name in wanted if name not in found]
    if missing and is_embedded(settings):
        raise SetupError(f"the embedded broker has no topic {missing[0]}: start it again with `hdfs-pipeline broker`")
    if missing:
        _create(admin, missing, settings.kafka_partitions)
        found = _wait_until_there(admin, wanted)
    for name in wanted:
        if found[name] != settings.kafka_partitions:
            raise SetupError(_other_count(name, found[name], settings))
    return missing


def _other_count(name: str, found: int, settings: Settings) -> str:
    wanted = settings.kafka_partitions
    what = f"topic {name} has {found} partitions, and the setting kafka_partitions wants {wanted}: "
    if is_embedded(settings):
        return what + "start the embedded broker again"
    more = (
        f" or add partitions (`kafka-topics.sh --alter --topic {name} --partitions {wanted}`)" if found < wanted else ""
    )
    return (
        what + f"set HDFS_PIPELINE_KAFKA_PARTITIONS={found} if all topics have that many{more}. Add none while blocks "
        "are open: a block's key then leads to another partition"
    )


def describe_topics(settings: Settings, topics: Iterable[str] = TOPICS) -> list[Topic]:
    """The topics that are there, with what they hold. Raises: SetupError where no broker answers."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import OffsetSpec

    admin = _admin(settings)
    found = _partitions(admin)
    counts = dict.fromkeys((name for name in topics if name in found), 0)
    places = [TopicPartition(name, part) for name in counts for part in range(found[name])]
    for sign, spec in ((1, OffsetSpec.latest()), (-1, OffsetSpec.earliest())):
        for name, offset in _offsets(admin, dict.fromkeys(places, spec)):
            counts[name] += sign * offset
    return [Topic(name, found[name], count) for name, count in counts.items()]


def _offsets(admin: "AdminClient", wanted: dict[Any, Any]) -> list[tuple[str, int]]:
    """Topic and offset of each place. Asks again while partitions that were just made have no leader."""
    from confluent_kafka import KafkaError, KafkaException

    young = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART)
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            answers = admin.list_offsets(wanted, request_timeout=TIMEOUT_S)
            return [(place.topic, future.result(TIMEOUT_S).offset) for place, future in answers.items()]
        except KafkaException as error:
            if error.args[0].code() not in young or time.monotonic() > deadline:
                raise explained(error) from None
            time.sleep(0.1)


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


def _partitions(admin: "AdminClient") -> dict[str, int]:
    from confluent_kafka import KafkaException

    try:
        found = admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise explained(error) from None
    return {name: len(topic.partitions) for name, topic in found.items() if topic.error is None}


def _create(admin: "AdminClient", names: list[str], partitions: int) -> None:
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    new = [NewTopic(name, partitions, BROKER_DEFAULT, config=CONFIGS.get(name, {})) for name in names]
    for name, future in admin.create_topics(new, request_timeout=TIMEOUT_S, operation_timeout=TIMEOUT_S).items():
        try:
            future.result(TIMEOUT_S * 2)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was quicker
                raise explained(error, f"topic {name} cannot be made") from None


def _wait_until_there(admin: "AdminClient", names: Iterable[str]) -> dict[str, int]:
    """Partitions by topic, once the broker tells of all `names` and each of their partitions answers."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import OffsetSpec

    deadline = time.monotonic() + TIMEOUT_S
    while True:
        found = _partitions(admin)
        missing = [name for name in names if not found.get(name)]
        if not missing:
            places = [TopicPartition(name, part) for name in names for part in range(found[name])]
            _offsets(admin, dict.fromkeys(places, OffsetSpec.latest()))  # every partition has its leader
            return found
        if time.monotonic() > deadline:
            raise SetupError(f"topic {missing[0]} was made, but the broker does not show it after {TIMEOUT_S:.0f} s")
        time.sleep(0.05)

"""Kafka's topics as they stand: what they hold, and what the store and each group of workers has not taken yet."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.errors import DataError, PipelineError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import bootstrap_servers, client_config, explained
from hdfs_pipeline.sources.ranges import Watermarks, all_watermarks, reachable
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.streaming.router import router_group
from hdfs_pipeline.streaming.topics import all_topics
from hdfs_pipeline.verdicts.health import STORE_S, sink_lag

_ANSWER_S: Final = 3.0  # for which a broker may think


def topics_of(store: Store, settings: Settings) -> dict[str, Any]:
    """The broker's address, and each topic that is there with its messages and lags, by partition and in all.

    A lag counts messages: `sink_lag` those that the store has not taken, None where it takes none; `groups` those that
    a group has not read, by its name, None where it has not begun. `why` says why nothing is known, '' where it is.
    """
    try:
        return _asked(store, settings) | {"why": ""}
    except PipelineError as error:
        return {"broker": settings.kafka_bootstrap_servers, "topics": [], "why": str(error)}


def _asked(store: Store, settings: Settings) -> dict[str, Any]:
    """The broker and its topics. Raises: SetupError where it or the store does not answer."""
    address, known = bootstrap_servers(settings), all_topics()
    if not reachable(settings, 2.0):
        raise SetupError(f"no broker answers at {address}: start it, or set kafka_bootstrap_servers to where it is")
    marks = all_watermarks(settings, [*known], _ANSWER_S)
    read = _group_lags(settings, marks, _groups(settings))
    sunk = {name for name in marks if known[name].sink is not None}
    stored: Mapping[tuple[str, int], int] = {}
    if settings.store_path.is_file():
        with store.read(STORE_S) as con:
            stored = sink_lag(con, {name: marks[name] for name in sunk})
    found = []
    for name, own in marks.items():
        parts: list[dict[str, Any]] = [
            {
                "partition": part,
                "first": own.low[part],
                "end": end,
                "sink_lag": stored.get((name, part), end - own.low[part]) if name in sunk else None,
                "groups": {group: lags[part] for group, lags in read.get(name, {}).items()},
            }
            for part, end in own.high.items()
        ]
        found.append(
            {
                "name": name,
                "about": known[name].about,
                "messages": sum(part["end"] - part["first"] for part in parts),
                "sink_lag": sum(part["sink_lag"] for part in parts) if name in sunk else None,
                "groups": {group: _total(lags) for group, lags in read.get(name, {}).items()},
                "partitions": parts,
            }
        )
    return {"broker": address, "topics": found}


def _total(lags: Mapping[int, int | None]) -> int | None:
    """The lag of a group in all; None where it has not begun anywhere."""
    begun = [lag for lag in lags.values() if lag is not None]
    return sum(begun) if begun else None


def _groups(settings: Settings) -> dict[str, list[str]]:
    """The consumer groups that read topics, by topic."""
    groups: dict[str, list[str]] = {}
    for domain in all_domains():
        for topic in domain.ways:
            groups.setdefault(topic, []).append(domain.group(settings, topic))
        with suppress(DataError):  # it takes nothing from shippers
            groups.setdefault(domain.shipping(settings, 1 << 20).source, []).append(router_group(settings))
    return groups


def _group_lags(
    settings: Settings, marks: Mapping[str, Watermarks], groups: Mapping[str, list[str]]
) -> dict[str, dict[str, dict[int, int | None]]]:
    """By topic, group and partition the messages that the group has not read; None where it has committed nothing."""
    from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
    from confluent_kafka.admin import AdminClient

    config = client_config(settings)
    config.pop("partitioner", None)  # a producer's; librdkafka would warn of it
    lags: dict[str, dict[str, dict[int, int | None]]] = {}
    try:
        admin = AdminClient(config)
        asked = {}
        for topic, own in marks.items():
            places = [TopicPartition(settings.topic(topic), part) for part in own.high]
            for group in groups.get(topic, ()):
                request = ConsumerGroupTopicPartitions(group, places)  # librdkafka takes one group at a time
                answers = admin.list_consumer_group_offsets([request], request_timeout=_ANSWER_S)
                asked[topic, group] = answers[group]
        for (topic, group), future in asked.items():
            own, lags.setdefault(topic, {})[group] = marks[topic], (by_part := {})
            for place in future.result(_ANSWER_S).topic_partitions:
                low, end = own.low[place.partition], own.high[place.partition]
                by_part[place.partition] = end - min(max(place.offset, low), end) if place.offset >= 0 else None
    except KafkaException as error:
        raise explained(error, "consumer groups", settings=settings) from None
    except TimeoutError:
        raise SetupError(f"consumer groups: Kafka gave no answer within {_ANSWER_S:g} s") from None
    return lags

"""Topics with what the store and the workers have not taken, on a broker that speaks Kafka's protocol."""

from pathlib import Path

from hdfs_pipeline.domains.blocks.topics import RAW_LOGS, LogSink
from hdfs_pipeline.sinks.topics import ingest_range
from hdfs_pipeline.sources.kafka import consumer, producer
from hdfs_pipeline.streaming.topics import all_topics
from hdfs_pipeline.verdicts.topics import topics_of
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import embedded_home, running_broker

LIMIT_S = 60.0


def send(home: Home, parts: list[int]) -> None:
    client = producer(home.settings)
    for part in parts:
        client.produce(RAW_LOGS, b"nonsense", partition=part)
    client.flush(LIMIT_S)


def commit(home: Home, group: str, part: int, offset: int) -> None:
    from confluent_kafka import TopicPartition

    client = consumer(home.settings, group_id=group, enable_auto_commit=False)
    client.commit(offsets=[TopicPartition(RAW_LOGS, part, offset)], asynchronous=False)
    client.close()


def test_lags_are_told_by_partition_of_the_store_and_of_each_group(tmp_path: Path) -> None:
    home = embedded_home(tmp_path / "home", kafka_partitions=4)
    with running_broker(home):
        send(home, [0, 0, 1])
        found = {topic["name"]: topic for topic in topics_of(home.store, home.settings)["topics"]}
        assert found.keys() == all_topics().keys()
        assert (found[RAW_LOGS]["messages"], found[RAW_LOGS]["sink_lag"]) == (3, 3)  # without a store all waits
        assert found["dead_letters"]["sink_lag"] is None and found["dead_letters"]["groups"] == {}
        assert found[RAW_LOGS]["groups"] == {"hdfs_pipeline": None}
        assert found["shipped_logs"]["groups"] == {"hdfs_pipeline.route": None}
        ingest_range(home.store, home.settings, RAW_LOGS, LogSink())
        send(home, [0, 2, 2])
        commit(home, "hdfs_pipeline", 0, 1)
        own = next(topic for topic in topics_of(home.store, home.settings)["topics"] if topic["name"] == RAW_LOGS)
        assert [(each["end"], each["sink_lag"]) for each in own["partitions"]] == [(3, 1), (1, 0), (2, 2), (0, 0)]
        assert [each["groups"]["hdfs_pipeline"] for each in own["partitions"]] == [2, None, None, None]
        assert (own["messages"], own["sink_lag"], own["groups"]) == (6, 3, {"hdfs_pipeline": 2})


def test_without_a_broker_the_command_that_helps_is_told(tmp_path: Path) -> None:
    home = embedded_home(tmp_path / "home")
    found = topics_of(home.store, home.settings)
    assert found["topics"] == [] and "`hdfs-pipeline broker`" in found["why"]
    away = embedded_home(tmp_path / "away", kafka_bootstrap_servers="127.0.0.1:1")
    assert "no broker answers at 127.0.0.1:1" in topics_of(away.store, away.settings)["why"]

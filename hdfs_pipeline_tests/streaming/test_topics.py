"""Topics: made where they are missing, checked where they are there."""

import json

import pytest

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.sources.kafka import RAW_LOGS, TOPICS, producer
from hdfs_pipeline.streaming.topics import describe_topics, ensure_topics
from hdfs_pipeline_tests.conftest import Home
from hdfs_pipeline_tests.streaming.conftest import run_command


def test_every_topic_has_fifty_partitions(broker: Home) -> None:
    assert ensure_topics(broker.settings) == []
    found = describe_topics(broker.settings)
    assert [(topic.name, topic.partitions, topic.messages) for topic in found] == [(name, 50, 0) for name in TOPICS]


def test_the_command_counts_messages(broker: Home) -> None:
    sender = producer(broker.settings)
    for number in range(7):
        sender.produce(RAW_LOGS, b"x", partition=number % 3)
    assert sender.flush(30) == 0
    told = run_command(broker, "topics", "--json")
    assert told.returncode == 0, told.stderr
    found = {row["name"]: row for row in json.loads(told.stdout)}
    assert found[RAW_LOGS] == {"name": RAW_LOGS, "partitions": 50, "messages": 7, "made": False}
    assert "raw_logs" in run_command(broker, "topics").stdout


def test_another_count_of_partitions_is_told(broker: Home) -> None:
    settings = broker.settings.model_copy(update={"kafka_partitions": 12})
    with pytest.raises(SetupError, match=r"topic raw_logs has 50 partitions.* wants 12"):
        ensure_topics(settings)

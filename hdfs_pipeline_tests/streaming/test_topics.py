"""Topics: made where they are missing, checked where they are there."""

import json
from pathlib import Path

import pytest

from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS, RAW_LOGS
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.sources.kafka import ADDRESS_FILE, ANOMALIES, DEAD_LETTERS, producer
from hdfs_pipeline.streaming.topics import all_topics, describe_topics, ensure_topics
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import (
    delete_topics,
    embedded_home,
    read_topic,
    run_command,
    running_broker,
    start_command,
    wait_for,
)


def test_every_topic_has_fifty_partitions(broker: Home) -> None:
    assert ensure_topics(broker.settings) == []
    found = describe_topics(broker.settings)
    assert [(topic.name, topic.partitions, topic.messages) for topic in found] == [
        (name, 50, 0) for name in all_topics()
    ]


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


@pytest.mark.real_broker
def test_topics_are_made_with_their_settings(broker: Home) -> None:
    from confluent_kafka.admin import AdminClient, ConfigResource

    admin = AdminClient(bootstrap(broker))
    delete_topics(admin, {ANOMALIES, RAW_LOGS})
    assert ensure_topics(broker.settings) == [RAW_LOGS, ANOMALIES]
    assert ensure_topics(broker.settings) == []
    policies = {}
    for name in (RAW_LOGS, ANOMALIES):
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        (future,) = admin.describe_configs([resource], request_timeout=20).values()
        policies[name] = future.result(20)["cleanup.policy"].value
    assert policies[RAW_LOGS] == "delete"
    assert set(policies[ANOMALIES].split(",")) == {"compact", "delete"}
    assert {topic.partitions for topic in describe_topics(broker.settings)} == {50}


def bootstrap(home: Home) -> dict[str, str]:
    return {"bootstrap.servers": home.settings.kafka_bootstrap_servers}


def test_a_broker_that_is_not_there_is_told(broker: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hdfs_pipeline.streaming.topics.TIMEOUT_S", 1.0)
    nowhere = broker.settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(SetupError, match=r"KAFKA_BOOTSTRAP_SERVERS"):
        ensure_topics(nowhere)


@pytest.mark.any_broker
def test_topics_with_a_prefix_serve_from_a_producer_to_the_store(tmp_path: Path, today: list[Path]) -> None:
    """Whoever makes, writes, reads, counts or stores a topic names it alike; what we tell of it has our name."""
    from confluent_kafka.admin import AdminClient

    home = embedded_home(tmp_path / "home", kafka_topic_prefix="team.", stream_idle_s=2.0)
    with running_broker(home):
        admin = AdminClient({"bootstrap.servers": (home.settings.broker / ADDRESS_FILE).read_text().strip()})
        assert set(admin.list_topics(timeout=20).topics) == {f"team.{name}" for name in all_topics()}
        sent = run_command(home, "produce", "raw", *map(str, today), "--json")
        assert sent.returncode == 0, sent.stderr
        sender = producer(home.settings)
        sender.produce("team.raw_logs", b"no record", b"blk_1", partition=3)
        assert sender.flush(30) == 0
        with start_command(home, "stream", "--to", "aggregated_events"), start_command(home, "sink"):
            wait_for(lambda: read_topic(home.settings, AGGREGATED_EVENTS), what="vectors")
            letters = wait_for(lambda: read_topic(home.settings, DEAD_LETTERS), what="a dead letter")
            assert json.loads(letters[0].value())["topic"] == RAW_LOGS
            wait_for(lambda: stored(home) > 1000, what="records in the store")
        sizes = {topic.name: topic.messages for topic in describe_topics(home.settings)}
        assert sizes[RAW_LOGS] > 1000 and sizes.keys() == all_topics().keys()


def stored(home: Home) -> int:
    try:
        return int(home.rows("SELECT count(*) FROM raw_logs")[0][0])
    except SetupError:  # no store yet
        return 0

"""The topic `incidents`: the same JSON under the incident's id; a topic that is made anew is told everything anew."""

import json
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hdfs_pipeline.alerting.notify import Told, notify_once
from hdfs_pipeline.alerting.topic import KEY_HEADER, has_brokers
from hdfs_pipeline.sources.kafka import INCIDENTS
from hdfs_pipeline_tests.alerting.conftest import following, put, remove
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import (
    REAL,
    broker,  # noqa: F401 - a fixture
    delete_topics,
    embedded_home,
    headers,
    read_topic,
    running_broker,
    wait_for,
)

pytestmark = pytest.mark.xdist_group("kafka")


def tell(home: Home) -> Told:
    (told,) = notify_once(home.store, home.settings, turn_s=0, patience_s=5)
    return told


def test_messages_of_an_incident_come_in_order_under_its_id(broker: Home) -> None:  # noqa: F811
    put(broker, "a1", "b2")
    assert tell(broker).events == {"opened": 2}
    put(broker, "a1", status="resolved")
    remove(broker, "b2")
    assert tell(broker).events == {"resolved": 1, "withdrawn": 1}
    assert tell(broker).well
    messages = read_topic(broker.settings, INCIDENTS)
    told = {}
    for message in messages:
        body = json.loads(message.value())
        assert message.key().decode() == body["incident"]["id"]
        assert headers(message)[KEY_HEADER] == body["delivery"]
        told.setdefault(body["incident"]["id"], []).append((body["event"], body["number"]))
    assert told == {"a1": [("opened", 1), ("resolved", 2)], "b2": [("opened", 1), ("withdrawn", 2)]}


def test_an_embedded_broker_that_was_started_anew_is_told_everything(tmp_path: Path) -> None:
    home = embedded_home(tmp_path / "home")
    with running_broker(home):
        put(home, "a1", "b2")
        tell(home)
    assert not has_brokers(home.settings)
    with running_broker(home):
        assert tell(home).events == {"opened": 2}
        assert len(read_topic(home.settings, INCIDENTS)) == 2
    assert home.rows("SELECT count(*) FROM deliveries") == [(2,)]


def test_killed_at_random_moments_nothing_is_lost(broker: Home, tmp_path: Path) -> None:  # noqa: F811
    seed = int(os.environ.get("HDFS_PIPELINE_FAULTS_SEED", "13"))
    draw = random.Random(seed)
    ids = [f"i{number}" for number in range(200)]
    put(broker, *ids)
    log = tmp_path / "log"
    for number in range(3):
        with following(broker, log) as process:
            wait_for(lambda n=number: log.read_text().count("telling kafka") > n, what=f"seed {seed}")
            threading.Event().wait(draw.random() * 0.6)
            process.kill()
        put(broker, *draw.sample(ids, 50), items=number)
    assert tell(broker).well
    with broker.store.read() as con:
        expected = dict(con.execute("SELECT id, items FROM incidents").fetchall())
    bodies: dict[str, bytes] = {}
    latest: dict[str, int] = {}
    for message in read_topic(broker.settings, INCIDENTS):
        key = headers(message)[KEY_HEADER]
        assert bodies.setdefault(key, message.value()) == message.value(), f"seed {seed}"
        latest[message.key().decode()] = json.loads(message.value())["incident"]["items"]
    assert latest == expected, f"seed {seed}"


@pytest.mark.real_broker
def test_a_topic_that_was_made_anew_is_told_everything(broker: Home) -> None:  # noqa: F811
    from confluent_kafka.admin import AdminClient

    put(broker, "a1")
    assert tell(broker).events == {"opened": 1}
    delete_topics(AdminClient({"bootstrap.servers": REAL}), {INCIDENTS})
    assert tell(broker).events == {"opened": 1}
    assert len(read_topic(broker.settings, INCIDENTS)) == 1


@pytest.mark.real_broker
def test_the_topic_keeps_the_latest_message_of_each_incident(broker: Home) -> None:  # noqa: F811
    from confluent_kafka.admin import AdminClient, ConfigResource

    admin = AdminClient({"bootstrap.servers": REAL})
    resource = ConfigResource(ConfigResource.Type.TOPIC, INCIDENTS)
    found = admin.describe_configs([resource])[resource].result(20)
    assert found["cleanup.policy"].value == "compact,delete"


def test_brokers_that_do_not_answer_are_said(new_home: Callable[..., Home]) -> None:
    home = new_home(kafka_bootstrap_servers="127.0.0.1:9", notify_timeout_s=1.0)
    put(home, "a1")
    (told,) = notify_once(home.store, home.settings, turn_s=0, patience_s=0)
    assert told.trouble == "no Kafka broker answers at 127.0.0.1:9"

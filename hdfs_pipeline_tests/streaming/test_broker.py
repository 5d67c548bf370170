"""The embedded broker: one per home, ends cleanly, and what a killed one leaves behind does no harm."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hdfs_pipeline.domains.blocks.topics import RAW_LOGS
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.sources.kafka import ADDRESS_FILE, bootstrap_servers, producer
from hdfs_pipeline.streaming.broker import run_broker
from hdfs_pipeline.streaming.topics import describe_topics
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import (
    command,
    embedded_home,
    read_topic,
    run_command,
    running_broker,
    wait_for,
)

pytestmark = pytest.mark.any_broker  # the embedded one is meant


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_takes_its_address_away(tmp_path: Path, number: int) -> None:
    home = embedded_home(tmp_path)
    with running_broker(home) as process:
        address = bootstrap_servers(home.settings)
        assert address.startswith("127.0.0.1:")
        begun = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == 0
        assert time.monotonic() - begun < 10
    assert not (home.settings.broker / ADDRESS_FILE).exists()
    with pytest.raises(SetupError, match="hdfs-pipeline broker"):
        bootstrap_servers(home.settings)


def test_a_home_has_one_broker(embedded: Home) -> None:
    second = run_command(embedded, "broker")
    assert second.returncode == SetupError.exit_code
    assert bootstrap_servers(embedded.settings) in second.stderr


def test_a_killed_broker_is_replaced(tmp_path: Path) -> None:
    home = embedded_home(tmp_path)
    with running_broker(home) as process:
        process.kill()
        process.wait(20)
        assert (home.settings.broker / ADDRESS_FILE).exists(), "a killed one cannot tidy up"
        with pytest.raises(SetupError, match="no Kafka broker"):
            bootstrap_servers(home.settings)
    with running_broker(home):
        assert {topic.messages for topic in describe_topics(home.settings)} == {0}


def test_it_remembers_nothing(tmp_path: Path) -> None:
    home = embedded_home(tmp_path)
    for _ in range(2):
        with running_broker(home) as process:
            sender = producer(home.settings)
            sender.produce(RAW_LOGS, b"once", b"blk_1")
            assert sender.flush(30) == 0
            assert [message.value() for message in read_topic(home.settings, RAW_LOGS)] == [b"once"]
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def test_another_broker_leaves_no_room_for_it(tmp_path: Path) -> None:
    home = embedded_home(tmp_path, kafka_bootstrap_servers="kafka.example:9092")
    with pytest.raises(SetupError, match=r"kafka\.example:9092.*KAFKA_BOOTSTRAP_SERVERS"):
        run_broker(home.settings)


def test_it_goes_with_its_parent_where_asked(tmp_path: Path) -> None:
    home = embedded_home(tmp_path)
    line, environment = command(home, "broker", "--with-parent")
    between = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:]); print(p.pid, flush=True); p.wait()"
    parent = subprocess.Popen([sys.executable, "-c", between, *line], env=environment, stdout=subprocess.PIPE)
    child = 0
    try:
        child = int(parent.stdout.readline())
        wait_for((home.settings.broker / ADDRESS_FILE).exists)
        parent.kill()
        parent.wait(20)
        wait_for(lambda: not (home.settings.broker / ADDRESS_FILE).exists(), 20)
        child = 0
    finally:
        parent.kill()
        parent.stdout.close()
        parent.wait(20)
        if child:
            os.kill(child, signal.SIGKILL)


def test_the_count_of_partitions_is_a_setting(tmp_path: Path) -> None:
    home = embedded_home(tmp_path)
    line, environment = command(home, "broker", "--with-parent")
    environment["HDFS_PIPELINE_KAFKA_PARTITIONS"] = "7"
    process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline()
        assert {topic.partitions for topic in describe_topics(home.settings)} == {7}
    finally:
        process.terminate()
        process.communicate(timeout=20)

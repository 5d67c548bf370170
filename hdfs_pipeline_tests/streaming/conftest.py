"""Brokers to test on: the embedded one, fresh for every test, or the real one that KAFKA_BOOTSTRAP_SERVERS names."""

import csv
import gzip
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from hdfs_pipeline.settings import BOOTSTRAP, PREFIX, PROJECT, Settings
from hdfs_pipeline.sources.kafka import ADDRESS_FILE, consumer
from hdfs_pipeline.streaming.topics import all_topics, ensure_topics
from hdfs_pipeline_tests.homes import Home, open_home

LIMIT_S = 60.0
TODAY = PROJECT / "data" / "sample" / "hdfs_3.4"
REAL = os.environ.get(BOOTSTRAP, "")
HOW = f"no real Kafka broker: `docker compose up --wait kafka`, then set {BOOTSTRAP}=127.0.0.1:9092"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("real_broker") and not REAL:
        pytest.skip(HOW)
    if item.get_closest_marker("any_broker") and REAL:
        pytest.skip(f"says the same whatever broker {BOOTSTRAP} names: run without it")
    if REAL and not all(address.rsplit(":", 1)[0] in ("127.0.0.1", "localhost") for address in REAL.split(",")):
        pytest.skip(f"{BOOTSTRAP} names {REAL}: tests delete topics, so they take a broker of this machine only")


def wait_for(condition: Callable[[], Any], limit_s: float = LIMIT_S, what: str = "") -> Any:
    """What `condition` gives once that is true; a test that waits longer has failed."""
    began = asked = time.monotonic()
    while not (found := condition()):
        now = time.monotonic()
        assert now < began + limit_s, f"not within {limit_s:.0f} s: {what or condition}"
        # At least as long as the question took: reading a topic anew all the time would take a core from who fills it.
        time.sleep(min(max(0.02, now - asked), 0.5))
        asked = time.monotonic()
    return found


def command(home: Home, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of `hdfs-pipeline` in `home`, with its broker and its settings of the stream."""
    left = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) and name != BOOTSTRAP}
    if home.settings.kafka_bootstrap_servers:
        left[BOOTSTRAP] = home.settings.kafka_bootstrap_servers
    # What the tests have set; the rest is the home's own, in its settings.toml.
    names = [name for name in Settings.model_fields if name.startswith(("stream_", "kafka_partitions", "kafka_topic"))]
    streaming = {name: getattr(home.settings, name) for name in names}
    streaming = {name: value for name, value in streaming.items() if value != Settings.model_fields[name].default}
    left |= {f"{PREFIX}{name.upper()}": str(value) for name, value in streaming.items()}
    program = [sys.executable, "-c", "from hdfs_pipeline.cli import main; main()"]
    return [*program, "--home", str(home.settings.home), *arguments], left | {"COLUMNS": "150"}


def run_command(home: Home, *arguments: str, limit_s: float = LIMIT_S) -> subprocess.CompletedProcess[str]:
    """`hdfs-pipeline` in `home`, to its end."""
    line, environment = command(home, *arguments)
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=limit_s)


@contextmanager
def start_command(home: Home, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`hdfs-pipeline` in `home`, running; killed at the end if it still does."""
    line, environment = command(home, *arguments)
    process = subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_topic(settings: Settings, topic: str, isolation: str = "read_committed") -> list[Any]:
    """All messages of a topic that are there now, each partition's in order."""
    from confluent_kafka import KafkaError, TopicPartition

    reader = consumer(
        settings,
        group_id="tests",
        enable_auto_commit="false",
        enable_partition_eof="true",
        isolation_level=isolation,
        auto_offset_reset="earliest",
    )
    left = set(range(settings.kafka_partitions))
    reader.assign([TopicPartition(settings.topic(topic), part, 0) for part in left])
    found, deadline = [], time.monotonic() + LIMIT_S
    while left:
        assert time.monotonic() < deadline, f"{topic}: partitions {left} have no end"
        for message in reader.consume(5000, 0.2):
            if message.error() is None:
                found.append(message)
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                left.discard(message.partition())
    reader.close()
    return sorted(found, key=lambda message: (message.partition(), message.offset()))


def headers(message: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in message.headers() or []}


@contextmanager
def running_broker(home: Home) -> Iterator[subprocess.Popen[str]]:
    """An embedded broker of `home`, in a process of its own, once it answers."""
    with start_command(home, "broker", "--with-parent") as process:
        # Its line on standard output comes after the address file; the end of the process closes the pipe.
        told = process.stdout.readline()
        assert told, process.stderr.read()
        assert (home.settings.broker / ADDRESS_FILE).read_text() == told
        yield process


def embedded_home(folder: Path, **settings: object) -> Home:
    """A home that uses its own embedded broker, whatever the environment says."""
    return open_home(folder, **{"kafka_bootstrap_servers": "", "lock_timeout_s": 60.0, **settings})


def used_topics(admin: Any) -> set[str]:
    """The project's topics that were ever written to, or have another number of partitions than the tests want."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import OffsetSpec

    found = {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=20).topics.items()}
    places = [TopicPartition(name, part) for name in all_topics() for part in range(found.get(name, 0))]
    ends = admin.list_offsets(dict.fromkeys(places, OffsetSpec.latest()), request_timeout=20) if places else {}
    written = {place.topic for place, future in ends.items() if future.result(20).offset > 0}
    return written | {name for name in all_topics() if found.get(name, 50) != 50}


def delete_topics(admin: Any, names: set[str]) -> None:
    for future in admin.delete_topics(list(names), operation_timeout=20).values():
        future.result(30)
    wait_for(lambda: not set(admin.list_topics(timeout=20).topics) & names, what="topics deleted")


@contextmanager
def emptied_broker(folder: Path, **settings: object) -> Iterator[Home]:
    """A home on the real broker with empty topics: used ones are made anew. Nobody else tests on it meanwhile."""
    from confluent_kafka.admin import AdminClient

    lock = f"hdfs_pipeline_tests.{re.sub('[^0-9A-Za-z]+', '_', REAL)}.lock"
    with FileLock(Path(tempfile.gettempdir()) / lock, timeout=600):
        home = open_home(folder, **{"kafka_bootstrap_servers": REAL, "stream_group": f"t{time.time_ns()}", **settings})
        admin = AdminClient({"bootstrap.servers": REAL})
        if used := used_topics(admin):
            delete_topics(admin, used)
        ensure_topics(home.settings)
        home.settings.home.mkdir(parents=True, exist_ok=True)  # as an embedded broker does, which lives in its home
        yield home


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose embedded broker runs, shared by the session: for tests that do not mind what topics hold."""
    home = embedded_home(tmp_path_factory.mktemp("embedded"))
    with running_broker(home):
        yield home


@pytest.fixture(scope="session")
def today(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every record of 150 blocks of the HDFS 3.4 sample, half of them anomalous, by daemon."""
    with (TODAY / "labels.csv").open(newline="") as file:
        known = {row["block_id"]: row["label"] for row in csv.DictReader(file)}
    wanted: set[bytes] = set()
    for label in ("normal", "anomaly"):
        blocks = [block for block, own in known.items() if own == label]
        wanted |= {block.encode() for block in blocks[:: len(blocks) // 75]}
    folder = tmp_path_factory.mktemp("today")
    for path in sorted(TODAY.glob("*.log.gz")):
        lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
        named = (line for line in lines if not wanted.isdisjoint(re.findall(rb"blk_\d+", line)))
        daemon, _, number = path.name.partition(".")[0].partition("_")
        (folder / f"hadoop-hdfs-{daemon}-{daemon[0]}n{number}.log").write_bytes(b"".join(named))
    return sorted(folder.iterdir())


@pytest.fixture
def fresh_embedded(tmp_path: Path) -> Iterator[Home]:
    """A home whose own embedded broker runs, with empty topics."""
    home = embedded_home(tmp_path / "embedded")
    with running_broker(home):
        yield home


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Home]:
    """A home with empty topics: on the real broker where the environment names one, or else on an embedded one.

    `home.settings` is what `producer(settings)`, `consumer(settings)` and the rest take. On the real broker consumer
    groups outlive a test: `settings.stream_group` has another name in every test.
    """
    if REAL:
        with emptied_broker(tmp_path / "home") as home:
            yield home
        return
    home = embedded_home(tmp_path / "home")
    with running_broker(home):
        yield home

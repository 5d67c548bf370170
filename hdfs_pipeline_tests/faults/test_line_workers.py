"""Workers of access lines and application logs that are killed, join and leave, and what is poison to them."""

import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hdfs_pipeline.domains.weblogs.topics import REQUEST_WINDOWS
from hdfs_pipeline.sources.kafka import ANOMALIES, DEAD_LETTERS
from hdfs_pipeline_tests.faults.line_streams import (
    APP,
    PARTS,
    UNFIT,
    WEB,
    Flow,
    Message,
    copies,
    difference,
    learned,
    reconcile,
    said_by_store,
    said_by_stream,
    simulated,
    slices,
    store_all,
    until_equal,
)
from hdfs_pipeline_tests.faults.real_broker import real_broker
from hdfs_pipeline_tests.faults.reconcile import send
from hdfs_pipeline_tests.faults.test_poison import told
from hdfs_pipeline_tests.faults.test_topics_changed import make_anew
from hdfs_pipeline_tests.faults.test_workers import kill_at
from hdfs_pipeline_tests.faults.topics import configured
from hdfs_pipeline_tests.homes import Home, open_home
from hdfs_pipeline_tests.streaming.conftest import (
    REAL,
    embedded_home,
    emptied_broker,
    read_topic,
    running_broker,
    wait_for,
)
from hdfs_pipeline_tests.streaming.workers import settle_in, worker

pytestmark = pytest.mark.faults
KILLS = 4
LATE_S = 200.0
FLOWS = pytest.mark.parametrize("flow", [WEB, APP], ids=[WEB.topic, APP.topic])


@pytest.fixture(scope="module")
def messages_known(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home that has learned from messages."""
    return learned(tmp_path_factory.mktemp("learned"))


def settle(home: Home, known: Home) -> None:
    """What is known of messages, and settings that keep the tests quick."""
    settle_in(home, known)
    shutil.copytree(known.settings.app_catalogues, home.settings.app_catalogues)


@pytest.fixture
def home(tmp_path: Path, messages_known: Home) -> Iterator[Home]:
    """A home on an empty broker; of requests it has nothing but the rules."""
    if REAL:
        with emptied_broker(tmp_path / "home") as found:
            settle(found, messages_known)
            yield found
        return
    found = embedded_home(tmp_path / "home", kafka_partitions=PARTS)
    with running_broker(found):
        settle(found, messages_known)
        yield found


@FLOWS
def test_workers_killed_at_random_moments(
    home: Home, flow: Flow, chance: random.Random, reconciled: Callable[[str], None]
) -> None:
    """With messages that come minutes late."""
    messages = simulated(flow, chance, late_s=LATE_S)
    for number, part in enumerate(slices(messages, KILLS)):
        send(home, flow.topic, part)
        with worker(home, "--from", flow.topic, ready="taken over") as running:
            if number:
                kill_at(running, chance.uniform(0.05, 3.0))
            else:  # has begun, and committed
                wait_for(lambda: read_topic(home.settings, DEAD_LETTERS), 120, "the first letters")
                kill_at(running, 2.0)
    with worker(home, "--from", flow.topic, ready="") as last:
        done = reconcile(home, flow, len(messages))
        assert last.end() == 0, last.log
        assert "Traceback" not in last.log
    reconciled(f"{KILLS} kills -9; {done}; {copies(home, ANOMALIES)} verdicts were told again")


@FLOWS
def test_partitions_that_move_while_messages_flow(
    home: Home, flow: Flow, chance: random.Random, reconciled: Callable[[str], None]
) -> None:
    messages = simulated(flow, chance, late_s=LATE_S)
    first_half, second, third = slices(messages, 3)
    with worker(home, "--from", flow.topic) as first:
        send(home, flow.topic, first_half)
        wait_for(lambda: read_topic(home.settings, DEAD_LETTERS), 120, "the first letters")
        with worker(home, "--from", flow.topic) as other:
            first.wait_for("taken over", 2)
            send(home, flow.topic, second)
            assert other.end() == 0, other.log
        with worker(home, "--from", flow.topic) as killed:
            send(home, flow.topic, third)
            assert killed.end(signal.SIGKILL) == -signal.SIGKILL
        done = reconcile(home, flow, len(messages))
        moves = first.log.count("taken over")
        assert moves >= 3
        assert first.end() == 0, first.log
    reconciled(f"1, 2, 1, 2 and 1 workers, {moves} assignments of the first; {done}")


def test_minutes_are_judged_in_the_stream_as_in_the_store(
    home: Home, chance: random.Random, reconciled: Callable[[str], None]
) -> None:
    """Both workers, the second one killed while it works."""
    messages = simulated(WEB, chance)
    with worker(home, "--from", WEB.topic) as requests:
        with worker(home, "--from", REQUEST_WINDOWS) as minutes:
            send(home, WEB.topic, messages)
            wait_for(lambda: read_topic(home.settings, REQUEST_WINDOWS), 120, "the first windows")
            assert minutes.end(signal.SIGKILL) == -signal.SIGKILL
        with worker(home, "--from", REQUEST_WINDOWS, ready="") as minutes:
            done = reconcile(home, WEB, len(messages))
            wanted = said_by_store(home, "traffic")
            assert wanted
            until_equal(home, lambda home: said_by_stream(home, "traffic"), wanted, 120)
            assert minutes.end() == requests.end() == 0
    reconciled(f"{done}; {len(wanted)} verdicts on minutes")


@FLOWS
def test_poison_is_told_of_once_and_harms_nothing(
    home: Home, flow: Flow, chance: random.Random, reconciled: Callable[[str], None]
) -> None:
    good = simulated(flow, chance, rate=1.0)
    key, line, part = next(each for each in good[len(good) // 2 :] if each[1] not in UNFIT)
    assert key is not None and line is not None
    app = b"2026-11-26 09:00:00,000 INFO a: "
    long = line.replace(b"GET /", b"GET /" + b"a" * (2 << 20), 1) if flow is WEB else app + b"x" * (2 << 20)
    poison: list[Message] = [
        (key, None, part),
        (None, None, 0),
        (key, b"\xff\xfe\x00" * 50, part),
        (key, long, part),
        (key, b"x" * (2 << 20), part),
        (key, b'{"timestamp": [1], "message": {"a": 1}}', part),
        (key, b"[" * 100_000, part),
        (key, b'{"status": "many", "request": 7}', part),
        (key, b"null", part),
    ]
    odd_keys: list[Message] = [
        (b"k" * 10_000, line, part),
        (b"\xff\xfe", line, part),
        (None, line, part),
        (b"", line, part),
    ]
    with configured(home, [flow.topic], "max.message.bytes", "20000000"), worker(home, "--from", flow.topic) as running:
        half = len(good) // 2
        send(home, flow.topic, good[:half])
        offsets = send(home, flow.topic, poison)
        send(home, flow.topic, odd_keys)
        send(home, flow.topic, good[half:])
        done = reconcile(home, flow, len(good) + len(poison) + len(odd_keys))
        places = {(flow.topic, at[2], offset) for at, offset in zip(poison, offsets, strict=True)}
        letters = home.rows("SELECT source, position FROM dead_letters")
        stored = Counter((flow.topic, int(source.rpartition("/")[2]), at) for source, at in letters)
        assert stored.keys() >= places
        wait_for(lambda: told(home).keys() == stored.keys(), what="all poison is told of")
        assert told(home) == stored, "each once, and nothing else"
        assert running.end() == 0
        assert "Traceback" not in running.log
    assert home.rows("SELECT count(*) FROM dead_letters WHERE reason LIKE 'longer than%'") == [(2,)]
    assert home.rows("SELECT count(*) FROM dead_letters WHERE reason = 'no value'") == [(2,)]
    reconciled(done)


@pytest.mark.real_broker
@FLOWS
def test_a_topic_made_anew_is_read_from_its_start(home: Home, flow: Flow, chance: random.Random) -> None:
    messages = simulated(flow, chance)
    before, after = slices(messages, 2)
    with worker(home, "--from", flow.topic) as running:
        send(home, flow.topic, before)
        store_all(home, flow, len(before))
        until_equal(home, lambda home: said_by_stream(home, flow.domain), said_by_store(home, flow.domain), 120)
        make_anew(home, flow.topic)
        send(home, flow.topic, after)
        running.wait_for(f"{flow.topic} was deleted and made anew")
        store_all(home, flow, len(messages))
        wanted = said_by_store(home, flow.domain)
        until_equal(home, lambda home: said_by_stream(home, flow.domain), wanted, 120)
        found = said_by_stream(home, flow.domain)
        assert found == wanted, difference(found, wanted)
        assert running.end() == 0
    assert {letter[0] for letter in told(home)} <= {flow.topic}
    assert len(read_topic(home.settings, DEAD_LETTERS)) == sum(told(home).values())


@pytest.mark.any_broker
def test_a_broker_that_is_killed_comes_back(
    tmp_path: Path, chance: random.Random, reconciled: Callable[[str], None]
) -> None:
    with real_broker(tmp_path / "kafka") as broker:
        home = open_home(tmp_path / "home", kafka_bootstrap_servers=broker.address)
        home.settings.home.mkdir(exist_ok=True)
        settle_in(home, None)
        messages = simulated(WEB, chance)
        with worker(home, "--from", WEB.topic) as running:
            first, second = slices(messages, 2)
            send(home, WEB.topic, first)
            broker.kill()
            broker.start()
            send(home, WEB.topic, second)
            done = reconcile(home, WEB, len(messages), limit_s=180)
            assert running.end() == 0, running.log
    reconciled(f"1 kill -9 of the broker; {done}")

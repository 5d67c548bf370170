"""Kafka topics into the store: each message once, whatever the runs were and however they ended."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.applogs.topics import APP_LOGS
from hdfs_pipeline.domains.blocks import log_sink
from hdfs_pipeline.domains.blocks.records import NO_STAMP
from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS, HDFS_LOGS, LABELS, RAW_LOGS
from hdfs_pipeline.domains.blocks.wire import block_key, encode
from hdfs_pipeline.domains.weblogs.topics import WEB_LOGS
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.settings import BOOTSTRAP, PROJECT
from hdfs_pipeline.sinks import topics as sink
from hdfs_pipeline.sinks.topics import Sunk, next_ranges
from hdfs_pipeline.sources.kafka import ANOMALIES, producer
from hdfs_pipeline.sources.ranges import Admin
from hdfs_pipeline.store.offsets import OffsetConflict
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.streaming.topics import ensure_topics
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.sinks import sink_worker as worker
from hdfs_pipeline_tests.sinks.sink_worker import (
    PARTS,
    POISON,
    STREAMED,
    embedded,
    encoded,
    everything,
    line,
    mixture,
    send,
)
from hdfs_pipeline_tests.sources.odd_messages import damaged, send_as_it_is
from hdfs_pipeline_tests.streaming.conftest import HOW, emptied_broker, wait_for

LIMIT_S = 60


@pytest.fixture
def streamed(new_home: Callable[..., Home]) -> Iterator[Home]:
    """A home with an embedded broker of its own and empty topics."""
    home = new_home(kafka_bootstrap_servers="", kafka_partitions=PARTS)
    with embedded(home.settings):
        yield home


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A broker folder whose topics hold the mixtures; to be read by any home."""
    from hdfs_pipeline.settings import load_settings

    found = load_settings(tmp_path_factory.mktemp("filled")).model_copy(update={"kafka_bootstrap_servers": ""})
    with embedded(found):
        for topic in STREAMED:
            send(found, topic, mixture(topic))
        yield found.broker


def ingest(home: Home, topic: str = RAW_LOGS, *arguments: Any, **more: Any) -> Sunk:
    return worker.ingest(home.store, home.settings, topic, *arguments, **more)


def logs(home: Home, count: int, part: int = 0, first: int = 0) -> None:
    send(home.settings, RAW_LOGS, [(block_key(n), line(n, n), part) for n in range(first, first + count)])


def positions(home: Home) -> list[tuple[Any, ...]]:
    return home.rows("SELECT path, position FROM raw_logs JOIN sources USING (source_id) ORDER BY ALL")


@pytest.fixture(scope="module")
def one_pass(filled: Path, tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> dict[str, Any]:
    """What one run over each whole topic gives."""
    home = at_broker(filled, tmp_path_factory.mktemp("once") / "home", empty_store)
    found = {}
    for topic in STREAMED:
        ingest(home, topic)
        found[topic] = everything(home.store, topic) | {"dead": []}
    found["dead"] = home.rows("SELECT source, position, reason, text FROM dead_letters ORDER BY ALL")
    return found


def at_broker(broker: Path, folder: Path, empty_store: Path, **more: Any) -> Home:
    from hdfs_pipeline.settings import load_settings

    found = load_settings(folder).model_copy(update={"kafka_bootstrap_servers": "", "lock_timeout_s": 60.0, **more})
    found.home.mkdir(parents=True)
    shutil.copytree(broker, found.broker)
    shutil.copy(empty_store, found.store_path)
    return Home(found, Store(found.store_path, lock_timeout_s=60.0, memory_limit="500MB"))


@pytest.mark.parametrize("topic", STREAMED)
def test_poison_is_buried_and_the_rest_stored(streamed: Home, topic: str) -> None:
    messages = mixture(topic)
    send(streamed.settings, topic, messages)
    done = ingest(streamed, topic)
    assert done.messages == len(messages)
    assert done.left == 0 and not done.gaps
    dead = streamed.rows("SELECT source, position, reason, text FROM dead_letters ORDER BY ALL")
    assert len(dead) == done.dead_letters >= len(POISON)
    assert all(
        source.startswith(f"kafka:{topic}/") and reason and len(text) <= 1000 for source, _, reason, text in dead
    )
    assert {"longer than 1048576 bytes", "no value"} <= {reason for _, _, reason, _ in dead}
    assert streamed.rows(f"SELECT count(*) FROM {STREAMED[topic]}") == [(done.rows,)]
    if topic == RAW_LOGS:
        assert done.rows == 40 + 1 + 2 + 1 + 2 + 1 + 1
        assert (done.copies, done.unkeyed) == (2, 2)
        assert "write them to shipped_logs" in done.notes[0]
    elif topic == HDFS_LOGS:
        assert done.rows == 9
    elif topic in (WEB_LOGS, APP_LOGS):
        assert done.rows == 42
    elif topic == LABELS:
        assert streamed.rows("SELECT block_id, label, kind FROM labels ORDER BY 1") == [
            (n, *["anomaly" if (5 + n if n > 1 else 10 + n) % 2 else "normal"] * 2) for n in range(5)
        ]
    assert "nothing new" in ingest(streamed, topic).notes


def test_values_are_kept_as_they_were_sent(streamed: Home) -> None:
    for topic, message in (
        (AGGREGATED_EVENTS, worker.VECTOR),
        (ANOMALIES, worker.VERDICT),
        (HDFS_LOGS, worker.FEATURES),
        (LABELS, worker.LABEL),
    ):
        send(streamed.settings, topic, [(None, encoded(message), 2)], timestamp=1_700_000_000_123)
        ingest(streamed, topic)
    (vector,) = streamed.rows("SELECT * EXCLUDE (closed_at), epoch_ms(closed_at) FROM aggregated_events")
    counts, time = {"E5": 2, "E9": 1}, worker.TIME
    assert vector[:11] == (-5, "hdfs_3.v1", counts, 3, 1, time, time, 0, 7, 9, "idle")
    assert vector[11:] == (1, 0, 1_700_000_000_123)
    (verdict,) = streamed.rows("SELECT * EXCLUDE (explanation), explanation->'a' FROM anomalies")
    assert verdict[:8] == ("blocks", "dn3", "blk_-5", "d", 1, 0.9, 0.5, "write failed")
    assert verdict[8:] == (
        *("why", time, None, 3, AGGREGATED_EVENTS, "final", 0, 7, 9, "idle", time, 1, 0),
        *("dn3", *[None] * 7, "[1]"),
    )
    features = streamed.rows("SELECT part, position, block_id, counts, label, epoch FROM hdfs_logs")
    assert features == [(2, 0, 8, {"E5": 2}, "anomaly", 1)]
    assert streamed.rows("FROM labels") == [(8, "anomaly", "disk")]


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_any_split_with_any_repetition_gives_the_same_tables(
    filled: Path,
    one_pass: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    empty_store: Path,
    data: st.DataObject,
) -> None:
    topic = data.draw(st.sampled_from(list(STREAMED)))
    home = at_broker(filled, tmp_path_factory.mktemp("split") / "home", empty_store)
    done: list[dict[int, Any]] = []
    while True:
        marks, planned = next_ranges(home.store, home.settings, topic)
        if not planned.ranges:
            break
        ranges = {}
        for part, (start, end) in planned.ranges.items():
            to = end if len(done) > 1 else data.draw(st.integers(start, end))
            ranges |= {part: (start, to)} if to > start else {}
        ids = {"cluster_id": marks.cluster_id, "topic_id": marks.topic_id}
        ingest(home, topic, ranges or planned.ranges, **ids)
        done.append(ranges or planned.ranges)
        if data.draw(st.booleans()):
            repeated = ingest(home, topic, data.draw(st.sampled_from(done)), **ids)
            assert repeated.notes == ["these ranges are in the store already: nothing to do"]
        if topic != LABELS and data.draw(st.booleans()):
            ingest(home, topic, data.draw(st.sampled_from(done)), again=True, **ids)
    found = everything(home.store, topic)
    assert found["rows"] == one_pass[topic]["rows"]
    if topic == RAW_LOGS:
        assert [row for row in found["sources"] if row[4]] == one_pass[topic]["sources"]
    dead = [row for row in one_pass["dead"] if row[0].startswith(f"kafka:{topic}/")]
    assert found["dead"] == dead
    assert found["gaps"] == []


def start(home: Home, topic: str, most: int, die: str = "no") -> "subprocess.Popen[str]":
    command = [sys.executable, worker.__file__, str(home.settings.home), topic, str(most), die]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(PROJECT)})


@pytest.mark.parametrize(("topic", "kills"), [(RAW_LOGS, 3), (AGGREGATED_EVENTS, 1), (WEB_LOGS, 1)])
def test_killed_runs_leave_nothing_and_repeat_nothing(
    filled: Path, one_pass: dict[str, Any], tmp_path: Path, empty_store: Path, topic: str, kills: int
) -> None:
    home = at_broker(filled, tmp_path / "home", empty_store)
    with start(home, topic, 10, "inside") as process:  # within its transaction, after the first rows
        assert process.wait(LIMIT_S) == -signal.SIGKILL
    assert home.rows(f"SELECT count(*) FROM {STREAMED[topic]}") == home.rows("SELECT count(*) FROM offsets") == [(0,)]
    assert list(home.settings.home.glob(".staging.*"))
    for wait_s in (0.02, 0.1, 0.2)[:kills]:
        with start(home, topic, 4) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            killer = threading.Timer(wait_s + random.random() / 20, process.kill)
            killer.start()
            process.wait(LIMIT_S)
            killer.join()
    while ingest(home, topic).messages:
        pass
    found = everything(home.store, topic)
    assert found["rows"] == one_pass[topic]["rows"]
    assert found["offsets"] == [row for row in one_pass[topic]["offsets"] if row[0] == topic]
    assert not list(home.settings.home.glob(".staging.*"))


def test_one_record_of_several_blocks_is_stored_once(streamed: Home) -> None:
    several = line(1, 5, -6, 7)
    send(streamed.settings, RAW_LOGS, [(block_key(block), several, block % PARTS) for block in (7, -6, 5)])
    send(streamed.settings, RAW_LOGS, [(block_key(1), several, 0), (None, several, 0)])  # neither is a copy
    done = ingest(streamed)
    assert (done.rows, done.copies, done.unkeyed) == (3, 2, 1)
    assert streamed.rows("SELECT DISTINCT block_ids FROM raw_logs") == [([5, -6, 7],)]
    assert streamed.rows("SELECT sum(records) FROM sources") == [(3,)]


def test_several_records_in_one_message_have_places_of_their_own(streamed: Home) -> None:
    text = b"\n".join([line(1, 5), line(2, 6), b"  more", line(3, 7, 5)])
    send(streamed.settings, RAW_LOGS, [(b"blk_5", text, 0), (b"blk_9", line(4, 9), 0)])
    assert ingest(streamed).rows == 4
    step = 2**40
    found = streamed.rows("SELECT position, block_ids, more FROM raw_logs ORDER BY 1")
    assert [row[:2] for row in found] == [(0, [5]), (1, [9]), (step, [6]), (2 * step, [7, 5])]
    assert streamed.rows("SELECT records, lines FROM sources") == [(4, 5)]
    ingest(streamed, RAW_LOGS, {0: (0, 1)}, again=True)
    assert streamed.rows("SELECT position, block_ids, more FROM raw_logs ORDER BY 1") == found


def test_host_and_daemon_come_from_headers_or_the_shipper(streamed: Home) -> None:
    headers: Any = [("trace", b"1"), ("host", b"h1"), ("daemon", b"datanode")]
    send(streamed.settings, RAW_LOGS, [(b"blk_1", line(1, 1), 0)], headers=headers)
    name = "/var/log/hadoop-hdfs-namenode-h2.example.log"
    shipped = b'{"message": "%s", "log": {"file": {"path": "%s"}}}' % (line(2, 1), name.encode())
    send(streamed.settings, RAW_LOGS, [(b"blk_1", shipped, 0), (b"blk_1", line(3, 1), 0)])
    ingest(streamed)
    assert streamed.rows("SELECT path, host, daemon, records FROM sources ORDER BY 2") == [
        ("kafka:raw_logs/0", "", "", 1),
        ("kafka:raw_logs/0", "h1", "datanode", 1),
        ("kafka:raw_logs/0", "h2.example", "namenode", 1),
    ]


def test_a_host_that_no_encoding_takes_ends_no_run(streamed: Home) -> None:
    shipped = b'{"message": "%s", "host": "\\ud800", "file": "/a\\udfff"}' % line(1, 1)
    send(streamed.settings, RAW_LOGS, [(b"blk_1", shipped, 0)])
    assert ingest(streamed).rows == 1
    assert streamed.rows("SELECT host, daemon FROM sources") == [("?", "a?")]


def test_times_are_of_the_zone_that_the_settings_name(new_home: Callable[..., Home]) -> None:
    home = new_home(kafka_bootstrap_servers="", log_timezone="Europe/Berlin")
    with embedded(home.settings):
        logs(home, 1)
        ingest(home)
        assert home.rows("SELECT time::VARCHAR FROM raw_logs") == [("2026-11-21 03:00:00.725+00",)]
        logs(home, 1)
        wrong = Home(home.settings.model_copy(update={"log_timezone": "Nowhere"}), home.store)
        with pytest.raises(SetupError, match="no time zone 'Nowhere'"):
            ingest(wrong)


def test_a_run_takes_no_more_than_it_may(streamed: Home) -> None:
    logs(streamed, 50)
    few = Home(streamed.settings.model_copy(update={"sink_max_records": 20}), streamed.store)
    assert [(done.messages, done.left) for done in (ingest(few) for _ in range(4))] == [
        (20, 30),
        (20, 10),
        (10, 0),
        (0, 0),
    ]


def test_what_retention_took_is_noted_once(streamed: Home) -> None:
    big = [(b"blk_1", line(n, 1) + b" " + b"x" * 100_000, 0) for n in range(120)]  # 5 MiB are kept
    send(streamed.settings, RAW_LOGS, [*big, (b"blk_2", line(1, 2), 1)])
    done = ingest(streamed)
    ((start, end),) = done.gaps[0]
    assert start == 0 and done.missing == end == 121 - done.messages
    assert f"{end:,} messages were gone" in done.notes[-1]
    assert ingest(streamed).gaps == {}
    assert streamed.rows("SELECT topic, epoch, part, from_offset, to_offset FROM stream_gaps") == [
        (RAW_LOGS, 1, 0, 0, end)
    ]
    send(streamed.settings, RAW_LOGS, big)
    again = ingest(streamed)
    assert again.gaps[0][0][0] == 120
    assert streamed.rows("SELECT count(*) FROM raw_logs")[0][0] + done.missing + again.missing == 241


def test_a_range_that_is_gone_when_it_is_read_is_noted(streamed: Home) -> None:
    big = [(b"blk_1", line(n, 1) + b" " + b"x" * 100_000, 0) for n in range(120)]
    send(streamed.settings, RAW_LOGS, big[:3])
    _, planned = next_ranges(streamed.store, streamed.settings, RAW_LOGS)
    send(streamed.settings, RAW_LOGS, big)
    done = ingest(streamed, RAW_LOGS, planned.ranges)
    assert (done.rows, done.gaps) == (0, {0: [(0, 3)]})
    assert streamed.rows("SELECT next FROM offsets") == [(3,)]


def test_a_store_in_use_delays_and_loses_nothing(streamed: Home) -> None:
    logs(streamed, 10)
    con = duckdb.connect(str(streamed.store.path))  # as DBeaver holds it
    threading.Timer(2.0, con.close).start()
    assert ingest(streamed).rows == 10
    con = duckdb.connect(str(streamed.store.path))
    logs(streamed, 5)
    impatient = Store(streamed.store.path, lock_timeout_s=0.2)
    with pytest.raises(SetupError, match="in use by process"):
        worker.ingest(impatient, streamed.settings, RAW_LOGS)
    con.close()
    assert ingest(streamed).rows == 5
    assert positions(streamed) == [("kafka:raw_logs/0", n) for n in range(15)]


def test_a_topic_made_anew_begins_another_life(streamed: Home) -> None:
    vector = encode(worker.replace(worker.VECTOR, last_offset=9, lines=9))
    smaller = encode(worker.replace(worker.VECTOR, last_offset=8, lines=8))
    logs(streamed, 5)
    send(streamed.settings, AGGREGATED_EVENTS, [(None, vector, 0)])
    send(streamed.settings, HDFS_LOGS, [(None, encode(worker.FEATURES), 0)])
    first = [ingest(streamed, topic) for topic in (RAW_LOGS, AGGREGATED_EVENTS, HDFS_LOGS)]
    address = (streamed.settings.broker / worker.ADDRESS_FILE).read_text()
    with embedded(streamed.settings):
        logs(streamed, 3)
        send(streamed.settings, RAW_LOGS, [(None, b"poison", 0)])
        send(streamed.settings, AGGREGATED_EVENTS, [(None, smaller, 0)])
        send(streamed.settings, HDFS_LOGS, [(None, encode(worker.FEATURES), 0)])
        with pytest.raises(DataError, match="another life of raw_logs"):
            ingest(streamed, RAW_LOGS, {0: (0, 3)}, topic_id=first[0].topic_id)
        second = [ingest(streamed, topic) for topic in (RAW_LOGS, AGGREGATED_EVENTS, HDFS_LOGS)]
        assert [done.epoch for done in first + second] == [1, 1, 1, 2, 2, 2]
        new, old = "kafka:raw_logs/0@2", "kafka:raw_logs/0"
        assert positions(streamed) == [(old, n) for n in range(5)] + [(new, n) for n in range(3)]
        assert streamed.rows("SELECT source, position FROM dead_letters") == [(new, 3)]
        assert streamed.rows("SELECT lines, epoch FROM aggregated_events") == [(8, 2)]  # the newer life goes first
        assert streamed.rows("SELECT epoch, part, position FROM hdfs_logs ORDER BY 1") == [(1, 0, 0), (2, 0, 0)]
        worker.point_at(streamed.settings, address)  # back to the first one, which has gone on meanwhile
        logs(streamed, 2, first=5)
        assert (ingest(streamed).epoch, ingest(streamed).messages) == (1, 0)
        assert positions(streamed) == [(old, n) for n in range(7)] + [(new, n) for n in range(3)]
    assert streamed.rows("SELECT topic, epoch FROM stream_epochs WHERE topic = 'raw_logs' ORDER BY 2") == [
        (RAW_LOGS, 1),
        (RAW_LOGS, 2),
    ]


def test_two_runs_of_the_same_range_at_once(streamed: Home) -> None:
    logs(streamed, 200)
    marks, planned = next_ranges(streamed.store, streamed.settings, RAW_LOGS)
    ids = {"cluster_id": marks.cluster_id, "topic_id": marks.topic_id}
    found: list[Sunk] = []
    runs = [
        threading.Thread(target=lambda: found.append(ingest(streamed, RAW_LOGS, planned.ranges, **ids)))
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(LIMIT_S)
    assert sorted(done.rows for done in found) == [0, 200]
    assert [done.notes for done in found if not done.rows] == [["these ranges are in the store already: nothing to do"]]
    assert len(positions(streamed)) == 200


@pytest.mark.parametrize("topic", [RAW_LOGS, HDFS_LOGS])
def test_the_offsets_fence_off_a_run_that_was_overtaken(streamed: Home, tmp_path: Path, topic: str) -> None:
    """Should the lock between runs fail, as on a file system without locks."""
    send(streamed.settings, topic, [(b"blk_1", value, 0) for value in (line(1, 1), encode(worker.FEATURES))])
    task = sink._task(streamed.store, streamed.settings, Admin(), topic, None, ("", ""), again=False)
    ingest(streamed, topic)
    before = everything(streamed.store, topic)
    with pytest.raises(OffsetConflict, match="the next offset is 2, not None"):
        what = (task, worker.sink_of(topic), tmp_path, Sunk(topic), 30.0)
        sink._ingest(streamed.store, streamed.settings, Admin(), *what)
    assert everything(streamed.store, topic) == before


def test_ranges_that_cannot_be(streamed: Home) -> None:
    logs(streamed, 10)
    ingest(streamed, RAW_LOGS, {0: (0, 6)})
    for ranges, why in (
        ({0: (4, 8)}, "was read to offset 6, which is beyond the beginning"),
        ({0: (7, 8)}, r"would leave out the messages from 6 on"),
        ({0: (6, 11)}, r"its messages are \[0, 10\)"),
        ({9: (0, 1)}, "no partition 9; it has 3"),
    ):
        with pytest.raises(DataError, match=why):
            ingest(streamed, RAW_LOGS, ranges)
    with pytest.raises(DataError, match="was read to offset 6: it cannot be read again to 7"):
        ingest(streamed, RAW_LOGS, {0: (5, 7)}, again=True)
    with pytest.raises(DataError, match="needs the ranges"):
        ingest(streamed, again=True)
    assert len(positions(streamed)) == 6
    assert ingest(streamed, RAW_LOGS, {0: (6, 10)}).rows == 4


def test_reading_again_replaces_rows_and_their_counts(streamed: Home) -> None:
    from hdfs_pipeline.domains.blocks.parse import parse

    logs(streamed, 10)
    send(streamed.settings, RAW_LOGS, [(None, b"poison", 0)])
    ingest(streamed)
    parse(streamed.store, streamed.settings)
    before = everything(streamed.store, RAW_LOGS)
    with streamed.store.write() as con:
        con.execute("UPDATE raw_logs SET message = 'spoiled' WHERE position IN (3, 8)")
        con.execute("DELETE FROM raw_logs WHERE position = 4")
    done = ingest(streamed, RAW_LOGS, {0: (2, 6)}, again=True)
    assert (done.rows, done.left) == (4, 0)
    assert streamed.rows("SELECT position FROM raw_logs WHERE message = 'spoiled'") == [(8,)]
    assert streamed.rows("SELECT count(*) FROM parsed_events") == [(6,)]  # those four are parsed anew
    ingest(streamed, RAW_LOGS, {0: (0, 11)}, again=True)
    assert everything(streamed.store, RAW_LOGS) == before
    assert parse(streamed.store, streamed.settings).records == 10


def test_what_is_gone_from_kafka_stays_in_the_store(streamed: Home) -> None:
    big = [(b"blk_1", line(n, 1) + b" " + b"x" * 100_000, 0) for n in range(120)]
    send(streamed.settings, RAW_LOGS, big[:3])
    ingest(streamed)
    send(streamed.settings, RAW_LOGS, big)
    done = ingest(streamed, RAW_LOGS, {0: (0, 3)}, again=True)
    assert "gone from Kafka" in done.notes[0]
    assert len(positions(streamed)) == 3
    assert streamed.rows("SELECT count(*) FROM stream_gaps") == [(0,)]


def records_of(path: Path, most: int) -> list[bytes]:
    """The first records of a log file and some that name several blocks, continuation lines included."""
    import gzip

    found: list[bytes] = []
    for text in gzip.decompress(path.read_bytes()).splitlines():
        if text[:2].isdigit():
            found.append(text)
        else:
            found[-1] += b"\n" + text
    # Those that name several blocks come later than the head.
    return found[:most] + [text for text in found[most:] if len(set(re.findall(rb"blk_-?\d+", text))) > 1][:40]


@pytest.mark.parametrize("sample", ["hdfs_v1", "hdfs_3.4"])
def test_the_same_lines_by_file_and_by_kafka_give_the_same_matrix(
    sample: str, streamed: Home, new_home: Callable[..., Home], tmp_path: Path
) -> None:
    from hdfs_pipeline.domains.blocks import ingest as files
    from hdfs_pipeline.domains.blocks.matrix import settle
    from hdfs_pipeline.domains.blocks.parse import parse

    logs_of = sorted((PROJECT / "data" / "sample" / sample).glob("*.log.gz"))
    if not logs_of:
        pytest.skip(f"no sample {sample}")
    by_file = new_home("files")
    messages: list[worker.Message] = []
    for path in logs_of:
        kept = records_of(path, 600)
        (tmp_path / path.stem).write_bytes(b"\n".join(kept) + b"\n")
        for text in kept:
            blocks = dict.fromkeys(re.findall(rb"blk_-?\d+", text))
            messages += [(block, text, hash(block) % PARTS) for block in blocks] or [(None, text, 0)]
    send(streamed.settings, RAW_LOGS, messages)
    files.ingest(by_file.store, by_file.settings, [str(tmp_path)])
    done = ingest(streamed)
    assert done.rows + done.copies == len(messages)
    assert (done.copies > 0) == (sample == "hdfs_3.4")
    assert done.dead_letters == 0
    for home in (by_file, streamed):
        settle(home.store, home.settings, parse(home.store, home.settings).catalogue)
    for sql in (
        # What is unfinished rests on which daemons there are: the names of files tell it, and these messages do not.
        "SELECT * EXCLUDE (unfinished, revision) FROM event_matrix ORDER BY block_id",
        "SELECT time, origin, message, more, alarm FROM raw_logs ORDER BY ALL",
        "SELECT sum(records), sum(lines) FROM sources",
        "SELECT value FROM meta WHERE key = 'catalogue'",
    ):
        assert streamed.rows(sql) == by_file.rows(sql)
    again = everything(streamed.store, RAW_LOGS)
    files.ingest(streamed.store, streamed.settings, [str(tmp_path)])  # files and streams number their sources apart
    assert streamed.rows("SELECT count(*) FROM sources WHERE source_id > 0") == [(len(logs_of),)]
    rows = everything(streamed.store, RAW_LOGS)["rows"]
    assert [row for row in rows if row[0].startswith("kafka:")] == again["rows"]
    assert len(rows) == 2 * len(again["rows"])
    assert parse(streamed.store, streamed.settings).records == 2 * done.rows


@pytest.mark.real_broker
@pytest.mark.skipif(not os.environ.get(BOOTSTRAP), reason=HOW)
def test_transactions_and_a_topic_made_anew_on_a_real_broker(tmp_path: Path) -> None:
    from confluent_kafka.admin import AdminClient

    with emptied_broker(tmp_path / "home", sink_max_records=5) as home:
        sender = producer(home.settings, transactional_id=tmp_path.name)
        sender.init_transactions(60)
        for second, keep in enumerate((True, False, True, False)):
            sender.begin_transaction()
            for number in range(3):
                sender.produce(RAW_LOGS, line(10 * second + number, 1), b"blk_1", partition=0)
            assert sender.flush(30) == 0
            (sender.commit_transaction if keep else sender.abort_transaction)(60)
        runs = 0
        while ingest(home).ranges:
            runs += 1
        assert runs == 4  # 16 offsets, 5 at a time
        expected = [("kafka:raw_logs/0", offset) for offset in (0, 1, 2, 8, 9, 10)]
        assert positions(home) == expected
        admin = AdminClient({"bootstrap.servers": home.settings.kafka_bootstrap_servers})
        admin.delete_topics([RAW_LOGS])[RAW_LOGS].result(30)
        wait_for(lambda: RAW_LOGS not in admin.list_topics(timeout=20).topics)
        ensure_topics(home.settings, [RAW_LOGS])
        logs(home, 2)
        assert ingest(home).epoch == 2
        assert positions(home) == expected + [("kafka:raw_logs/0@2", offset) for offset in (0, 1)]


def test_whatever_one_message_raises_is_a_dead_letter(streamed: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what nobody has thought of."""
    read = log_sink.read_messages

    def breaks(values: list[bytes | None], *more: Any) -> Any:
        if b"breaks" in values:
            raise AttributeError("nobody thought of this")
        return read(values, *more)

    monkeypatch.setattr(log_sink, "read_messages", breaks)
    logs(streamed, 5)
    send(streamed.settings, RAW_LOGS, [(b"blk_1", b"breaks", 0), (None, b"nonsense", 0)])
    logs(streamed, 5, first=5)
    done = ingest(streamed)
    assert (done.rows, done.dead_letters) == (10, 2)
    assert streamed.rows("SELECT position, reason FROM dead_letters ORDER BY position") == [
        (5, "cannot be read: AttributeError: nobody thought of this"),
        (6, NO_STAMP),
    ]


def test_batches_that_cannot_be_decoded_are_gaps_that_say_why(streamed: Home) -> None:
    logs(streamed, 4)
    send_as_it_is(streamed.settings, RAW_LOGS, 0, damaged(5, 4))
    logs(streamed, 2, first=4)
    done = ingest(streamed)
    assert (done.rows, done.messages, done.missing, done.left) == (6, 6, 5, 0)
    assert "5 messages were gone or cannot be decoded" in done.notes[0]
    rows = streamed.rows("SELECT topic, epoch, part, from_offset, to_offset, reason FROM stream_gaps")
    assert [row[:5] for row in rows] == [(RAW_LOGS, 1, 0, 4, 9)] and "Decompression" in rows[0][5]
    assert ingest(streamed).notes == ["nothing new"]
    ingest(streamed, RAW_LOGS, {0: (0, 11)}, again=True)
    assert streamed.rows("SELECT count(*) FROM stream_gaps") == [(1,)]
    assert streamed.rows("SELECT count(*) FROM raw_logs") == [(6,)]

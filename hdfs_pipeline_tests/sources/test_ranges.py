"""Ranges of a topic: what to read next, and reading just that."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.domains.blocks.topics import RAW_LOGS
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.settings import BOOTSTRAP, Settings
from hdfs_pipeline.sources.kafka import producer
from hdfs_pipeline.sources.ranges import Range, RangeReader, Watermarks, plan, reachable, watermarks
from hdfs_pipeline.streaming.broker import mock_cluster
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import HOW, emptied_broker

PARTS = 3


@pytest.fixture
def settings(new_home: Callable[..., Home]) -> Iterator[Settings]:
    with mock_cluster(PARTS) as address:
        yield new_home(bare=True, kafka_bootstrap_servers=address).settings


def send(settings: Settings, counts: dict[int, int], text: bytes = b"") -> None:
    sender = producer(settings)
    for part, count in counts.items():
        for number in range(count):
            sender.produce(RAW_LOGS, b"%d" % number + text, partition=part)
            sender.poll(0)
    assert sender.flush(30) == 0


def read(reader: RangeReader) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for batch in reader.batches():
        assert len(batch.messages) == len(batch.parts) == len(batch.offsets)
        for message, part, offset in zip(batch.messages, batch.parts, batch.offsets, strict=True):
            assert (message.partition(), message.offset(), message.error()) == (part, offset, None)
            found.setdefault(part, []).append(offset)
    return found


MARKS = st.dictionaries(st.integers(0, 5), st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1)


@given(MARKS, st.dictionaries(st.integers(0, 5), st.integers(0, 60)), st.integers(1, 200), st.booleans())
def test_a_plan_leaves_nothing_out_and_repeats_nothing(
    edges: dict[int, Range], stored: dict[int, int], most: int, from_zero: bool
) -> None:
    low = {part: start for part, (start, _) in edges.items()}
    high = {part: start + length for part, (start, length) in edges.items()}
    stored = {part: min(at, high[part]) for part, at in stored.items() if part in high}
    marks = Watermarks("t", "c", "i", low, high)
    read_to = {part: stored.get(part, 0 if from_zero else low[part]) for part in low}
    for _ in range(400):
        found = plan(marks, stored, most, from_zero=from_zero)
        assert sum(end - start for start, end in found.ranges.values()) <= most + len(low)
        for part, (start, end) in found.ranges.items():
            gap = found.gaps.get(part)
            assert read_to[part] == (gap[0] if gap else start)
            assert gap is None or gap[1] == start == low[part]
            assert low[part] <= start <= end <= high[part]
            read_to[part] = stored[part] = end
        assert found.left == sum(high[part] - max(at, low[part]) for part, at in read_to.items())
        if not found.ranges:
            break
    assert {part: max(at, low[part]) for part, at in read_to.items()} == high


def test_a_topic_that_ends_before_the_store_is_refused() -> None:
    with pytest.raises(DataError, match="t/0 ends at offset 5, but was read to 6: Kafka has lost messages"):
        plan(Watermarks("t", "c", "i", {0: 0}, {0: 5}), {0: 6}, 10)


def test_watermarks_tell_the_topic_and_its_edges(settings: Settings) -> None:
    send(settings, {0: 5, 2: 7})
    first, second = watermarks(settings, RAW_LOGS), watermarks(settings, RAW_LOGS)
    assert (first.low, first.high) == ({0: 0, 1: 0, 2: 0}, {0: 5, 1: 0, 2: 7})
    assert first == second
    assert first.cluster_id and len(first.topic_id) == 22
    with mock_cluster(PARTS) as address:
        anew = watermarks(settings.model_copy(update={"kafka_bootstrap_servers": address}), RAW_LOGS)
    assert (anew.cluster_id, anew.topic_id) != (first.cluster_id, first.topic_id)


def test_exactly_the_ranges_are_read(settings: Settings) -> None:
    send(settings, {0: 5000, 1: 30, 2: 10})
    ranges = {0: (100, 4321), 1: (30, 30), 2: (0, 10)}
    found = read(RangeReader(settings, RAW_LOGS, ranges))
    assert found == {part: list(range(start, end)) for part, (start, end) in ranges.items() if start < end}
    assert read(RangeReader(settings, RAW_LOGS, {1: (3, 3)})) == {}


def test_large_messages_make_small_batches(settings: Settings) -> None:
    send(settings, {0: 90}, b"x" * 50_000)
    (first, *more) = RangeReader(settings, RAW_LOGS, {0: (0, 90)}).batches()
    assert sum(map(len, first.messages)) < 40 << 20
    assert len(first.messages) + sum(len(batch.messages) for batch in more) == 90


def test_nothing_for_long_is_an_error_that_says_where(settings: Settings) -> None:
    send(settings, {1: 5})
    with pytest.raises(SetupError, match=r"nothing came for 0.5 s; partition 1 was read to offset 5 of 10"):
        read(RangeReader(settings, RAW_LOGS, {1: (0, 10)}, stall_s=0.5))


def test_what_went_before_it_was_read_is_told(settings: Settings) -> None:
    send(settings, {0: 120, 1: 3}, b"x" * 100_000)  # the embedded broker keeps 5 MiB a partition
    low = watermarks(settings, RAW_LOGS).low[0]
    assert 0 < low < 120
    reader = RangeReader(settings, RAW_LOGS, {0: (0, 120), 1: (0, 3)})
    assert read(reader) == {0: list(range(low, 120)), 1: [0, 1, 2]}
    assert reader.gaps == {0: [(0, low)]}
    all_gone = RangeReader(settings, RAW_LOGS, {0: (0, low - 1)})
    assert read(all_gone) == {}
    assert all_gone.gaps == {0: [(0, low - 1)]}


def test_no_such_topic_and_no_broker(settings: Settings) -> None:
    assert reachable(settings)
    with pytest.raises(SetupError, match="no topic nothing: make it with"):
        watermarks(settings, "nothing")
    with pytest.raises(SetupError, match="no topic nothing"):  # asking did not make it
        watermarks(settings, "nothing")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    gone = settings.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{port}"})
    assert not reachable(gone)
    begun = time.monotonic()
    with pytest.raises(SetupError, match="is the broker running"):
        watermarks(gone, RAW_LOGS, timeout_s=0.5)
    assert time.monotonic() - begun < 5
    with pytest.raises(SetupError, match="no Kafka broker"):
        reachable(settings.model_copy(update={"kafka_bootstrap_servers": ""}))


@pytest.mark.real_broker
@pytest.mark.skipif(not os.environ.get(BOOTSTRAP), reason=HOW)
def test_aborted_messages_and_markers_leave_offsets_out(tmp_path: Path) -> None:
    with emptied_broker(tmp_path / "home") as home:
        sender = producer(home.settings, transactional_id=f"t{time.time_ns()}")
        sender.init_transactions(60)
        for keep in (True, False, True, False):
            sender.begin_transaction()
            for number in range(3):
                sender.produce(RAW_LOGS, b"%d" % number, partition=0)
            assert sender.flush(30) == 0  # or what is aborted would never be sent
            (sender.commit_transaction if keep else sender.abort_transaction)(60)
        marks = watermarks(home.settings, RAW_LOGS)
        assert marks.high[0] == 16  # 12 messages and 4 markers
        assert read(RangeReader(home.settings, RAW_LOGS, {0: (0, 16)})) == {0: [0, 1, 2, 8, 9, 10]}
        assert read(RangeReader(home.settings, RAW_LOGS, {0: (3, 8)}, stall_s=10)) == {}

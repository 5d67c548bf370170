"""Batches that no client can decode: where they end is found out, and what stands around them is read."""

from collections.abc import Callable, Iterator

import pytest

from hdfs_pipeline.domains.blocks.topics import RAW_LOGS
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import each_headers, headers_of
from hdfs_pipeline.sources.ranges import RangeReader
from hdfs_pipeline.streaming.broker import mock_cluster
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.sources.odd_messages import damaged, send_as_it_is, send_bomb, send_with_headers
from hdfs_pipeline_tests.sources.test_ranges import read, send


@pytest.fixture
def settings(new_home: Callable[..., Home]) -> Iterator[Settings]:
    with mock_cluster(3) as address:
        yield new_home(bare=True, kafka_bootstrap_servers=address).settings


GZIP = 1
BATCHES: dict[str, bytes] = {
    **{f"junk for {name}": damaged(5, kind) for kind, name in enumerate(("gzip", "snappy", "lz4", "zstd"), GZIP)},
    "a compression that nobody knows": damaged(2, 6),
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_damaged_batch_is_passed_over_and_told(settings: Settings, name: str) -> None:
    batch = BATCHES[name]
    count = batch[60]  # of its messages
    send(settings, {0: 4, 1: 2})
    send_as_it_is(settings, RAW_LOGS, 0, batch)
    send(settings, {0: 3})
    reader = RangeReader(settings, RAW_LOGS, {0: (0, 7 + count), 1: (0, 2)})
    assert read(reader) == {0: [0, 1, 2, 3, *range(4 + count, 7 + count)], 1: [0, 1]}
    (gap,) = reader.undecodable
    assert (gap.topic, gap.partition, gap.start, gap.end) == (RAW_LOGS, 0, 4, 4 + count)
    assert "failed" in gap.reason and len(gap) == count
    assert f"{count} messages, up to offset {3 + count}, cannot be decoded" in gap.letter().reason


@pytest.mark.parametrize("messages", [1, 1000])
def test_a_batch_that_unpacks_to_more_than_fits_is_passed_over(settings: Settings, messages: int) -> None:
    send_bomb(settings, RAW_LOGS, 0, messages)
    send(settings, {0: 3})
    ends = {"its middle": messages // 2, "its last": messages, "all": messages + 3}
    for end in ends.values():
        reader = RangeReader(settings, RAW_LOGS, {0: (0, end)})
        assert read(reader) == ({0: list(range(messages, end))} if end > messages else {})
        assert [(gap.start, gap.end) for gap in reader.undecodable] == [(0, min(end, messages))] * (end > 0)


def test_several_damaged_batches_in_a_row(settings: Settings) -> None:
    for count in (2, 1, 30):
        send_as_it_is(settings, RAW_LOGS, 2, damaged(count, GZIP))
    reader = RangeReader(settings, RAW_LOGS, {2: (1, 33)})
    assert read(reader) == {}
    assert [(gap.start, gap.end) for gap in reader.undecodable] == [(1, 2), (2, 3), (3, 33)]


def test_headers_whose_names_are_no_text_count_as_none(settings: Settings) -> None:
    good, wanted = [(b"host", b"h"), (b"n\xc3\xa4me", b"\xff")], [("host", b"h"), ("näme", b"\xff")]
    for headers in (
        good,
        [(b"host", b"h"), (b"\xff\xfe", b"2")],
        [(b"\xff", b"1")],
        [(b"\xff", b"1"), (b"\xff", b"2")],
    ):
        send_with_headers(settings, RAW_LOGS, 0, b"k", b"v", headers)
    (batch,) = RangeReader(settings, RAW_LOGS, {0: (0, 4)}).batches()
    for _ in range(100):  # Python specialises what is called often
        assert headers_of(batch.messages[0]) == wanted
    assert each_headers(batch.messages[1:]) == [[], [], []]
    for _ in range(2):  # asked again as well
        assert [headers_of(message) for message in batch.messages] == [wanted, [], [], []]
        assert each_headers(batch.messages) == [wanted, [], [], []]

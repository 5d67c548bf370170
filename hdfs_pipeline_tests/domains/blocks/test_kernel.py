"""From records to events and counts, against plain Python."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.blocks.block_counts import EVENT_MATRIX
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.kernel import EventMatcher, connect, count_events, counts_sql, event_matrix, fault_sql
from hdfs_pipeline.domains.blocks.records import RECORDS, split_records
from hdfs_pipeline.scoring.catalogue import Catalogue, Template
from hdfs_pipeline_tests.domains.blocks.formats import log_format

CATALOGUE = Catalogue("c", 1, (Template("E1", "", "one <*>"), Template("E2", "", "two <*>")))
REPEATABLE = settings(derandomize=True, deadline=None, max_examples=20)
LIMIT = 1 << 20


def events(text: str, catalogue: Catalogue = CATALOGUE) -> list[dict[str, Any]]:
    return [
        {**row, "event": event}
        for batch in split_records([text.encode()], log_format())
        for row, event in zip(batch.to_pylist(), EventMatcher(catalogue).match(batch).tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("origin", "level", "logger"),
    [
        ("INFO org.apache.hadoop.hdfs.StateChange", "INFO", "org.apache.hadoop.hdfs.StateChange"),
        ("INFO datanode.DataNode", "INFO", "datanode.DataNode"),
        ("INFO  datanode.DataNode", "INFO", "datanode.DataNode"),
        ("148 INFO dfs.DataNode$PacketResponder", "INFO", "dfs.DataNode$PacketResponder"),
        ("WARN BlockStateChange", "WARN", "BlockStateChange"),
    ],
)
def test_level_and_logger_stand_before_the_message(origin: str, level: str, logger: str) -> None:
    (row,) = events(f"2026-11-21 14:16:19,172 {origin}: one blk_1\n")
    assert (row["level"], row["logger"]) == (level, logger)


@pytest.mark.parametrize(
    ("line", "alarm"),
    [
        ("INFO a: one blk_1", False),
        ("DEBUG a: warn error fatal", False),
        ("WARN a: one", True),
        ("ERROR a: one", True),
        ("FATAL a: one", True),
        ("INFO a: received exception java.io.IOException: x", True),
        ("INFO a: Exception for blk_1", True),
        ("INFO a: reported as corrupt", True),
        ("INFO a: Corrupt replica", True),
        ("INFO a: one\njava.io.EOFException: Unexpected EOF\n\tat x", True),
        ("INFO a: one\n\tat java.lang.Thread.run", False),
    ],
)
def test_alarms_are_what_a_search_for_trouble_finds(line: str, alarm: bool) -> None:
    assert [row["alarm"] for row in events(f"2026-11-21 14:16:19,172 {line}\n")] == [alarm]


def test_only_the_first_line_of_a_record_is_matched() -> None:
    assert [
        row["event"]
        for row in events("2026-11-21 14:16:19,172 INFO a: x\none y\n2026-11-21 14:16:19,172 INFO a: one z")
    ] == [2, 0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("2026-11-21 14:16:19,172 INFO a: fine", None),
        ("2026-11-21 14:16:19,172 INFO a: ", None),
        ("9999-12-30 00:00:00,000 INFO a: x", "no log record: its time stamp cannot be"),
        ("2262-01-01 00:00:00,000 INFO a: x", "no log record: its time stamp cannot be"),
        ("2261-12-31 23:59:59,999 INFO a: x", None),
        ("0000-01-01 00:00:00,000 INFO a: x", "no log record"),
        ("junk", "no log record"),
        ("2026-13-21 14:16:19,172 INFO a: x", "no log record"),
        ("2026-11-21 14:16:19,172 INFO a", "no log record"),
        ("2026-11-21 14:16:19,172 INFO a: " + "x" * 1015, None),
        ("2026-11-21 14:16:19,172 INFO a: " + "x" * 1016, "longer than 1024 bytes"),
        ("2026-11-21 14:16:19,172 INFO a: " + "é" * 510, "longer than 1024 bytes"),
        ("2026-11-21 14:16:19,172 INFO a: x\n" + "y" * 1020, "longer than 1024 bytes"),
        ("2026-11-21 14:16:19,172 INFO " + "a" * 1020 + ": x", "longer than 1024 bytes"),
    ],
)
def test_dead_letters_are_told_with_their_reason(text: str, fault: str | None) -> None:
    con = connect(threads=1)
    con.register("records", pa.Table.from_batches(split_records([text.encode()], log_format())))
    ((found,),) = con.execute(f"SELECT {fault_sql(1024)} FROM records").fetchall()
    assert (found is None) if fault is None else found.startswith(fault)


def counted_by_sql(data: bytes) -> pa.Table:
    con = connect(threads=1)
    records = pa.Table.from_batches(split_records([data], log_format()), RECORDS)
    events = [EventMatcher(CATALOGUE).match(batch) for batch in records.to_batches()]
    con.register("records", records.append_column("event", pa.array(np.concatenate([*events, np.empty(0, int)]))))
    return con.sql(counts_sql(f"(SELECT * FROM records WHERE {fault_sql(LIMIT)} IS NULL)")).to_arrow_table()


START = datetime(2026, 11, 21, tzinfo=UTC)
line = st.tuples(
    st.sampled_from([("one", 0, False), ("two", 1, False), ("odd", 2, False), ("two Exception", 1, True)]),
    st.lists(st.sampled_from([1, 2, -3, 4, 2**62]), max_size=4),
    st.integers(0, 100_000),
)


@REPEATABLE
@given(lines=st.lists(line, max_size=30), parts=st.integers(1, 3))
def test_counts_are_those_of_a_naive_count(lines: list[Any], parts: int) -> None:
    text, naive = [], defaultdict(list)
    for (words, event, alarm), ids, milli in lines:
        time = START + timedelta(milliseconds=milli)
        text.append(
            f"{time:%Y-%m-%d %H:%M:%S},{time.microsecond // 1000:03} INFO a: {words} "
            + " ".join(f"blk_{i}" for i in ids)
        )
        for block in set(ids):
            naive[block].append((event, alarm, time))
    data = "\n".join(text).encode()
    share = len(data) // parts + 1
    chunks = [data[at : at + share] for at in range(0, len(data), share)]
    table = count_events(chunks, log_format(), CATALOGUE, LIMIT)
    assert event_matrix(counted_by_sql(data), CATALOGUE).equals(table)
    assert table.schema == EVENT_MATRIX
    found = {row["block_id"]: row for row in table.to_pylist()}
    assert list(found) == sorted(naive)
    for block, seen in naive.items():
        row, times, tally = found[block], [time for *_, time in seen], Counter(event for event, *_ in seen)
        assert row["counts"] == [tally[0], tally[1], tally[2]]
        assert (row["lines"], row["alarms"]) == (len(seen), sum(alarm for _, alarm, _ in seen))
        assert (row["first_time"], row["last_time"]) == (min(times), max(times))
        assert row["duration_s"] == pytest.approx((max(times) - min(times)).total_seconds())


def test_dead_letters_count_for_no_block() -> None:
    text = b"blk_1\n2026-13-21 14:16:19,172 INFO a: one blk_1\n2026-11-21 14:16:19,172 INFO a: one blk_2 " + b"x" * 2000
    assert count_events([text], log_format(), CATALOGUE, 1024).num_rows == 0


def test_a_matrix_of_nothing_is_empty_and_has_its_columns() -> None:
    table = count_events([], log_format(), catalogues()["hdfs_v1.v1"], LIMIT)
    assert (table.num_rows, table.schema) == (0, EVENT_MATRIX)


def test_a_record_that_names_a_block_twice_counts_once() -> None:
    text = b"2026-11-21 14:16:19,172 INFO a: one blk_7 file /x/blk_7\n  blk_7_1.meta"
    (row,) = count_events([text], log_format(), CATALOGUE, LIMIT).to_pylist()
    assert (row["block_id"], row["lines"], row["counts"]) == (7, 1, [1, 0, 0])


def test_a_record_that_names_many_blocks_counts_once_for_each() -> None:
    ids = [*range(1, 101), *range(1, 101)]  # more than the scan looks back for repetitions
    text = "2026-11-21 14:16:19,172 INFO a: one " + " ".join(f"blk_{block}" for block in ids)
    rows = count_events([text.encode()], log_format(), CATALOGUE, LIMIT).to_pylist()
    assert [row["block_id"] for row in rows] == list(range(1, 101))
    assert all(row["lines"] == 1 and row["counts"] == [1, 0, 0] for row in rows)


def test_counts_outgrow_the_table_that_they_began_with() -> None:
    lines = [f"2026-11-21 14:16:19,172 INFO a: one blk_{block}\n" for block in range(20_000)] * 2
    text = "".join(lines).encode()
    chunks = [text[at : at + 100_000] for at in range(0, len(text), 100_000)]
    table = count_events(chunks, log_format(), CATALOGUE, LIMIT)
    assert table["block_id"].to_pylist() == list(range(20_000))
    assert set(table["lines"].to_pylist()) == {2}

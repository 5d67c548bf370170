"""The compiled pass over bytes: heads, times, block ids, against plain Python."""

import re
from datetime import UTC, datetime, timedelta
from time import perf_counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.blocks import scan
from hdfs_pipeline.domains.blocks.records import LAYOUTS, Layout

V1, LOG4J = LAYOUTS["hdfs_v1"], LAYOUTS["log4j"]
HEADS = {"hdfs_v1": rb"\d{6} \d{6} ", "log4j": rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "}
REPEATABLE = settings(derandomize=True, deadline=None, max_examples=200)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def scanned(data: bytes, layout: Layout = LOG4J) -> tuple:
    return scan.scan(np.frombuffer(data, np.uint8), len(data), layout.codes)


def time_of(head: str, layout: Layout) -> int:
    """Microseconds since 1970 that the scan gives for a line with this head, -1 for none."""
    return int(scanned(f"{head}INFO a: b".encode(), layout)[1][0])


def naive_time(layout: Layout, year: int, *rest: int) -> int:
    """The same by datetime; `rest` is month, day, hour, minute, second, millisecond."""
    *date, milli = rest
    try:
        found = datetime(year + 2000 if layout is V1 else year, *date, milli * 1000, tzinfo=UTC)
    except ValueError:
        return -1
    return (found - EPOCH) // timedelta(microseconds=1) if found.year >= 1970 else -1


def head(layout: Layout, year: int, *rest: int) -> str:
    form = "{:02}{:02}{:02} {:02}{:02}{:02} " if layout is V1 else "{:04}-{:02}-{:02} {:02}:{:02}:{:02},{:03} "
    return form.format(year, *rest)


@REPEATABLE
@given(
    layout=st.sampled_from([V1, LOG4J]),
    year=st.one_of(st.integers(0, 9999), st.sampled_from([0, 26, 1900, 1969, 1970, 2000, 2024, 2100, 2400])),
    month=st.integers(0, 14),
    day=st.integers(0, 33),
    clock=st.tuples(st.integers(0, 25), st.integers(0, 61), st.integers(0, 61), st.integers(0, 999)),
)
@example(layout=LOG4J, year=2024, month=2, day=29, clock=(0, 0, 0, 0))
@example(layout=LOG4J, year=2100, month=2, day=29, clock=(0, 0, 0, 0))
@example(layout=LOG4J, year=1970, month=1, day=1, clock=(0, 0, 0, 0))
@example(layout=LOG4J, year=1969, month=12, day=31, clock=(23, 59, 59, 999))
@example(layout=LOG4J, year=26, month=11, day=21, clock=(0, 0, 0, 0))
@example(layout=V1, year=0, month=2, day=29, clock=(23, 59, 59, 0))
def test_times_are_those_of_datetime(
    layout: Layout, year: int, month: int, day: int, clock: tuple[int, int, int, int]
) -> None:
    if layout is V1:
        year, clock = year % 100, (*clock[:3], 0)
    assert time_of(head(layout, year, month, day, *clock), layout) == naive_time(layout, year, month, day, *clock)


def test_every_day_of_a_century_has_its_time() -> None:
    day, heads, want = datetime(1970, 1, 1, tzinfo=UTC), [], []
    while day.year < 2101:
        heads.append(f"{day:%Y-%m-%d %H:%M:%S},000 INFO a: b\n")
        want.append((day - EPOCH) // timedelta(microseconds=1))
        day += timedelta(days=1)
    assert scanned("".join(heads).encode())[1].tolist() == want


@pytest.mark.parametrize(
    "impossible",
    ["2026-13-01 00:00:00,000 ", "2026-02-30 00:00:00,000 ", "2026-11-21 25:00:00,000 ", "2026-04-31 00:00:00,000 ",
     "2026-00-10 00:00:00,000 ", "2026-10-00 00:00:00,000 ", "2025-02-29 00:00:00,000 ", "2026-11-21 10:60:00,000 "],
)  # fmt: skip
def test_a_date_that_cannot_be_has_no_time(impossible: str) -> None:
    assert time_of(impossible, LOG4J) == -1


def naive_ids(data: bytes) -> list[int]:
    found = (int(number) for number in re.findall(rb"blk_(-?\d+)", data))
    return list(dict.fromkeys(number for number in found if -(2**63) <= number < 2**63))


id_text = st.one_of(
    st.integers(-(2**63) - 2, 2**63 + 1).map(str),
    st.integers(0, 30).map(str),
    st.sampled_from(["", "-", "--1", "007", "-0", "00", "-00000000000000000000001", "9223372036854775807",
                     "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551617",
                     "99999999999999999999", "5_1001", "1.", "1blk_2", "+1", "٣"]),
)  # fmt: skip
noise = st.sampled_from([" ", "", "blk_", "blk", "bl", "k_", "_", "b", "BLK_1", "xblk_3", ",", "é", "\r", "\0"])


@REPEATABLE
@given(parts=st.lists(st.tuples(noise, id_text), max_size=40), end=noise)
def test_block_ids_are_those_of_a_regular_expression(parts: list[tuple[str, str]], end: str) -> None:
    data = ("2026-11-21 10:00:00,000 INFO a: " + "".join(f"{n}blk_{i}" for n, i in parts) + end).encode()
    *_, ids, lines = scanned(data)
    assert ids.tolist() == naive_ids(data)
    assert lines == 1


@pytest.mark.parametrize("end", [b"blk_", b"blk_-", b"blk", b"blk_7", b"blk_-7", b"blk_0", b"_", b"b"])
def test_a_block_id_at_the_end_of_the_buffer_is_read_whole_and_no_further(end: bytes) -> None:
    data = b"2026-11-21 10:00:00,000 INFO a: " + end
    beyond = data + b"99999 blk_5\n"
    *_, ids, _ = scan.scan(np.frombuffer(beyond, np.uint8), len(data), LOG4J.codes)
    assert ids.tolist() == naive_ids(data)


def test_no_block_id_spans_two_lines() -> None:
    *_, offsets, ids, lines = scanned(b"2026-11-21 10:00:00,000 INFO a: blk_\n12 bl\nk_3 blk_4\n")
    assert (ids.tolist(), offsets.tolist(), lines) == ([4], [0, 1], 3)


lines_of = st.lists(
    st.one_of(
        st.sampled_from([b"2026-11-21 10:00:00,000 INFO a: b", b"081109 203615 148 INFO a: b", b"", b"\r", b"junk"]),
        st.sampled_from(
            [b"2026-11-21 10:00:00,000", b"2026-11-21 10:00:00.000 x", b" 081109 203615 ", b"081109 20361x "]
        ),
        st.binary(max_size=30),
    ),
    max_size=12,
).map(b"\n".join)


@REPEATABLE
@given(data=lines_of, layout=st.sampled_from([V1, LOG4J]))
def test_heads_are_found_where_a_regular_expression_finds_them(data: bytes, layout: Layout) -> None:
    starts = [found.start() for found in re.finditer(rb"(?:\A|(?<=\n))" + HEADS[layout.name], data)]
    buffer = np.frombuffer(data, np.uint8)
    assert scan.count_heads(buffer, layout.codes) == len(starts)
    assert scan.last_head(buffer, len(data), layout.codes) == max(starts, default=0)


def test_a_record_with_ninety_thousand_ids_is_read_in_no_time() -> None:
    scanned(b"warm up")
    data = b"2026-11-21 10:00:00,000 INFO a: " + b" ".join(b"blk_%d" % (number % 45_000) for number in range(90_000))
    start = perf_counter()
    *_, ids, _ = scanned(data)
    assert perf_counter() - start < 2
    assert len(ids) == 90_000  # beyond its window the scan leaves repetitions to the caller


def test_many_short_junk_lines_are_a_record_each() -> None:
    scanned(b"warm up")
    start = perf_counter()
    number, time, *_, lines = scanned(b"x\n" * 200_000)
    assert perf_counter() - start < 2
    assert lines == 200_000
    assert number.tolist() == list(range(200_000))
    assert (time == -1).all()

"""The compiled pass over bytes: heads, times, block ids, against plain Python."""

import re
from datetime import UTC, datetime, timedelta
from time import perf_counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.blocks import scan
from hdfs_pipeline.domains.blocks.layouts import known_layouts

V1, LOG4J = "hdfs_v1", "log4j"
TABLE = known_layouts().table
REPEATABLE = settings(derandomize=True, deadline=None, max_examples=200)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def scanned(data: bytes) -> scan.Scan:
    return scan.scan(np.frombuffer(data, np.uint8), len(data), TABLE)


def time_of(head: str, layout: str) -> int:
    """Microseconds since 1970 that the scan gives for a line with this head, -1 for none."""
    middle = "1 " if layout == V1 else ""
    return int(scanned(f"{head}{middle}INFO a: b".encode()).time[0])


def naive_time(layout: str, year: int, *rest: int) -> int:
    """The same by datetime; `rest` is month, day, hour, minute, second, millisecond."""
    *date, milli = rest
    try:
        found = datetime(year + 2000 if layout is V1 else year, *date, milli * 1000, tzinfo=UTC)
    except ValueError:
        return -1
    return (found - EPOCH) // timedelta(microseconds=1) if 1970 <= found.year <= 2261 else -1


def head(layout: str, year: int, *rest: int) -> str:
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
    layout: str, year: int, month: int, day: int, clock: tuple[int, int, int, int]
) -> None:
    if layout is V1:
        year, clock = year % 100, (*clock[:3], 0)
    assert time_of(head(layout, year, month, day, *clock), layout) == naive_time(layout, year, month, day, *clock)


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d %H:%M:%S,000", "%y%m%d %H%M%S", "%d %b %Y %H:%M:%S,000", "%y/%m/%d %H:%M:%S"]
)
def test_a_time_does_not_depend_on_the_lines_before_it(form: str) -> None:
    begin, steps = datetime(2026, 11, 30, 23, 58, 57, tzinfo=UTC), (1, 1, 1, 0, 58, 2, 3598, -3660, 86_400, 1)
    times = [begin + timedelta(seconds=sum(steps[:k])) for k in range(len(steps))]
    written = [format(time, form) for time in times] + [format(times[-1], form.replace("%S", "61"))]
    together = scanned("".join(f"{each} {'1 ' * (form == '%y%m%d %H%M%S')}INFO a: b\n" for each in written).encode())
    assert together.time[: len(times)].tolist() == [int((time - EPOCH).total_seconds()) * 1_000_000 for time in times]
    assert together.time[len(times) :].tolist() == [-1]


def test_every_day_of_a_century_has_its_time() -> None:
    day, heads, want = datetime(1970, 1, 1, tzinfo=UTC), [], []
    while day.year < 2101:
        heads.append(f"{day:%Y-%m-%d %H:%M:%S},000 INFO a: b\n")
        want.append((day - EPOCH) // timedelta(microseconds=1))
        day += timedelta(days=1)
    assert scanned("".join(heads).encode()).time.tolist() == want


@pytest.mark.parametrize(
    "impossible",
    ["2026-13-01 00:00:00,000 ", "2026-02-30 00:00:00,000 ", "2026-11-21 25:00:00,000 ", "2026-04-31 00:00:00,000 ",
     "2026-00-10 00:00:00,000 ", "2026-10-00 00:00:00,000 ", "2025-02-29 00:00:00,000 ", "2026-11-21 10:60:00,000 "],
)  # fmt: skip
def test_a_date_that_cannot_be_has_no_time(impossible: str) -> None:
    assert time_of(impossible, LOG4J) == -1


def naive_ids(data: bytes) -> list[int]:
    found = (int(number) for number in re.findall(rb"blk_(-?\d+)", data))
    known = (number for number in found if -(2**63) <= number < 2**63)
    return list(dict.fromkeys(number & ~15 if number < -(2**63) + 2**36 else number for number in known))


id_text = st.one_of(
    st.integers(-(2**63) - 2, 2**63 + 1).map(str),
    st.integers(0, 30).map(str),
    st.sampled_from(["", "-", "--1", "007", "-0", "00", "-00000000000000000000001", "9223372036854775807",
                     "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551617",
                     "99999999999999999999", "5_1001", "1.", "1blk_2", "+1", "٣"]),
)  # fmt: skip
noise = st.sampled_from([" ", "", "blk_", "blk", "bl", "k_", "_", "b", "BLK_1", "xblk_3", ",", "é", "\r", "\0"])


def test_marks_are_found_on_both_sides_of_where_a_part_ends() -> None:
    letters = np.frombuffer(b'\nk_BPd-i:="peutxDIT', np.uint8)
    data = letters[np.random.default_rng(7).integers(0, len(letters), 50_000)].tobytes()
    sign = rb'\n|(?<=k)_|_(?=B)|(?<=[iI])[dD](?=[:="])|(?<=BP)-|(?<=[eEuU][pP])[tT]'
    for end in (0, 1, 2, 3, 2**14 - 1, 2**14, 2**14 + 1, 2**15 + 1, len(data)):
        found = scan._marks(np.frombuffer(data, np.uint8), end).tolist()
        plain = [each.start() for each in re.finditer(sign, data[:end])]
        # Only a line's end counts as the first, the second or the last byte: no sign of an id stands there whole.
        inner = [at for at in plain if data[at : at + 1] == b"\n" or 2 <= at < end - 1]
        assert found == inner


@REPEATABLE
@given(parts=st.lists(st.tuples(noise, id_text), max_size=40), end=noise)
def test_block_ids_are_those_of_a_regular_expression(parts: list[tuple[str, str]], end: str) -> None:
    data = ("2026-11-21 10:00:00,000 INFO a: " + "".join(f"{n}blk_{i}" for n, i in parts) + end).encode()
    found = scanned(data)
    assert found.ids.tolist() == naive_ids(data)
    assert found.lines == 1


@pytest.mark.parametrize("end", [b"blk_", b"blk_-", b"blk", b"blk_7", b"blk_-7", b"blk_0", b"_", b"b"])
def test_a_block_id_at_the_end_of_the_buffer_is_read_whole_and_no_further(end: bytes) -> None:
    data = b"2026-11-21 10:00:00,000 INFO a: " + end
    beyond = data + b"99999 blk_5\n"
    found = scan.scan(np.frombuffer(beyond, np.uint8), len(data), TABLE)
    assert found.ids.tolist() == naive_ids(data)


def test_no_block_id_spans_two_lines() -> None:
    found = scanned(b"2026-11-21 10:00:00,000 INFO a: blk_\n12 bl\nk_3 blk_4\n")
    assert (found.ids.tolist(), found.offsets.tolist(), found.lines) == ([4], [0, 1], 3)


def test_a_record_with_ninety_thousand_ids_is_read_in_no_time() -> None:
    scanned(b"warm up")
    data = b"2026-11-21 10:00:00,000 INFO a: " + b" ".join(b"blk_%d" % (number % 45_000) for number in range(90_000))
    start = perf_counter()
    found = scanned(data)
    assert perf_counter() - start < 2
    assert len(found.ids) == 90_000  # beyond its window the scan leaves repetitions to the caller


def test_many_short_junk_lines_are_a_record_each() -> None:
    scanned(b"warm up")
    start = perf_counter()
    found = scanned(b"x\n" * 200_000)
    assert perf_counter() - start < 2
    assert found.lines == 200_000
    assert found.number.tolist() == list(range(200_000))
    assert (found.time == -1).all()


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("blockid: 1073741962, srvID: 4ff4", [1073741962]),
        ("blockId=1073741962", [1073741962]),
        ('{"blockId":1073741962}', [1073741962]),
        ("block_id: 7, Block ID=8", [7, 8]),
        ("BlockId: blk_9_1001", [9]),
        ("Block 1144933273_BP-844174450-10.0.0.62-1523246230577 has been invalidated", [1144933273]),
        ("blockid: BP-844174450-10.0.0.62-1523246230577:blk_5_1", [5]),
        ("blockId=-9223372036854775790", [-9223372036854775792]),
        ("cliID: 77, storageid=8, myblockid=9x, blockid=, blockid: abc, blockId=4ff4d539", []),
        ("file_BP-844174450-10.0.0.62-1523246230577 x7_BP-1-2-3", []),
        ("blk_7 and blockId=7", [7]),
    ],
)
def test_ids_without_blk_are_those_that_hadoop_writes_so(text: str, ids: list[int]) -> None:
    assert scanned(f"2026-11-21 10:00:00,000 INFO a: {text}".encode()).ids.tolist() == ids


def test_internal_blocks_of_an_erasure_coded_group_are_the_group_and_are_kept() -> None:
    found = scanned(
        b"2026-11-21 10:00:00,000 INFO a: blk_-9223372036854775792_1 blk_-9223372036854775791_1\n"
        b"2026-11-21 10:00:00,000 INFO a: blk_-9223372036854775777_1 blk_-2281137920769708011_1\n"
    )
    assert found.ids.tolist() == [-9223372036854775792, -9223372036854775792, -2281137920769708011]
    assert (found.internal.tolist(), found.internal_offsets.tolist()) == (
        [-9223372036854775791, -9223372036854775777],
        [0, 1, 2],
    )


@pytest.mark.parametrize(
    ("text", "pool"),
    [
        ("Receiving BP-1892722178-10.0.0.18-1651054322539:blk_7_1 src", "BP-1892722178-10.0.0.18-1651054322539"),
        ("Block 7_BP-1-nn1.example.com-3 BP-9-b-4", "BP-1-nn1.example.com-3"),
        ("xBP-1-a-3 BP-x-y-z BP-1", ""),
    ],
)
def test_a_record_says_its_block_pool(text: str, pool: str) -> None:
    data = f"2026-11-21 10:00:00,000 INFO a: {text}".encode()
    start, stop = scanned(data).pool[0]
    assert data[start:stop].decode() == pool


def test_at_each_bound_a_record_begins() -> None:
    data = b"081109 203518 1 INFO a: b\n\tat x\nno head\n\tat y\n"
    found = scan.scan(np.frombuffer(data, np.uint8), len(data), TABLE, np.array([0, 32]))
    assert (found.number.tolist(), found.kind.tolist()) == ([0, 2, 3], [1, 0, 0])

"""From bytes to records, against a naive reading of the same bytes, line by line."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains import pieces
from hdfs_pipeline.domains.blocks import records
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.kernel import EventMatcher
from hdfs_pipeline.domains.blocks.records import NO_DATE, NO_STAMP, RECORDS, split_records
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline_tests.domains.blocks.formats import log_format

GOLDEN = Path(__file__).parents[2] / "golden"
FORMAT = log_format()
STAMPS = re.compile(
    rb"(?:(?P<long>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)|(?P<short>\d{6} \d{6}))(?:[.,:](?P<fraction>\d{1,9}))?(?!\d)"
)
HEADS = re.compile(
    rb"(?P<origin>[ \t]+(?:(?P<thread>[\d?]+)[ \t]+)? *(?P<level>[A-Z]{3,9})[ \t]+"
    rb"(?P<logger>[\w.$/<>@#+-]+):(?: |\r?$))"
)
REPEATABLE = settings(derandomize=True, deadline=None, max_examples=150)
Row = dict[str, Any]


def split(data: bytes, size: int | list[int] = 1 << 20, tally: Tally | None = None) -> list[Row]:
    """The records of `data` read in chunks of `size` bytes (of each of these sizes in turn)."""
    return [row for batch in split_records(chunked(data, size), log_format(), tally) for row in batch.to_pylist()]


def chunked(data: bytes, size: int | list[int]) -> Iterator[bytes]:
    sizes, at, turn = [size] if isinstance(size, int) else size, 0, 0
    while at < len(data):
        yield data[at : at + sizes[turn % len(sizes)]]
        at, turn = at + sizes[turn % len(sizes)], turn + 1


def physical_lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def naive(data: bytes) -> list[Row]:
    """What the records of `data` are, the slow way."""
    groups: list[tuple[int, bool, list[bytes]]] = []
    for number, line in enumerate(physical_lines(data), start=1):
        begins = STAMPS.match(line) is not None
        if begins or not (groups and groups[-1][1]):
            groups.append((number, begins, [line]))
        else:
            groups[-1][2].append(line)
    return [naive_record(*group) for group in groups]


def naive_record(position: int, begins: bool, lines: list[bytes]) -> Row:
    first = lines[0].removesuffix(b"\r")
    stamp = STAMPS.match(first)
    time = naive_time(stamp) if stamp else None
    head = HEADS.match(first, stamp.end()) if stamp and time else None
    ids = (int(number) for number in re.findall(rb"blk_(-?\d+)", b"\n".join(lines)))
    loud = head is not None and head["level"] in (b"WARN", b"ERROR", b"FATAL")
    noisy = any(re.search(rb"(?i)exception|corrupt", line) for line in lines)
    text = {name: (head[name] or b"" if head else b"") for name in ("origin", "level", "logger", "thread")}
    known = (number for number in ids if -(2**63) <= number < 2**63)
    return {
        "position": position,
        "time": time if head else None,
        **{name: value.decode(errors="replace") for name, value in text.items()},
        "message": (first[head.end() :] if head else first).decode(errors="replace"),
        "more": b"\n".join(lines[1:]).removesuffix(b"\r").decode(errors="replace"),
        "block_ids": list(dict.fromkeys(number & ~15 if number < -(2**63) + 2**36 else number for number in known)),
        "alarm": bool(loud or noisy),
        "fault": None if head else NO_STAMP if not begins else FORMAT.strange if time else NO_DATE,
    }


def naive_time(stamp: re.Match[bytes]) -> datetime | None:
    digits = re.sub(rb"\D", b"", stamp["long"] or b"20" + stamp["short"])
    parts = [int(digits[:4]), *(int(digits[k : k + 2]) for k in range(4, 14, 2))]
    try:
        found = datetime(*parts, int((stamp["fraction"] or b"0").ljust(6, b"0")[:6]), tzinfo=UTC)
    except ValueError:
        return None
    return found if 1970 <= found.year <= 2261 else None


def told(rows: list[Row]) -> list[Row]:
    """Rows without what `naive` does not give."""
    return [{name: value for name, value in row.items() if name not in ("layout", "internal_ids")} for row in rows]


REAL = {
    "hdfs_v1": [
        b"081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_38865049064139660 end",
        b"081109 203518 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_-1608999687919862906 src: /1",
        b"081110 000000 9 WARN dfs.FSNamesystem: BLOCK* NameSystem.delete: blk_1 blk_-2 blk_1 blk_0",
        b"081350 203518 143 INFO dfs.DataNode: no such day blk_4",
        b"081109 203518 143 INFO no end of the logger blk_5",
        b"081109 203518 :",
        b"081109 203518 : ",
        b"081109 203518  : : blk_6",
        b"081109 203518 13 INFO dfs.DataNode$DataXceiver: writeBlock blk_3 received eXception",
        b"081109 203518 13 INFO dfs.DataNode: exceptio corrup pt ept upt xception orrupt",
        b"081109 203518 13 FATAL dfs.DataNode: the end",
    ],
    "log4j": [
        b"2026-11-21 14:16:19,172 INFO org.apache.hadoop.hdfs.StateChange: BLOCK* allocate blk_1073742223_1419, x=",
        b"2026-11-21 04:00:18,725 INFO datanode.DataNode: Receiving BP-4-127.0.0.1-17:blk_1073741825_1001 src: /1",
        b"2024-02-29 23:59:59,999 ERROR BlockStateChange: blk_-9223372036854775808 blk_9223372036854775808",
        b"2026-02-30 00:00:00,000 INFO datanode.DataNode: no such day blk_4",
        b"2026-11-21 04:00:18,725 INFO no end of the logger blk_5",
        b"2026-11-21 04:00:18,725 WARN  padded.Logger: blk_7",
        b"2026-11-21 04:00:18,725 INFO a.WARN: CORRUPt blk_7",
        b"2026-11-21 04:00:18,725 INFO a.ERROR: ERROR in the text only",
        b"2026-11-21 04:00:18,725 :",
        b"2026-11-21 04:00:18,725 : ",
        b"0026-11-21 04:00:18,725 INFO a: long ago",
    ],
}
CONTINUED = [
    b"",
    b"\r",
    b"\tat org.apache.hadoop.hdfs.server.datanode.BlockReceiver.receiveBlock(BlockReceiver.java:1011)",
    b"  getNumBytes() = 5, blk_1073741999_7 blk_8",
    b"java.io.IOException: Premature EOF from inputStream",
    b"081109 203615",
    b"2026-11-21 14:16:19.172 INFO another: layout blk_3",
    b" 2026-11-21 14:16:19,172 INFO indented: line",
    b"caf\xc3\xa9 blk_11",
    b"\xff\xfe\x00 blk_12\xc3",
    b"\0\0\0",
    b"::: : blk_: blk_-",
]


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """Bytes of a log of either layout: real lines, lines of the other one, continuation lines, junk; LF and CRLF."""
    name = draw(st.sampled_from(list(REAL)))
    real = st.sampled_from(REAL[name])
    other = st.sampled_from([line for key, lines in REAL.items() if key != name for line in lines])
    # the first pick twice: about half of the lines begin a record
    line = st.one_of(real, real, real, st.sampled_from(CONTINUED), st.binary(max_size=40), other)
    ends = st.sampled_from([b"\n", b"\n", b"\r\n"])
    text = b"".join(part + end for part, end in draw(st.lists(st.tuples(line, ends), max_size=25)))
    return text + draw(st.one_of(st.just(b""), line))


@REPEATABLE
@given(data=logs())
def test_records_are_those_of_a_naive_reading(data: bytes) -> None:
    tally = Tally()
    assert told(split(data, tally=tally)) == naive(data)
    assert (tally.bytes, tally.lines) == (len(data), len(physical_lines(data)))
    assert tally.records == len(naive(data))


@REPEATABLE
@given(data=logs(), sizes=st.lists(st.integers(1, 90), min_size=1, max_size=5))
def test_records_do_not_depend_on_how_the_bytes_are_cut_into_chunks(data: bytes, sizes: list[int]) -> None:
    whole, parts = Tally(), Tally()
    assert split(data, sizes, parts) == split(data, tally=whole)
    assert parts == whole


@REPEATABLE
@given(data=st.binary(max_size=300), size=st.integers(1, 300))
def test_no_bytes_at_all_break_the_reading_or_lose_a_line(data: bytes, size: int) -> None:
    tally = Tally()
    rows = split(data, size, tally)
    assert tally.lines == len(physical_lines(data))
    other_form = {row["fault"] for row in rows} & {NO_DATE, FORMAT.strange}  # which the naive reading does not know
    assert told(rows) == naive(data) or tally.wrapped or other_form


LONG = 1000


@REPEATABLE
@given(data=logs(), filler=st.binary(min_size=LONG, max_size=4 * LONG), size=st.integers(50, 700), at=st.integers(0, 9))
def test_records_beyond_the_longest_lose_no_line_and_shift_no_position(
    data: bytes, filler: bytes, size: int, at: int
) -> None:
    lines = data.splitlines(keepends=True)
    data = b"".join([*lines[:at], filler, b"\n", *lines[at:]])
    tally = Tally()
    with pytest.MonkeyPatch.context() as patch:
        for module in (records, pieces):
            patch.setattr(module, "LONGEST", LONG)
        rows = split(data, size, tally)
    assert tally.lines == len(physical_lines(data))
    assert [row["position"] for row in rows] == sorted({row["position"] for row in rows})
    at_head = {row["position"]: row for row in rows if row["time"] is not None}
    for want in naive(data):
        if want["time"] is not None:  # every good record is found where it stands, whatever stands around it
            got = at_head.pop(want["position"])
            assert (got["origin"], got["message"][:LONG]) == (want["origin"], want["message"][:LONG])
    assert not at_head


def test_continuation_lines_and_their_block_ids_belong_to_the_record_before_them() -> None:
    data = (
        b"2026-11-21 14:16:19,172 INFO a.B: Scheduling blk_1_1\n  getNumBytes() = 5\r\n  getBlockURI() = /x/blk_2\n"
        b"\n2026-11-21 14:16:19,173 WARN a.C: next blk_3\n"
    )
    first, second = split(data)
    assert first["more"] == "  getNumBytes() = 5\r\n  getBlockURI() = /x/blk_2\n"
    assert (first["block_ids"], second["block_ids"]) == ([1, 2], [3])
    assert (second["position"], second["message"], second["more"]) == (5, "next blk_3", "")


def test_windows_line_ends_leave_no_trace_in_messages() -> None:
    data = b"081109 203615 148 INFO dfs.DataNode: one blk_1\r\n081109 203616 148 INFO dfs.DataNode: two\r\n"
    assert [row["message"] for row in split(data)] == ["one blk_1", "two"]
    assert split(data)[0]["origin"] == " 148 INFO dfs.DataNode: "


def test_bytes_that_are_no_utf8_are_replaced_and_the_record_stays() -> None:
    data = b"2026-11-21 14:16:19,172 INFO a.B: caf\xc3\xa9 \xff\xfe blk_1 end\n2026-11-21 14:16:20,000 INFO a.B: x\n"
    one, two = split(data)
    assert one["message"] == "café \ufffd\ufffd blk_1 end"
    assert (one["block_ids"], two["message"]) == ([1], "x")


def test_marks_before_lines_hide_no_record() -> None:
    line = "2025-06-01 19:30:54,123 INFO a: blk_%d"
    data = "\ufeff" + line % 1 + "\n\ufeff" + line % 2 + "\nx\ufeffy\n"
    found = [row for batch in split_records([data.encode()], log_format()) for row in batch.to_pylist()]
    assert [(row["block_ids"], row["more"], row["fault"]) for row in found] == [
        ([1], "", None),
        ([2], "x\ufeffy", None),
    ]


def test_nul_bytes_stay_inside_their_record() -> None:
    (one,) = split(b"2026-11-21 14:16:19,172 INFO a.B: a\0b blk_1\0\n")
    assert (one["message"], one["block_ids"]) == ("a\0b blk_1\0", [1])


def test_the_last_line_needs_no_line_end() -> None:
    tally = Tally()
    rows = split(b"081109 203615 148 INFO a: x\n081109 203615 148 INFO a: blk_12", tally=tally)
    assert (rows[1]["message"], rows[1]["block_ids"], tally.lines) == ("blk_12", [12], 2)


def test_lines_before_the_first_head_are_a_record_each_without_a_time() -> None:
    rows = split(b"one blk_1\ntwo\n081109 203615 148 INFO a: x\nthree\n")
    assert [(row["position"], row["time"] is None, row["message"], row["more"]) for row in rows] == [
        (1, True, "one blk_1", ""),
        (2, True, "two", ""),
        (3, False, "x", "three"),
    ]


def test_a_head_without_a_message_after_it_has_no_time_and_keeps_its_line() -> None:
    line = "2026-11-21 14:16:19,172 INFO org.apache.hadoop.hdfs.StateChange"
    (row,) = split(f"{line}\n".encode())
    assert (row["time"], row["origin"], row["message"]) == (None, "", line)


def test_an_empty_message_is_a_message() -> None:
    (row,) = split(b"2026-11-21 03:57:15,244 INFO namenode.NameNode: \r\n")
    assert (row["time"], row["message"]) == (datetime(2026, 11, 21, 3, 57, 15, 244000, tzinfo=UTC), "")


def test_nothing_has_no_records() -> None:
    tally = Tally()
    assert split(b"", tally=tally) == []
    assert tally == Tally()


def test_positions_go_on_from_the_lines_already_told() -> None:
    tally = Tally(lines=41)
    assert [row["position"] for row in split(b"junk\n081109 203615 1 INFO a: x\n", tally=tally)] == [42, 43]


def test_strings_of_every_length_around_arrows_inline_limit_are_whole() -> None:
    words = ["x" * length for length in range(40)]
    data = "".join(f"2026-11-21 03:57:15,244 INFO a{word}: {word}\n{word}\n" for word in words).encode()
    rows = split(data)
    assert [row["message"] for row in rows] == [row["more"] for row in rows] == words
    assert [row["logger"] for row in rows] == [f"a{word}" for word in words]


def test_ids_that_repeat_far_apart_are_named_once() -> None:
    ids = [*range(100), *range(100), 7]
    data = b"2026-11-21 03:57:15,244 INFO a: " + b" ".join(b"blk_%d" % number for number in ids)
    assert split(data)[0]["block_ids"] == list(range(100))


def test_a_megabyte_of_block_ids_is_read_in_no_time() -> None:
    split(b"warm up")
    data = b"2026-11-21 03:57:15,244 INFO a: " + b" ".join(b"blk_%d" % (number % 45_000) for number in range(90_000))
    start = perf_counter()
    (row,) = split(data)
    assert perf_counter() - start < 3
    assert row["block_ids"] == list(range(45_000))


def test_a_line_of_forty_megabytes_shifts_nothing_around_it() -> None:
    data = (
        b"081109 203615 1 INFO a: before\n"
        + b"x" * (40 << 20)
        + b"\nstill the same\n081109 203616 1 INFO a: after blk_1"
    )
    tally = Tally()
    rows = split(data, 4 << 20, tally)
    assert tally.lines == 4
    assert rows[0]["position"] == 1
    assert (rows[-1]["position"], rows[-1]["message"], rows[-1]["block_ids"]) == (4, "after blk_1", [1])


def test_many_megabytes_without_a_head_are_a_record_per_line() -> None:
    line, tally = b"an access log's line of sixty-four bytes, which has no such head\n", Tally()
    count = (40 << 20) // len(line)
    seen = 0
    for batch in split_records(chunked(line * count, 4 << 20), FORMAT, tally):
        assert batch["message"].to_pylist()[-1].encode() + b"\n" == line
        seen += batch.num_rows
    assert seen == tally.lines == tally.records == count


def test_batches_have_the_schema_that_they_promise() -> None:
    (batch,) = split_records([b"081109 203615 1 INFO a: before\n"], FORMAT)
    assert batch.schema == RECORDS
    batch.validate(full=True)
    assert isinstance(batch, pa.RecordBatch)


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        (REAL["hdfs_v1"][0], "hdfs_v1"),
        (REAL["log4j"][0], "log4j"),
        (b"junk\n" * 50 + REAL["log4j"][1] + b"\n", "log4j"),
        (b"\n".join([*REAL["hdfs_v1"][:2], REAL["log4j"][0]]), "hdfs_v1 + log4j"),
        (b'127.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1\n', ""),
        (b"junk " + REAL["log4j"][0], ""),
        (b"", ""),
    ],
)
def test_the_layouts_that_were_seen_are_told(sample: bytes, name: str) -> None:
    tally = Tally()
    split(sample, tally=tally)
    assert tally.layout == name


@pytest.mark.parametrize("expected", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_real_lines_are_parsed_as_recorded(expected: Path) -> None:
    data = expected.with_suffix(".log").read_bytes()
    want = json.loads(expected.read_text())
    tally = Tally()
    assert told(split(data, tally=tally)) == naive(data)
    assert tally.layout == want["layout"]
    catalogue = catalogues()[want["catalogue"]]
    found = []
    for batch in split_records([data], log_format()):
        for row, event in zip(batch.to_pylist(), EventMatcher(catalogue).match(batch), strict=True):
            time = f"{row['time']:%Y-%m-%d %H:%M:%S.%f}"
            found.append({**row, "time": time, "event": catalogue.columns[event]})
    assert [{name: row[name] for name in want["records"][0]} for row in found] == want["records"]


def test_there_are_golden_files_of_each_kind() -> None:
    assert len(list(GOLDEN.glob("*.json"))) == 5

"""How records begin: every known layout with every form of time stamp, and layouts of one's own."""

from datetime import UTC, datetime
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks import scan
from hdfs_pipeline.domains.blocks.heads import LAYOUTS, STAMPS, Layout
from hdfs_pipeline.domains.blocks.layouts import Layouts, known_layouts
from hdfs_pipeline.domains.blocks.pools import Pool
from hdfs_pipeline.domains.blocks.records import NO_DATE, LogFormat, split_records
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline_tests.domains.blocks.formats import log_format

LEVELS = ("INFO", "DEBUG", "ERROR")
LOGGERS = {"logger_line": "DataNode", "bracketed_place": "a.DataNode.run"}


def rows(text: str, form: LogFormat | None = None, tally: Tally | None = None) -> list[dict[str, Any]]:
    return [row for batch in split_records([text.encode()], form or log_format(), tally) for row in batch.to_pylist()]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_layout_reads_its_example_and_no_earlier_layout_does(layout: Layout) -> None:
    (row,) = rows(layout.example)
    assert (row["layout"], row["fault"]) == (layout.name, None)
    assert row["level"] in LEVELS
    assert row["logger"].rpartition(".")[2] in (("DataNode", "run") if "%c" in layout.pattern else ("",))
    assert row["thread"] in ("", "main", "143", "DataXceiver at /1 [blk_1]")
    assert (row["thread"] != "") == ("%t" in layout.pattern)
    assert row["message"] in ("blk_1", "b", "src: /1", "Receiving blk_1", "Receiving block blk_1")
    assert row["origin"] + row["message"] == layout.example[-len(row["origin"] + row["message"]) :]
    line = layout.example.encode()
    earlier = LAYOUTS[: LAYOUTS.index(layout)]
    assert [other.name for other in earlier if scan.fields(line, Layouts((other,)).table) is not None] == []


def test_what_a_line_is_does_not_depend_on_the_line_before() -> None:
    for before in LAYOUTS:
        found = rows("\n".join(f"{before.example}\n{layout.example}" for layout in LAYOUTS))
        assert [row["layout"] for row in found[1::2]] == [layout.name for layout in LAYOUTS]


@pytest.mark.parametrize("stamp", STAMPS, ids=lambda stamp: stamp.name)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_goes_with_every_form_of_time_stamp(layout: Layout, stamp: Any) -> None:
    own = next(form for form in STAMPS if form.name == layout.stamp)
    (row,) = rows(layout.example)
    start = int(scan.fields(layout.example.encode(), Layouts((layout,)).table)[scan.AT])
    stop = len(layout.example) - len(row["origin"] + row["message"])
    (other,) = rows(layout.example[:start] + stamp.example + layout.example[stop:])
    assert other["layout"] == (layout.name if stamp is own else f"{layout.name}, {stamp.name}")
    second = datetime(2008, 11, 9, 20, 35, 18, tzinfo=UTC)
    assert other["time"].replace(microsecond=0) == second
    assert other["time"].microsecond in (0, 143_000)
    kept = ("level", "logger", "thread", "message", "origin")
    assert [other[name] for name in kept] == [row[name] for name in kept]


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ("2016-08-25T11:02:04.067+08:00", datetime(2016, 8, 25, 3, 2, 4, 67000, tzinfo=UTC)),
        ("2016-08-25T11:02:04,067+0800", datetime(2016, 8, 25, 3, 2, 4, 67000, tzinfo=UTC)),
        ("2016-08-25 11:02:04.067 +0800", datetime(2016, 8, 25, 3, 2, 4, 67000, tzinfo=UTC)),
        ("2016-08-25T11:02:04-03:30", datetime(2016, 8, 25, 14, 32, 4, tzinfo=UTC)),
        ("2016-08-25 11:02:04:067", datetime(2016, 8, 25, 9, 2, 4, 67000, tzinfo=UTC)),
        ("2016-08-25T11:02:04+08", datetime(2016, 8, 25, 3, 2, 4, tzinfo=UTC)),
        ("2016-08-25T11:02:04Z", datetime(2016, 8, 25, 11, 2, 4, tzinfo=UTC)),
        ("2016-08-25 11:02:04,067 UTC", datetime(2016, 8, 25, 11, 2, 4, 67000, tzinfo=UTC)),
        ("2016-08-25T11:02:04.123456789Z", datetime(2016, 8, 25, 11, 2, 4, 123456, tzinfo=UTC)),
        ("2016-08-25 11:02:04,067", datetime(2016, 8, 25, 9, 2, 4, 67000, tzinfo=UTC)),  # as the setting says
    ],
)
def test_a_zone_that_is_written_counts_more_than_the_setting(stamp: str, time: datetime) -> None:
    (row,) = rows(f"{stamp} INFO a: b", log_format("Europe/Berlin"))
    assert row["time"] == time


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2026-10-25 01:59:59,999", datetime(2026, 10, 24, 23, 59, 59, 999000, tzinfo=UTC)),
        ("2026-10-25 02:30:00,000", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),  # comes twice: the later is meant
        ("2026-10-25 03:00:00,000", datetime(2026, 10, 25, 2, 0, tzinfo=UTC)),
        ("2026-03-29 02:30:00,000", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # is skipped
        ("2026-03-29 03:00:00,000", datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
    ],
)
def test_summer_time_ends_and_begins_by_one_rule(local: str, utc: datetime) -> None:
    (row,) = rows(f"{local} INFO a: b", log_format("Europe/Berlin"))
    assert row["time"] == utc


MIXED = """2025-06-01 19:30:54,123 INFO datanode.DataNode: Receiving blk_1
\tat a.b.c
2025-06-01 19:30:55 INFO  DataNode:759 - Receiving blk_2
25/06/01 19:30:56 WARN datanode.DataNode: IOException in blk_3
2025-06-01 19:30:57,001 INFO  datanode.DataNode (BlockReceiver.java:run(7)) - blk_4
2025-06-01 19:30:58,001 blk_5 in a layout that nobody knows
\tat d.e.f
2025-06-31 19:30:58,001 INFO a: blk_6
2025-06-01 19:30:59,001 INFO a.b: blk_7
"""


def test_several_layouts_in_one_file_are_read_record_by_record() -> None:
    tally = Tally()
    found = rows(MIXED, tally=tally)
    assert [(row["layout"], row["block_ids"], row["position"]) for row in found] == [
        ("log4j", [1], 1),
        ("logger_line", [2], 3),
        ("log4j, yy/MM/dd HH:mm:ss", [3], 4),
        ("hdp", [4], 5),
        ("", [5], 6),
        ("", [6], 8),
        ("log4j", [7], 9),
    ]
    assert found[0]["more"] == "\tat a.b.c"
    unknown, impossible = found[4], found[5]
    assert "no known layout (tried log4j, hdfs_v1, hdp" in unknown["fault"]
    assert (unknown["message"][-5:], unknown["more"]) == ("knows", "\tat d.e.f")
    assert impossible["fault"] == NO_DATE
    assert tally.layouts == {"log4j": 2, "logger_line": 1, "log4j, yy/MM/dd HH:mm:ss": 1, "hdp": 1}


def test_the_name_of_a_thread_may_hold_brackets_and_blocks() -> None:
    thread = "DataXceiver for client DFSClient_1 at /10.0.0.192:3 [Sending block BP-9-10.0.0.1-15:blk_7_1]"
    for text in (f"DEBUG a.b ({thread}): x", f"DEBUG [{thread}] a.b: x", f"[{thread}] DEBUG a.b: x"):
        (row,) = rows(f"2025-09-25 09:30:54,737 {text}")
        assert (row["thread"], row["logger"], row["level"], row["message"]) == (thread, "a.b", "DEBUG", "x")
        assert row["block_ids"] == [7]


@pytest.mark.parametrize(
    "line",
    ["19:30:54.123 [main] INFO a.DataNode - blk_2", "19:30:54,123 INFO  [a.DataNode] (main) blk_2",
     "06/01/2025 19:30:54 INFO a.DataNode: blk_2", "[01-06-2025 19:30:54] INFO a.DataNode: blk_2",
     "2025-06-01 19:30 INFO a.DataNode: blk_2", "Jun 01, 2025 7:30:54 PM a.DataNode run"],
)  # fmt: skip
def test_a_time_stamp_that_says_too_little_begins_a_dead_letter(line: str) -> None:
    first, second = rows(f"2025-06-01 19:30:54,123 INFO a: blk_1\n\tat x.y\n{line}\n\tat x.z\n")
    assert (first["block_ids"], first["more"]) == ([1], "\tat x.y")
    assert (second["message"], second["more"]) == (line, "\tat x.z")
    assert "no known layout (tried log4j" in second["fault"]


def test_a_vague_time_stamp_is_read_where_a_layout_of_ones_own_says_how() -> None:
    pattern, line = "%d{MM/dd/yyyy HH:mm:ss} %p %c: %m", "06/01/2025 19:30:54 INFO a.DataNode: blk_2"
    (row,) = rows(line, LogFormat(known_layouts({pattern: line}), "UTC", {}, Pool()))
    assert (row["time"], row["block_ids"]) == (datetime(2025, 6, 1, 19, 30, 54, tzinfo=UTC), [2])


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("%d{yyyy年MM月dd日 HH:mm:ss} %p %c: %m", "2025年06月01日 19:30:54 WARN a.D: blk_2"),
        ("%d{yyyyMMddHHmmssSSS} %p %c: %m", "20250601193054000 WARN a.D: blk_2"),
        ("%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %c: %m %n%xEx", "2025-06-01T21:30:54+02:00 WARN a.D: blk_2"),
        ("<%d> <%p> <%t> %c: %m", "<2025-06-01 19:30:54> <WARN> <main> a.D: blk_2"),
        ("%-5p [%d{ISO8601}] [%t]: %c{1}: %m%n", "WARN  [2025-06-01 19:30:54] [main]: a.D: blk_2"),
        (
            "%date{MM/dd/yy HH:mm:ss} [%thread] %-5level %logger{36} - %msg%n",
            "06/01/25 19:30:54 [main] WARN  a.D - blk_2",
        ),
    ],
)
def test_patterns_of_log4j_and_logback_are_read(pattern: str, line: str) -> None:
    form = LogFormat(known_layouts({pattern: line}), "UTC", {}, Pool())
    for row in rows(f"{line}\n\tat x.y\n{line}\n\tat x.y\n", form):
        assert (row["level"], row["logger"], row["block_ids"], row["more"]) == ("WARN", "a.D", [2], "\tat x.y")
        assert row["time"] == datetime(2025, 6, 1, 19, 30, 54, tzinfo=UTC)


@pytest.mark.parametrize("line", ["3 more that begin with digits", "10.0.0.1:50010 is dead", "INFO without a date",
                                  "2025 was a year", "[x, y]", "Full thread dump", "D", "10:30 is a time"])  # fmt: skip
def test_lines_that_only_look_like_a_beginning_continue_a_record(line: str) -> None:
    (row,) = rows(f"2025-06-01 19:30:54,123 INFO a: blk_1\n{line}\n")
    assert (row["more"], row["fault"]) == (line, None)


@pytest.mark.parametrize(
    "head", ["[1234] [main] INFO a.DataNode:", "INFO [main] [user] a.DataNode:", "[main][user] INFO a.DataNode -"]
)
def test_two_fields_in_brackets_are_never_one_thread(head: str) -> None:
    (row,) = rows(f"2025-06-01 19:30:54,123 {head} blk_1")
    assert (row["thread"], row["fault"] is None) == ("", False)


OWN = "%d{dd.MM.yyyy HH:mm:ss} | %-5p | %X{user} | %c{1} | %m%n"
OWN_LINE = "15.08.2023 02:02:40,161 | WARN  | hdfs/nn1@EX | DataNode | Receiving blk_7"


def test_a_layout_of_ones_own_is_a_pattern_of_log4j_with_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    monkeypatch.setenv("HDFS_PIPELINE_LOG_LAYOUTS", json.dumps({OWN: OWN_LINE}))
    form = LogFormat.of(load_settings())
    found = rows(f"{OWN_LINE}\n2025-06-01 19:30:54,123 INFO a: blk_1\n{OWN_LINE}\n", form)
    own = f"own layout {OWN}, dd.MM.yyyy HH:mm:ss"
    assert [row["layout"] for row in found] == [own, "log4j", own]
    assert (found[0]["level"], found[0]["logger"], found[0]["message"]) == ("WARN", "DataNode", "Receiving blk_7")
    assert found[0]["time"] == datetime(2023, 8, 15, 2, 2, 40, 161000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "example", "words"),
    [
        (OWN, "2023-08-15 02:02:40 WARN a: b", "does not fit its example"),
        ("%p %c: %m", "INFO a: b", "needs %d at its beginning"),
        ("%d %p %c", "2023-08-15 02:02:40 INFO a", "and %m at its end"),
        ("%d %p %m %c", "2023-08-15 02:02:40 INFO a b", "nothing but the end of the line may follow %m"),
        ("%d %q %m", "2023-08-15 02:02:40 x y", "%q is not known here"),
        ("%d{EEE HH} %m", "Mon 10 x", "'EEE HH' is not known here"),
        ("%d{HH:mm:ss,SSS} %p %c: %m", "19:30:54,123 INFO a: b", "has no date and time"),
        (f"%d{{yyyy-MM-dd HH:mm:ss'{'x' * 40}'}} %m", "2023-08-15 02:02:40 x", "longer than 40 characters"),
        ("%d{ABSOLUTE} %p %c: %m", "19:30:54,123 INFO a: b", "has no date and time"),
        ("%d{yyyy-MM-dd} %p %c: %m", "2025-06-01 INFO a: b", "has no date and time"),
        ("%t %d %p %c: %m", "main 2025-06-01 19:30:54 INFO a: b", "needs %d at its beginning (at most %p before it)"),
        ("%d{ISO8601}{GMT+1} %m", "2023-08-15 02:02:40 x", "log_timezone"),
    ],
)
def test_a_pattern_that_cannot_be_read_is_refused_in_plain_words(pattern: str, example: str, words: str) -> None:
    with pytest.raises(SetupError, match=r"(?s).*") as error:
        known_layouts({pattern: example})
    assert words in str(error.value)


def test_a_head_of_a_megabyte_costs_no_more_than_its_first_bytes() -> None:
    from time import perf_counter

    lines = [f"2025-06-01 19:30:54,123 INFO [{'] a[' * 200_000}", "2025-06-01 19:30:54,123 INFO " + "a" * 1_000_000]
    rows("warm up")
    start = perf_counter()
    assert len(rows("\n".join(lines * 5))) == 10
    assert perf_counter() - start < 3

"""How log records begin, as data: the known layouts, each a pattern of log4j with an example, and forms of time stamps.

Apart from the layouts that are compiled for the scan (`layouts`), since whoever only shows records needs no compiler.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final


@dataclass(frozen=True)
class Stamp:
    """A form of time stamps: its pattern in log4j's notation, an example, and how DuckDB's strftime writes it.

    After it a fraction of a second (`,` or `.` and up to nine digits) and a zone (`Z`, `+08:00`, `+0800`, ` UTC`) may
    follow in every form.
    """

    name: str
    example: str
    format: str


STAMPS: Final = (
    Stamp("yyyy-MM-dd HH:mm:ss", "2008-11-09 20:35:18,143", "%Y-%m-%d %H:%M:%S,%g"),
    Stamp("yyMMdd HHmmss", "081109 203518", "%y%m%d %H%M%S"),
    Stamp("yyyy-MM-dd'T'HH:mm:ss", "2008-11-09T20:35:18.143Z", "%Y-%m-%dT%H:%M:%S.%g"),
    Stamp("yy/MM/dd HH:mm:ss", "08/11/09 20:35:18", "%y/%m/%d %H:%M:%S"),
    Stamp("yyyy/MM/dd HH:mm:ss", "2008/11/09 20:35:18", "%Y/%m/%d %H:%M:%S"),
    Stamp("dd MMM yyyy HH:mm:ss", "09 Nov 2008 20:35:18,143", "%d %b %Y %H:%M:%S,%g"),
    Stamp("dd-MMM-yyyy HH:mm:ss", "09-Nov-2008 20:35:18.143", "%d-%b-%Y %H:%M:%S.%g"),
    Stamp("yyyyMMdd'T'HHmmss", "20081109T203518,143", "%Y%m%dT%H%M%S,%g"),
    Stamp("yyyyMMdd HH:mm:ss", "20081109 20:35:18,143", "%Y%m%d %H:%M:%S,%g"),
    Stamp("yyyy.MM.dd HH:mm:ss", "2008.11.09 20:35:18,143", "%Y.%m.%d %H:%M:%S,%g"),
    Stamp("dd.MM.yyyy HH:mm:ss", "09.11.2008 20:35:18,143", "%d.%m.%Y %H:%M:%S,%g"),
    Stamp("dd/MMM/yyyy:HH:mm:ss", "09/Nov/2008:20:35:18", "%d/%b/%Y:%H:%M:%S"),
    Stamp("dd/MMM/yyyy HH:mm:ss", "09/Nov/2008 20:35:18", "%d/%b/%Y %H:%M:%S"),
)
VAGUE: Final = ("HH:mm:ss,SSS", "HH:mm:ss.SSS", "MM/dd/yyyy HH:mm:ss", "MM-dd-yyyy HH:mm:ss", "yyyy-MM-dd HH:mm",
                "MMM dd, yyyy")  # fmt: skip
"""Time stamps that say too little, without a date or with one that can be read in two ways: a line that begins so is a
record of its own, which becomes a dead letter unless a layout of one's own says how to read it."""


@dataclass(frozen=True)
class Layout:
    """How lines of a kind begin: `pattern` is log4j's, where `%d` without braces stands for every form of time stamp.

    `stamp` is the form that usually goes with it.
    """

    name: str
    pattern: str
    example: str
    stamp: str = STAMPS[0].name

    @property
    def prefix(self) -> str:
        """What stands before the time stamp; `{level}` stands for the level."""
        return self.pattern.partition("%d")[0].replace("%p", "{level}")


LAYOUTS: Final = (
    Layout("log4j", "%d %p %c: %m", "2026-11-21 04:00:18,725 INFO datanode.DataNode: Receiving blk_1"),
    Layout(
        "hdfs_v1", "%d %tid %p %c: %m", "081109 203518 143 INFO dfs.DataNode: Receiving block blk_1", STAMPS[1].name
    ),
    Layout(
        "hdp",
        "%d %p %c (%F:%M(%L)) - %m",
        "2025-09-19 03:52:39,146 INFO  datanode.DataNode (DataXceiver.java:writeBlock(738)) - Receiving blk_1",
    ),
    Layout("emr", "%d %p %c (%t): %m", "2025-09-25 09:30:54,737 DEBUG a.DataNode (DataXceiver at /1 [blk_1]): src: /1"),
    Layout("thread_after_level", "%d %p [%t] %c: %m", "2025-09-25 09:30:54,737 INFO  [main] a.DataNode: blk_1"),
    Layout("thread_before_level", "%d [%t] %p %c: %m", "2025-09-25 09:30:54,737 [main] INFO  a.DataNode: blk_1"),
    Layout("logger_line", "%d %p %c:%L - %m", "2025-06-01 19:30:54 INFO  DataNode:759 - Receiving blk_1"),
    Layout("dash", "%d %p %c - %m", "2025-06-01 19:30:54,001 INFO DataNode - Receiving blk_1"),
    Layout("thread_before_dash", "%d [%t] %p %c - %m", "2025-06-01 19:30:54,001 [main] INFO  a.DataNode - blk_1"),
    Layout("thread_after_dash", "%d %p [%t] %c - %m", "2025-06-01 19:30:54,001 INFO  [main] a.DataNode - blk_1"),
    Layout("thread_after_logger", "%d %p %c [%t] - %m", "2025-06-01 19:30:54,001 INFO a.DataNode [main] - blk_1"),
    Layout("thread_after_logger_colon", "%d %p %c [%t]: %m", "2025-06-01 19:30:54,001 INFO a.DataNode [main]: blk_1"),
    Layout(
        "thread_before_place",
        "%d [%t] %p %c (%F:%M(%L)) - %m",
        "2025-06-01 19:30:54,001 [main] INFO  a.DataNode (DataXceiver.java:run(7)) - blk_1",
    ),
    Layout(
        "thread_after_place",
        "%d %p [%t] %c (%F:%M(%L)) - %m",
        "2025-06-01 19:30:54,001 INFO  [main] a.DataNode (DataXceiver.java:run(7)) - blk_1",
    ),
    Layout(
        "place_then_thread",
        "%d %p %c (%F:%M(%L)) [%t] - %m",
        "2025-06-01 19:30:54,001 INFO  a.DataNode (DataXceiver.java:run(7)) [main] - blk_1",
    ),
    Layout("place", "%d %p %c (%F:%L) - %m", "2025-06-01 19:30:54,001 INFO a.DataNode (DataNode.java:7) - blk_1"),
    Layout(
        "thread_line", "%d %p [%t] %c:%L - %m", "2025-06-01 19:30:54,001 INFO  [main] DataNode:759 - Receiving blk_1"
    ),
    Layout("thread_before_line", "%d [%t] %p %c:%L - %m", "2025-06-01 19:30:54,001 [main] INFO  DataNode:759 - blk_1"),
    Layout("spring", "%d %p %pid --- [%t] %c : %m", "2025-06-01 19:30:54.001  INFO 7 --- [  main] a.DataNode : blk_1"),
    Layout(
        "spring_application",
        "%d %p %pid --- [%X{application}] [%t] %c : %m",
        "2025-06-01T19:30:54.001Z  INFO 7 --- [hdfs] [  main] a.DataNode : blk_1",
        STAMPS[2].name,
    ),
    Layout(
        "bracketed_place",
        "[%d] [%p] %c(%F %L) [%t] : %m",
        "[2016-08-25T11:02:04.067+08:00] [ERROR] a.DataNode.run(DataNode.java 626) [main] : blk_1",
        STAMPS[2].name,
    ),
    Layout("bracketed_colon", "[%d] [%p] [%t] %c: %m", "[2025-06-01 19:30:54,001] [INFO] [main] a.DataNode: blk_1"),
    Layout("bracketed_dash", "[%d] [%p] [%t] %c - %m", "[2025-06-01 19:30:54,001] [INFO] [main] a.DataNode - blk_1"),
    Layout("bracketed_thread", "[%d] [%t] [%p] %c: %m", "[2025-06-01 19:30:54,001] [main] [INFO] a.DataNode: blk_1"),
    Layout("bracketed_all", "[%d] [%p] [%t] [%c] %m", "[2025-06-01 19:30:54,001] [INFO] [main] [a.DataNode] blk_1"),
    Layout("bracketed_logger", "[%d] [%p] [%c] %m", "[2025-06-01 19:30:54,001] [INFO] [a.DataNode] blk_1"),
    Layout("bracketed_level", "[%d] [%p] %c: %m", "[2025-06-01 19:30:54,001] [INFO] a.DataNode: blk_1"),
    Layout("bracketed_time", "[%d] %p %c: %m", "[2025-06-01 19:30:54,001] INFO a.DataNode: blk_1"),
    Layout("level_in_brackets", "%d [%p] %c: %m", "2025-06-01 19:30:54,001 [INFO] a.DataNode: blk_1"),
    Layout("level_thread_in_brackets", "%d [%p] [%t] %c: %m", "2025-06-01 19:30:54,001 [INFO] [main] a.DataNode: b"),
    Layout("thread_level_in_brackets", "%d [%t] [%p] %c: %m", "2025-06-01 19:30:54,001 [main] [INFO] a.DataNode: b"),
    Layout("level_in_brackets_dash", "%d [%p] %c - %m", "2025-06-01 19:30:54,001 [INFO] a.DataNode - blk_1"),
    Layout("level_thread_dash", "%d [%p] [%t] %c - %m", "2025-06-01 19:30:54,001 [INFO] [main] a.DataNode - blk_1"),
    Layout("thread_level_dash", "%d [%t] [%p] %c - %m", "2025-06-01 19:30:54,001 [main] [INFO] a.DataNode - blk_1"),
    Layout("bracketed_time_dash", "[%d] %p %c - %m", "[2025-06-01 19:30:54,001] INFO a.DataNode - blk_1"),
    Layout("bracketed_time_thread", "[%d] %p [%t] %c: %m", "[2025-06-01 19:30:54,001] INFO [main] a.DataNode: blk_1"),
    Layout(
        "bracketed_time_thread_dash", "[%d] %p [%t] %c - %m", "[2025-06-01 19:30:54,001] INFO [main] a.DataNode - b"
    ),
    Layout("bracketed_thread_level", "[%d] [%t] %p %c: %m", "[2025-06-01 19:30:54,001] [main] INFO a.DataNode: blk_1"),
    Layout(
        "bracketed_thread_level_dash", "[%d] [%t] %p %c - %m", "[2025-06-01 19:30:54,001] [main] INFO a.DataNode - b"
    ),
    Layout("bracketed_thread_dash", "[%d] [%t] [%p] %c - %m", "[2025-06-01 19:30:54,001] [main] [INFO] a.DataNode - b"),
    Layout("bracketed_level_dash", "[%d] [%p] %c - %m", "[2025-06-01 19:30:54,001] [INFO] a.DataNode - blk_1"),
    Layout("line_colon", "%d %p %c:%L: %m", "2025-06-01 19:30:54,001 INFO a.DataNode:759: blk_1"),
    Layout("line_in_parentheses", "%d %p %c(%L): %m", "2025-06-01 19:30:54,001 INFO a.DataNode(759): blk_1"),
    Layout("line_in_brackets", "%d %p %c[%L]: %m", "2025-06-01 19:30:54,001 INFO a.DataNode[759]: blk_1"),
    Layout(
        "thread_after_level_place",
        "%d %p [%t] %c (%F:%L) - %m",
        "2025-06-01 19:30:54,001 INFO  [main] a.DataNode (DataNode.java:7) - blk_1",
    ),
    Layout(
        "thread_before_level_place",
        "%d [%t] %p %c (%F:%L) - %m",
        "2025-06-01 19:30:54,001 [main] INFO  a.DataNode (DataNode.java:7) - blk_1",
    ),
    Layout("place_without_logger", "%d %p (%F:%L) - %m", "2025-06-01 19:30:54,001 INFO (DataNode.java:7) - blk_1"),
    Layout(
        "thread_and_place", "%d %p [%t] (%F:%L) - %m", "2025-06-01 19:30:54,001 INFO [main] (DataNode.java:7) - blk_1"
    ),
    Layout("thread_colon", "%d %p [%t]: %c: %m", "2025-06-01 19:30:54,001 INFO  [main]: a.DataNode: blk_1"),
    Layout(
        "hive",
        "%d %p [%t]: %c (%F:%M(%L)) - %m",
        "2025-06-01 19:30:54,001 INFO  [main]: a.DataNode (DataXceiver.java:run(7)) - blk_1",
    ),
    Layout("dashes", "%d - %p - %c - %m", "2025-06-01 19:30:54,001 - INFO - a.DataNode - blk_1"),
    Layout("logger_before_level", "%d - %c - %p - %m", "2025-06-01 19:30:54,001 - a.DataNode - INFO - blk_1"),
    Layout("wildfly", "%d %p [%c] (%t) %m", "2025-06-01 19:30:54,001 INFO  [a.DataNode] (main) blk_1"),
    Layout("pipes", "%d | %p | %t | %c | %m", "2025-06-01 19:30:54,001 | INFO  | main | a.DataNode | blk_1"),
    Layout("pipes_tight", "%d|%p|%t|%c|%m", "2025-06-01 19:30:54,001|INFO|main|a.DataNode|blk_1"),
    Layout("pipes_without_logger", "%d | %p | %t | %m", "2025-06-01 19:30:54,001 | INFO  | main | Receiving blk_1"),
    Layout("level_first", "%p %d %c: %m", "INFO  2025-06-01 19:30:54,001 a.DataNode: blk_1"),
    Layout("level_first_dash", "%p %d %c - %m", "INFO  2025-06-01 19:30:54,001 a.DataNode - blk_1"),
    Layout("level_first_thread", "%p %d [%t] %c: %m", "INFO  2025-06-01 19:30:54,001 [main] a.DataNode: blk_1"),
    Layout("level_first_thread_dash", "%p %d [%t] %c - %m", "INFO  2025-06-01 19:30:54,001 [main] a.DataNode - blk_1"),
    Layout("level_first_bracketed_time", "%p [%d] %c: %m", "INFO  [2025-06-01 19:30:54,001] a.DataNode: blk_1"),
    Layout("level_first_in_brackets", "[%p] %d %c: %m", "[INFO] 2025-06-01 19:30:54,001 a.DataNode: blk_1"),
    Layout(
        "level_first_in_brackets_thread",
        "[%p] %d [%t] %c - %m",
        "[INFO] 2025-06-01 19:30:54,001 [main] a.DataNode - blk_1",
    ),
    Layout("level_first_bracketed", "[%p] [%d] %c: %m", "[INFO] [2025-06-01 19:30:54,001] a.DataNode: blk_1"),
)
"""All that is known. Of two that fit a line, the first counts."""


@cache
def formats() -> dict[str, str]:
    """How a record's time stamp was written, by the name of its layout and form: for strftime, `{level}` the level."""
    return {
        written_as(layout, stamp.name): layout.prefix.replace("%", "%%") + stamp.format
        for layout in LAYOUTS
        for stamp in STAMPS
    }


def written_as(layout: Layout, form: str) -> str:
    """The name of a layout with a form of time stamps, as `raw_logs` has it."""
    return layout.name if form == layout.stamp else f"{layout.name}, {form}"

"""Messages from bytes: JSON in its shapes, plain lines in each layout, what is no message, and any cut of a file."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.domains.applogs import records
from hdfs_pipeline.domains.applogs.layouts import LAYOUTS, Layout
from hdfs_pipeline.domains.applogs.naming import Written, written_by
from hdfs_pipeline.domains.applogs.records import MessageFormat, read_messages, split_records
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import load_settings


def format_of(**given: object) -> MessageFormat:
    return MessageFormat.of(load_settings(Path("nowhere")).model_copy(update=given))


FORMAT = format_of()
AT = datetime(2026, 11, 30, 10, 15, 0, 123000, UTC)
GOLDEN = Path(__file__).parent / "golden"


def one(text: str | bytes | dict[str, Any], fmt: MessageFormat = FORMAT, service: str = "") -> dict[str, Any]:
    """The record of one message."""
    value = orjson.dumps(text) if isinstance(text, dict) else text.encode() if isinstance(text, str) else text
    row: dict[str, Any] = read_messages([value], fmt, [service] if service else None).to_pylist()[0]
    return row


def split(data: bytes, cuts: list[int], fmt: MessageFormat = FORMAT, service: str = "") -> list[dict[str, Any]]:
    """The records of a file that is read in pieces."""
    ends = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    chunks = [data[begin:end] for begin, end in pairwise(ends)]
    return [row for batch in split_records(chunks, fmt, Tally(), service) for row in batch.to_pylist()]


SHAPES: dict[str, dict[str, Any]] = {
    "json": {
        "timestamp": "2026-11-30T10:15:00.123Z",
        "service": "shop",
        "level": "warn",
        "message": "late",
        "host": "h1",
    },
    "ecs": {
        "@timestamp": "2026-11-30T11:15:00.123+01:00",
        "log": {"level": "warn", "logger": "a.B"},
        "service": {"name": "shop"},
        "host": {"name": "h1"},
        "message": "late",
        "error": {"stack_trace": "java.lang.E\n\tat a.B"},
    },
    "ecs, dotted": {
        "@timestamp": "2026-11-30T10:15:00.123Z",
        "log.level": "WARN",
        "log.logger": "a.B",
        "service.name": "shop",
        "host.name": "h1",
        "message": "late",
        "error.stack_trace": "java.lang.E\n\tat a.B",
    },
    "otel": {
        "timeUnixNano": "1796033700123000000",
        "severityNumber": 13,
        "body": {"stringValue": "late"},
        "resource": {
            "attributes": [
                {"key": "service.name", "value": {"stringValue": "shop"}},
                {"key": "host.name", "value": {"stringValue": "h1"}},
            ]
        },
    },
    "otel, data model": {
        "Timestamp": 1796033700123000000,
        "SeverityText": "WARN",
        "Body": "late",
        "Resource": {"service.name": "shop", "host.name": "h1"},
        "Attributes": {"exception.stacktrace": "java.lang.E\n\tat a.B"},
    },
    "logstash": {
        "@timestamp": "2026-11-30T10:15:00.123Z",
        "@version": "1",
        "message": "late",
        "logger_name": "a.B",
        "level": "WARN",
        "level_value": 30000,
        "stack_trace": "java.lang.E\n\tat a.B",
        "app": "shop",
        "HOSTNAME": "h1",
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_of_json_is_read(name: str) -> None:
    row = one(SHAPES[name])
    assert row["fault"] is None
    assert (row["time"], row["service"], row["level"], row["host"]) == (AT, "shop", "WARN", "h1")
    assert (row["message"], row["layout"]) == ("late", name.partition(",")[0])
    stacked = "stack" in orjson.dumps(SHAPES[name]).decode()
    assert row["more"] == ("java.lang.E\n\tat a.B" if stacked else "")


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.name for layout in LAYOUTS])
def test_each_layout_fits_its_own_example(layout: Layout) -> None:
    row = one(layout.example + "\njava.io.IOException: gone\n\tat a.B.c(B.java:7)")
    assert row["fault"] is None
    assert (row["layout"], row["level"], row["service"]) == (layout.name, "INFO", records.NAMELESS)
    assert row["time"].minute == 15
    assert row["message"] and "INFO" not in row["message"] and row["message"][0] not in ":- "
    assert row["more"] == "java.io.IOException: gone\n\tat a.B.c(B.java:7)"


FAULTS = {
    '{"timestamp": "2026-11-30T10:15:00Z", "message": ': records.NO_JSON,
    '{"timestamp": "yesterday", "message": "x"}': records.NO_TIME,
    '{"message": "x"}': records.NO_TIME,
    '{"timestamp": "2026-11-30T10:15:00Z"}': records.NO_TEXT,
    '{"resourceLogs": []}': records.MANY,
    "hello": records.NO_HEAD,
    "2026-13-41 10:15:00,123 INFO a.B: x": records.NO_TIME,
    "\x00\x01": records.NO_HEAD,
}


@pytest.mark.parametrize("text", FAULTS)
def test_what_is_no_message_says_why_and_is_kept(text: str) -> None:
    """As a message of a topic and as a line of a file."""
    for row in (one(text), split(text.encode(), [])[0]):
        assert (row["fault"], row["time"], row["message"]) == (FAULTS[text], None, text)


def test_a_message_may_be_empty() -> None:
    """As an odd one; a plain line, too."""
    for text in ('{"timestamp": "2026-11-30T10:15:00.123Z", "message": ""}', "2026-11-30 10:15:00,123 INFO a.B: "):
        row = one(text)
        assert (row["fault"], row["time"], row["message"]) == (None, AT, "")


def test_times_are_those_of_the_zone_of_the_setting() -> None:
    berlin = format_of(log_timezone="Europe/Berlin")
    assert one("2026-11-30 11:15:00,123 INFO a.B: x", berlin)["time"] == AT
    assert one("2026-11-30T10:15:00.123Z INFO [t] a.B: x", berlin)["time"] == AT
    assert one("2026-10-25 02:30:00,000 INFO a.B: x", berlin)["time"] == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    for number in (1796033700.123, 1796033700123, 1796033700123000, "1796033700123"):
        assert one({"time": number, "message": "x"})["time"] == AT, number


def test_a_layout_of_ones_own_is_tried_first() -> None:
    own = format_of(app_format="[%level] %d{yyyy-MM-dd HH:mm:ss.SSS} %c | %m%n")
    row = one("[ERROR] 2026-11-30 10:15:00.123 a.B | it broke", own)
    assert (row["layout"], row["time"], row["level"], row["logger"], row["message"]) == (
        "own",
        AT,
        "ERROR",
        "a.B",
        "it broke",
    )
    for pattern in ("%p %m", "%d %p", "%d %m and more", "%d %zz %m", "%d{HH:mm} %m"):
        with pytest.raises(SetupError, match="app_format"):
            format_of(app_format=pattern)


def test_names_of_ones_own_are_looked_for_first() -> None:
    own = format_of(json_fields={"message": "payload.what", "time": "when"})
    row = one({"when": "2026-11-30T10:15:00.123Z", "payload": {"what": "late"}, "message": "no"}, own)
    assert (row["time"], row["message"]) == (AT, "late")


NAMES = {
    "/var/log/hbase/hbase-hdfs-regionserver-worker3.example.log.2": Written("hbase-regionserver", "worker3.example"),
    "yarn-yarn-resourcemanager-master1.log": Written("yarn-resourcemanager", "master1"),
    "spark-spark-org.apache.spark.deploy.history.HistoryServer-1-master1.out": Written(
        "spark-history-server", "master1"
    ),
    "hiveserver2.log.2026-11-30": Written("hiveserver2"),
    "checkout.json.gz": Written("checkout"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_files_name_says_whose_it_is(name: str) -> None:
    assert written_by(name) == NAMES[name]


LINES = [
    "2026-11-30 10:15:00,123 INFO a.B: one",
    "2026-11-30 10:15:00,124 ERROR a.B: two",
    "java.io.IOException: gone",
    "\tat a.B.c(B.java:7)",
    "",
    "{not json",
    '{"timestamp": "2026-11-30T10:15:00.123Z", "message": "three", "service": "s"}',
    '{"timestamp": "2026-11-30T10:15:00.123Z", "message": ',
    "garbage",
    "30/11/2026 10:15 INFO what",
    "26/11/30 10:15:00 INFO X: four",
    "größe \udcff".encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
]


@given(st.lists(st.sampled_from(LINES), max_size=12), st.lists(st.integers(0, 10_000), max_size=6), st.booleans())
def test_the_records_of_a_file_do_not_depend_on_how_it_is_cut(lines: list[str], cuts: list[int], ended: bool) -> None:
    """And every line that is not blank is in one of them."""
    data = ("\n".join(lines) + "\n" * ended).encode()
    whole = split(data, [])
    assert split(data, cuts) == whole
    texts = "\n".join(f"{row['message']}\n{row['more']}" for row in whole)
    for line in lines:
        for word in line.split():
            if line.startswith(('{"', "2026", "26/")):
                continue
            assert word in texts
    assert [row["position"] for row in whole] == sorted({row["position"] for row in whole})


def test_golden_lines() -> None:
    """Lines of services as they are written, and what is read of them: a file with the answers lies beside each."""
    for path in sorted(GOLDEN.glob("*.log")):
        service, host = written_by(path.name)
        batches = split_records([path.read_bytes()], FORMAT, Tally(), service, host)
        found = [
            {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
            for batch in batches
            for row in batch.to_pylist()
        ]
        assert found == orjson.loads(path.with_suffix(".json").read_bytes()), path.name

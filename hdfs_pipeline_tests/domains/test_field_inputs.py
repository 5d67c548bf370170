"""Small real inputs from many clusters give what their README wants, through files, messages and polls."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.cli import app
from hdfs_pipeline.domains.blocks.ingest import Ingested, ingest
from hdfs_pipeline.domains.blocks.joins import Joins
from hdfs_pipeline.domains.blocks.labels import load_labels
from hdfs_pipeline.domains.blocks.parse import parse
from hdfs_pipeline.domains.blocks.shipping import ShippedLogs
from hdfs_pipeline.domains.namenode.gc_times import OLD, YOUNG
from hdfs_pipeline.domains.namenode.process import Processor
from hdfs_pipeline_tests.domains.messages import Message
from hdfs_pipeline_tests.homes import Home

Row = tuple[Any, ...]
EVENTS = """SELECT level, logger, event_id, block_ids, alarm FROM parsed_events ORDER BY source_id, position"""


@pytest.fixture(scope="module")
def inputs(shared: Path) -> Path:
    if not (shared / "field_inputs").is_dir():
        pytest.skip(f"no field_inputs in {shared}")
    return shared / "field_inputs"


def read(home: Home, *paths: Path) -> Ingested:
    done = ingest(home.store, home.settings, [str(path) for path in paths])
    parse(home.store, home.settings)
    return done


def read_one(home: Home, inputs: Path, number: str) -> tuple[Ingested, list[Row]]:
    (path,) = inputs.glob(f"{number}_*")
    return read(home, path), home.rows(EVENTS)


def test_01_a_block_s_life_in_ambaris_layout(home: Home, inputs: Path) -> None:
    done, rows = read_one(home, inputs, "01")
    assert [row[2] for row in rows] == ["E2", "E3", "E5", "E6"]
    assert {row[0] for row in rows} == {"INFO"}
    assert [row[1] for row in rows] == ["datanode.DataNode", "DataNode.clienttrace", *["datanode.DataNode"] * 2]
    assert (done.dead_letters, {tuple(row[3]) for row in rows}) == (0, {(5688236938,)})


# number, records, dead letters, levels in their order, blocks by record
LAYOUTS: list[tuple[str, int, int, list[str], list[list[int]]]] = [
    ("03", 3, 0, ["INFO", "INFO", "WARN"], [[1087224332], [], []]),
    ("04", 4, 0, ["INFO", "WARN", "WARN", "INFO"], [[1073741850], [], [], [1073741847]]),
    ("05", 4, 0, ["DEBUG"] * 4, [[1073742023], [1073742023], [1073742025], []]),
    ("07", 4, 0, ["INFO", "INFO", "WARN", "INFO"], [[1073741962], [1144933273], [1073741962], [1073741962]]),
    ("09", 2, 0, ["ERROR", "INFO"], [[], []]),
    ("23", 4, 1, ["INFO", "INFO", "INFO"], [[1073741891]] * 3),
    ("29b", 2, 0, ["INFO", "INFO"], [[1074072698], [1074072706]]),
    ("30", 4, 0, ["INFO"] * 4, [[5688236938]] * 4),
    ("31", 2, 0, ["INFO", "INFO"], [[1073741891]] * 2),
    ("34", 2, 0, ["INFO", "INFO"], [[], []]),
    ("43", 4, 0, ["INFO", "INFO", "WARN", "INFO"], [[1073741891], [1073741892], [1073741893], [1073741891]]),
    ("44", 3, 0, ["INFO"] * 3, [[-2281137920769708011]] * 3),
    ("47", 2, 0, ["INFO"] * 2, [[1073741891]] * 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "records", "letters", "levels", "blocks"), LAYOUTS, ids=lambda value: str(value)[:3]
)
def test_each_layout_gives_its_records(
    home: Home, inputs: Path, number: str, records: int, letters: int, levels: list[str], blocks: list[list[int]]
) -> None:
    done, rows = read_one(home, inputs, number)
    assert (done.records, done.dead_letters) == (records, letters)
    assert [row[0] for row in rows] == levels
    assert [row[3] for row in rows] == blocks


def test_05_the_logger_is_clienttrace(home: Home, inputs: Path) -> None:
    _, rows = read_one(home, inputs, "05")
    assert rows[0][:2] == ("DEBUG", "org.apache.hadoop.hdfs.server.datanode.DataNode.clienttrace")
    threads = home.rows("SELECT thread FROM raw_logs ORDER BY position")
    assert threads[0][0].startswith("DataXceiver for client DFSClient_NONMAPREDUCE_-56011767_1 at /10.0.0.192:38172 [")


def test_09_times_are_in_utc(home: Home, inputs: Path) -> None:
    read_one(home, inputs, "09")
    assert home.rows("SELECT strftime(min(time), '%Y-%m-%d %H:%M:%S.%g') FROM raw_logs") == [
        ("2016-08-25 03:02:04.067",)
    ]


def test_23_holds_the_lines_of_two_clusters(home: Home, inputs: Path) -> None:
    read_one(home, inputs, "23")
    ((reason,),) = home.rows("SELECT reason FROM dead_letters")
    assert reason.startswith("of another block pool: this home holds BP-867886778-10.0.0.2-1748805326388")


def test_25_an_erasure_coded_block_is_one(home: Home, inputs: Path) -> None:
    _, rows = read_one(home, inputs, "25")
    assert {tuple(row[3]) for row in rows} == {(-9223372036854775792,)}
    assert home.rows("SELECT unnest(internal_ids) FROM raw_logs ORDER BY position") == [
        (-9223372036854775791,),
        (-9223372036854775790,),
    ]


@pytest.mark.parametrize("number", ["32", "33"])
def test_what_is_no_log_of_hdfs_is_dead_letters(home: Home, inputs: Path, number: str) -> None:
    done, rows = read_one(home, inputs, number)
    assert (done.records, rows) == (done.dead_letters, [])
    assert done.dead_letters > 0


def test_35_rotated_files_of_all_kinds_are_read(home: Home, inputs: Path) -> None:
    done = read(home, inputs / "35_logrotate_dateext")
    assert (done.files, done.dead_letters, done.unread) == (3, 0, [])
    assert home.rows("SELECT DISTINCT host, daemon FROM sources") == [("dn1.example.com", "datanode")]


@pytest.mark.parametrize("kind", "abcdef")
def test_37_labels_of_six_shapes_are_read(home: Home, inputs: Path, kind: str) -> None:
    (path,) = inputs.glob(f"37{kind}_*")
    assert load_labels(home.store, path) == (1 if kind in "ef" else 2)
    labels = dict(home.rows("SELECT block_id, label FROM labels"))
    assert labels.get(-1608999687919862906, "normal") == labels.get(1073741825, "normal") == "normal"
    assert kind in "ef" or labels[7503483334202473044] == "anomaly"


def routed(home: Home, path: Path) -> tuple[list[tuple[str, str, str, list[bytes | None]]], list[str]]:
    """What the router makes of the lines of a file: host, daemon, text and keys of each record; reasons of letters."""
    shipping = ShippedLogs(home.settings, 1 << 20)
    shipping._joins = Joins(shipping._format, max_record_bytes=1 << 20, quiet_s=-1)
    shipping._joins.assigned(0, 0)
    letters = []
    for offset, line in enumerate(path.read_bytes().splitlines()):
        letters += [letter.reason for letter in shipping.take(Message(line, offset))]
    outgoing, bad = shipping.whole()
    letters += [letter.reason for letter in bad]
    records = []
    for record in outgoing:
        headers = {name: value.decode() for name, value in record.headers}
        records.append((headers.get("host", ""), headers.get("daemon", ""), record.value.decode(), list(record.keys)))
    return records, letters


EXCEPTION, TRACE = b"blk_1144955378", "\njava.io.IOException: Premature EOF from inputStream"
SHIPPED: dict[str, list[tuple[str, str, bool, bytes]]] = {
    "11": [("dn1", "datanode", True, EXCEPTION), ("dn1", "namenode", False, b"blk_1144955377")],
    "14": [("dn1", "datanode", True, EXCEPTION), ("dn1", "namenode", False, b"blk_1144955377")],
    "18": [("node1", "datanode", True, EXCEPTION), ("node1", "namenode", False, b"blk_1144955377")],
    "12": [("dn1", "datanode", True, EXCEPTION), ("dn1", "namenode", False, b"blk_1144955377")],
    "15": [("", "", False, b"blk_1144955377")] * 2,
    "16": [("dn1", "datanode", False, b"blk_1144955377")],
    "29": [("", "datanode", False, b"blk_1074072698"), ("", "datanode", False, b"blk_1074072706")],
    "45": [("", "", False, b"blk_1073741891"), ("", "", False, b"blk_1073775314")],
}


@pytest.mark.parametrize("number", SHIPPED)
def test_what_shippers_send_becomes_records_of_the_right_file(
    new_home: Callable[..., Home], inputs: Path, number: str
) -> None:
    (path,) = inputs.glob(f"{number}_*")
    records, letters = routed(new_home(), path)
    assert letters == []
    assert [(host, daemon, TRACE in text, keys[0]) for host, daemon, text, keys in records] == SHIPPED[number]


POLLS = [
    ("21_jmx_330_parallel_gc", None),
    ("22a_jmx_quantiles_poll1", "22b_jmx_quantiles_poll2"),
    ("38_jmx_netdata_two_beans", None),
    ("41_jmx_datadog_info", None),
    ("42_jmx_datanode", None),
    ("48a_jmx_zgc_poll1", "48b_jmx_zgc_poll2"),
]


@pytest.mark.parametrize(("first", "second"), POLLS)
def test_documents_of_jmx_give_samples_and_no_false_restart(inputs: Path, first: str, second: str | None) -> None:
    processor = Processor()
    documents = [json.loads((inputs / f"{name}.json").read_text()) for name in (first, second) if name]
    begin = datetime(2026, 11, 21, tzinfo=UTC)
    polled = [processor.add(document, begin + timedelta(seconds=10 * at)) for at, document in enumerate(documents)]
    samples = [sample for sample in polled if sample is not None]
    assert bool(samples) == (not first.startswith("42")), "a DataNode is no NameNode"
    assert not any(sample.restarted for sample in samples)
    if first.startswith("22"):
        assert sum(len(sample.values) for sample in samples) == 43
    if first.startswith("48"):
        assert [samples[-1].values[name] for name in (YOUNG, OLD)] == [0.0, 0.0]


def test_the_command_names_what_it_saw(home: Home, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    monkeypatch.setenv("HDFS_PIPELINE_HOME", str(home.settings.home))
    done = CliRunner().invoke(app, ["ingest", str(inputs / "43_mixed_layouts_in_one_file.log"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["forms"] == {"log4j": 2, "log4j, yy/MM/dd HH:mm:ss": 1, "logger_line": 1}

"""What stands around log lines: every known prefix, shipper and logger, in files and in messages."""

import json
import re
from time import perf_counter
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.joins import CONTINUES
from hdfs_pipeline.domains.blocks.messages import read_messages
from hdfs_pipeline.domains.blocks.records import NO_STAMP, LogFormat, split_records
from hdfs_pipeline.domains.blocks.shipping import ShippedLogs
from hdfs_pipeline.domains.blocks.wrappers import EVENTS, PREFIXES, SHIPPERS, Shipped, find_line, shipped_writer
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline_tests.domains.blocks.formats import log_format
from hdfs_pipeline_tests.domains.messages import Message

LINE = "2023-08-15 02:02:40,161 WARN a.DataNode: Exception for blk_7_1"
NEXT = "2023-08-15 02:02:41,161 INFO a.DataNode: Receiving blk_8_1"
TRACE = "\tat org.apache.hadoop.hdfs.server.datanode.BlockReceiver.receiveBlock(BlockReceiver.java:1011)"


def found(text: str, form: LogFormat | None = None, tally: Tally | None = None) -> list[tuple[Any, ...]]:
    batches = split_records([text.encode()], form or log_format(), tally)
    return [
        (row["position"], row["block_ids"], row["more"], row["fault"]) for batch in batches for row in batch.to_pylist()
    ]


def line_of(value: str | bytes | dict[str, Any], **own: str) -> Shipped:
    form = log_format(**own)
    text = json.dumps(value) if isinstance(value, dict) else value
    return find_line(text.encode() if isinstance(text, str) else text, form.kind_of, form.json_fields)


@pytest.mark.parametrize("prefix", PREFIXES, ids=lambda prefix: prefix.name)
def test_every_prefix_is_taken_off_each_line_of_a_file(prefix: Any) -> None:
    wrapped = [prefix.example.decode().removesuffix("line") + line for line in (LINE, TRACE, NEXT, TRACE)]
    tally = Tally()
    assert found("\n".join(wrapped), tally=tally) == [(1, [7], TRACE, None), (3, [8], TRACE, None)]
    assert (tally.wrapped, tally.lines, tally.layout) == ({prefix.name: 4}, 4, "log4j")


@pytest.mark.parametrize("shipper", SHIPPERS, ids=lambda shipper: shipper.name)
def test_every_shippers_line_host_and_file_are_found(shipper: Any) -> None:
    sent = line_of(re.sub(r'"line(?!":)', json.dumps(LINE)[:-1], shipper.example))
    assert (sent.text, sent.kind) == (LINE.encode(), shipper.name)
    assert sent.host == ("dn1" if "dn1" in shipper.example else "")
    assert sent.path == ("/l/a.log" if "/l/a.log" in shipper.example else "")


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_every_loggers_json_becomes_a_record(event: Any) -> None:
    form = log_format()
    batches = split_records([event.example.encode()], form)
    (row,) = [row for batch in batches for row in batch.to_pylist()]
    assert (row["level"], row["logger"], row["message"], row["fault"]) == (
        "INFO",
        "a.DataNode",
        "Receiving blk_1",
        None,
    )
    assert row["thread"] in ("main", "")
    assert row["time"].timestamp() in (1693792960.161, 1692064960.161, 1692064960.0)


DATANODE = "/l/hadoop-hdfs-datanode-dn7.log"
POD = "/var/log/pods/hdfs_hdfs-datanode-0_d39254de/hdfs/0.log"
ON_NODE = {"pod_name": "hdfs-datanode-0", "pod_node_name": "node1", "container_name": "hdfs"}
SHIPPED = [
    ({"message": LINE, "log": {"file": {"path": DATANODE}}, "agent": {"hostname": "h"}}, ("h", "datanode")),
    ({"message": LINE, "host": "dn1", "file": DATANODE, "source_type": "file"}, ("dn1", "datanode")),
    ({"@timestamp": 1795270579.1, "log": LINE, "filename": DATANODE}, ("dn7", "datanode")),
    ({"log": LINE, "kubernetes": {"host": "node1", "pod_name": "hdfs-namenode-0"}}, ("node1", "namenode")),
    ({"file": POD, "kubernetes": ON_NODE, "message": LINE}, ("node1", "datanode")),
    ({"message": LINE, "container": {"name": "namenode"}, "host": {"name": "h"}}, ("h", "namenode")),
    ({"container_name": "/hdfs_datanode_1", "source": "stdout", "log": LINE}, ("", "datanode")),
    ({"message": LINE, "kubernetes": {"node": {"name": "n"}, "pod": {"name": "journalnode-2"}}}, ("n", "journalnode")),
    # Filebeat: without parse of what it decoded, from the journal, with an object around Docker's line
    ({"json": {"log": LINE + "\n", "stream": "x"}, "log": {"file": {"path": DATANODE}}, "host": {"name": "h"}},
     ("h", "datanode")),
    ({"message": LINE, "systemd": {"unit": "hadoop-hdfs-datanode.service"}, "host": {"hostname": "h"}},
     ("h", "datanode")),
    ({"message": LINE, "log": {"file": {"path": DATANODE}}, "agent": {"name": "h"}}, ("h", "datanode")),
    # Fluent Bit on Windows and with a host of its own, Fluentd, stern
    ({"log": LINE, "path": "C:\\hadoop\\logs\\hadoop-hdfs-datanode-dn7.log"}, ("dn7", "datanode")),
    ({"log": LINE, "path": DATANODE, "HOSTNAME": "h"}, ("h", "datanode")),
    ({"log": LINE, "stream": "stdout", "attrs": {"tag": "hdfs_datanode_1"}, "time": "x"}, ("", "datanode")),
    ({"message": LINE, "nodeName": "n", "podName": "hdfs-datanode-0", "containerName": "hdfs"}, ("n", "datanode")),
    # syslog in the fields of Vector, rsyslog, syslog-ng and the journal: a program and its process
    ({"message": LINE, "hostname": "h", "appname": "hadoop-datanode", "procid": 12}, ("h", "datanode")),
    ({"msg": f" {LINE}", "hostname": "h", "programname": "datanode", "procid": "12"}, ("h", "datanode")),
    ({"message": LINE, "fromhost": "h", "file": DATANODE}, ("h", "datanode")),
    ({"MESSAGE": LINE, "HOST": "h", "PROGRAM": "hadoop-datanode", "PID": "12"}, ("h", "datanode")),
    ({"MSG": LINE, "HOST": "h", "FILE_NAME": DATANODE}, ("h", "datanode")),
    ({"MESSAGE": list(LINE.encode()), "_HOSTNAME": "h", "_SYSTEMD_UNIT": "hdfs-datanode.service"}, ("h", "datanode")),
    # others
    ({"message": [LINE, "Exception"], "host": "h", "path": DATANODE}, ("h", "datanode")),
    ({"message": "Exception", "event": {"original": LINE}, "log": {"file": {"path": DATANODE}}}, ("dn7", "datanode")),
    ({"message": LINE, "filename": "hadoop-hdfs-datanode-dn7.log", "path": "/var/log/"}, ("dn7", "datanode")),
    ({"payload": {"value": LINE, "file": DATANODE}, "schema": {"type": "struct"}}, ("dn7", "datanode")),
    ({"value": {"message": LINE, "path": DATANODE, "host": "h"}}, ("h", "datanode")),
    ({"event": {"line": LINE}, "host": "h", "source": DATANODE}, ("h", "datanode")),
    ({"fields": {"message": LINE}, "tags": {"host": "h", "path": DATANODE}, "name": "tail"}, ("h", "datanode")),
    ({"headers": {"host": "h", "file": DATANODE}, "body": LINE}, ("h", "datanode")),
    ({"entry": LINE, "labels": {"filename": DATANODE, "host": "h"}}, ("h", "datanode")),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "writer"), SHIPPED)
def test_host_and_daemon_come_from_file_or_container(sent: dict[str, Any], writer: tuple[str, str]) -> None:
    shipped = line_of(sent)
    author = shipped_writer(shipped)
    assert (shipped.host or author.host, author.daemon) == writer
    assert (shipped.text, shipped.known) == (LINE.encode(), True)


WRITTEN = {"level": "WARN", "message": "Exception for blk_7_1"}
AT_MS = {"timestamp": 1692064960161}
LOGGED = [
    {**WRITTEN, **AT_MS, "sequenceNumber": 0, "loggerName": "a.DataNode", "threadName": "main"},
    {**WRITTEN, **AT_MS, "loggerName": "a.DataNode", "threadName": "main", "message": "Exception for {}",
     "formattedMessage": "Exception for blk_7_1"},
    {"timestamp": "2023-08-15T02:02:40.161Z", "loggerName": "a.DataNode", "threadName": "main", **WRITTEN,
     "loggerClassName": "x", "hostName": "dn9"},
    {"version": "1.1", "host": "dn9", "short_message": "Exception for blk_7_1", "timestamp": 1692064960.161, "level": 4,
     "_logger": "a.DataNode", "_thread": "main", "full_message": "Exception for blk_7_1"},
    {"timestamp": {"seconds": 1692064960, "nanos": 161000000}, "severity": "WARN", "message": "Exception for blk_7_1",
     "logger": "a.DataNode", "thread": "main"},
    {"time": "2023-08-15 02:02:40,161", "class": "a.DataNode", "thread": "main", **WRITTEN, "path": DATANODE},
    {"@timestamp": "2023-08-15T02:02:40.161Z", "category": "a.DataNode", "thread": "main", **WRITTEN},
    {"ts": 1692064960.161, "level": "warn", "logger": "a.DataNode", "thread": "main", "msg": "Exception for blk_7_1"},
    {"@timestamp": "2023-08-15T02:02:41Z", "timestamp": 1692064960161, "priority": "WARN", "logger_name": "a.DataNode",
     "thread": "main", "message": "Exception for blk_7_1", "path": "a.DataNode", "class": "?"},
    {"@timestamp": "2023-08-15T02:02:40.161Z", "log": {"level": "WARN", "logger": "a.DataNode",
     "file": {"path": DATANODE}}, "process": {"thread": {"name": "main"}}, "message": "Exception for blk_7_1"},
]  # fmt: skip


@pytest.mark.parametrize("event", LOGGED)
def test_json_of_loggers_has_time_level_logger_thread_and_message(event: dict[str, Any]) -> None:
    batches = split_records([json.dumps(event).encode()], log_format())
    (row,) = [row for batch in batches for row in batch.to_pylist()]
    assert (row["level"], row["logger"], row["thread"]) == ("WARN", "a.DataNode", "main")
    assert (row["message"], row["more"]) == ("Exception for blk_7_1", "")
    assert row["time"].timestamp() == 1692064960.161


def test_a_whole_line_counts_more_than_the_fields_that_were_found_in_it() -> None:
    sent = {"message": LINE, "loglevel": "WARN", "class": "a.DataNode", "timestamp": "2023-08-15 02:02:40,161"}
    assert line_of(sent).text == LINE.encode()


PREFIXED = [
    (f"<133>1 2023-08-15T02:02:42.1Z dn9 hadoop-datanode 12 - - \ufeff{LINE}", ("dn9", "datanode", True)),
    (f"2023-08-15T02:02:42.123456+02:00 dn9 hadoop-datanode {LINE}", ("dn9", "datanode", False)),
    (f"Aug 15 2023 02:02:42 dn9 hadoop-datanode[12]: {LINE}", ("dn9", "datanode", True)),
    (f"<13>Aug 15 02:02:42.123 dn9 hadoop-datanode[12]: {LINE}", ("dn9", "datanode", True)),
    (f"Tue 2023-08-15 02:02:42 UTC dn9 hadoop-datanode[12]: {LINE}", ("dn9", "datanode", True)),
    (f"1692064962.123456 dn9 hadoop-datanode[12]: {LINE}", ("dn9", "datanode", True)),
    (f"2023-08-15T02:02:42.123456+0000 dn9 java[12]: {LINE}", ("dn9", "java", True)),
    (f"2023-08-15T02:02:42.000Z dn9 {LINE}", ("dn9", "", False)),
    (f"2023-08-15T02:02:42.000Z {{name=dn9}} {LINE}", ("dn9", "", False)),
    (f"2023-08-15T02:02:42.000Z %{{host}} {LINE}", ("", "", False)),
    (f"2023-08-15T02:02:42.1Z stdout {LINE}", ("", "", False)),
    (f"\x1b[36mdatanode-1  | \x1b[0m{LINE}", ("", "datanode", True)),
    (f"\x1b[36mdatanode_1   |\x1b[0m {LINE}", ("", "datanode", True)),
    (f"datanode-1  | 2023-08-15T02:02:42.123456789Z {LINE}", ("", "datanode", True)),
    (f"hdfs_datanode.1.abcdef@node1    | {LINE}", ("node1", "datanode", True)),
    (f"[pod/hdfs-datanode-0/hdfs] 2023-08-15T02:02:42.123456789Z {LINE}", ("", "datanode", True)),
    (f"hdfs-datanode-0 hdfs {LINE}", ("", "datanode", True)),
    (f"\x1b[35mhdfs-datanode-0\x1b[0m \x1b[36mhdfs\x1b[0m {LINE}", ("", "datanode", True)),
]


@pytest.mark.parametrize(("line", "writer"), PREFIXED)
def test_prefixes_are_taken_off_and_say_who_wrote_a_line(line: str, writer: tuple[str, str, bool]) -> None:
    shipped = line_of(line)
    assert shipped.text == LINE.encode()
    assert (shipped.host, shipped_writer(shipped).daemon, shipped.known) == writer
    trace = line.replace(LINE, TRACE)
    records = [(1, [7], TRACE, None), (3, [7], f"{TRACE}\n{TRACE}", None)]
    for size in (1 << 20, 50):
        text = "\n".join([line, trace, line, trace, trace]).encode()
        batches = split_records([text[at : at + size] for at in range(0, len(text), size)], log_format())
        rows = [row for batch in batches for row in batch.to_pylist()]
        assert [(row["position"], row["block_ids"], row["more"], row["fault"]) for row in rows] == records


@pytest.mark.parametrize(("line", "writer"), PREFIXED)
def test_continuation_lines_keep_to_their_record_in_messages(line: str, writer: tuple[str, str, bool]) -> None:
    shipped = ShippedLogs(load_settings(), 1 << 20)
    shipped.assigned(0, 0)
    other = json.dumps({"message": LINE, "path": "/l/x.log", "host": "h"})
    texts = [line, other, line.replace(LINE, TRACE), other, line]
    letters = [letter for at, text in enumerate(texts) for letter in shipped.take(Message(text.encode(), at))]
    shipped._joins._quiet_s = -1
    records, more = shipped.whole()
    sent = [record.value for record in records]
    joined = [f"{LINE}\n{TRACE}", LINE, LINE, LINE] if writer[2] else [LINE] * 4
    assert sent == [text.encode() for text in joined]
    assert [letter.reason for letter in letters + more] == ([] if writer[2] else [CONTINUES])


def test_json_lines_without_a_line_end_are_lines_of_their_own() -> None:
    sent = [{"stream": "stdout", "_p": "F", "log": line, "time": "x"} for line in (LINE, TRACE, NEXT)]
    assert found("\n".join(map(json.dumps, sent))) == [(1, [7], TRACE, None), (3, [8], "", None)]
    sent = [{"stream": "x", "log": {"file": {"path": "/l/a.log"}}, "message": line} for line in (LINE, TRACE, NEXT)]
    assert found("\n".join(map(json.dumps, sent))) == [(1, [7], TRACE, None), (3, [8], "", None)]
    sent = [{"stream": "stdout", "log": line, "time": "x"} for line in (LINE, NEXT, LINE)]
    assert [record[1] for record in found("\n".join(map(json.dumps, sent)))] == [[7], [8], [7]]


def test_json_around_json_and_prefixes_around_json_are_taken_off_in_turn() -> None:
    inner = json.dumps({"log": LINE + "\n", "stream": "stderr", "time": "2025-06-01T19:30:54Z"})
    assert line_of({"message": inner, "file": "/l/x.log", "host": "dn1"})[:3] == (LINE.encode(), "dn1", "/l/x.log")
    assert line_of(f"2025-06-01T19:30:54.1Z stdout F {inner}").text == LINE.encode()
    assert line_of(json.dumps(LINE)).text == LINE.encode()


def test_lines_of_one_process_belong_together_and_those_of_a_name_alone_do_not() -> None:
    with_pid, without = (line_of(f"Jun  1 19:30:54 dn1 hadoop-datanode{pid}: {LINE}") for pid in ("[1234]", ""))
    assert (with_pid.known, without.known) == (True, False)
    assert shipped_writer(with_pid).daemon == shipped_writer(without).daemon == "datanode"
    assert not line_of({"source": "stdout", "log": LINE}).known, "stdout is no file"


def test_a_line_in_a_shippers_json_may_have_a_prefix_of_its_own() -> None:
    sent = line_of({"message": f"2025-06-01T19:30:54.1Z stdout F {LINE}", "file": "/l/x.log", "host": "dn1"})
    assert sent[:3] == (LINE.encode(), "dn1", "/l/x.log")
    nested = {"schema": {}, "payload": {"message": LINE, "file": "/l/x.log"}}
    assert line_of(nested)[:3] == (LINE.encode(), "", "/l/x.log")


def test_parts_of_a_line_are_put_together() -> None:
    docker = [
        {"log": LINE[:30], "stream": "x"},
        {"log": LINE[30:] + "\n", "stream": "x"},
        {"log": NEXT + "\n", "stream": "x"},
    ]
    assert found("\n".join(map(json.dumps, docker))) == [(1, [7], "", None), (3, [8], "", None)]
    cri = [
        f"2025-06-01T19:30:54.1Z stdout {flag} {part}"
        for flag, part in (("P", LINE[:30]), ("F", LINE[30:]), ("F", NEXT))
    ]
    assert found("\n".join(cri)) == [(1, [7], "", None), (3, [8], "", None)]


def test_lines_of_several_containers_keep_to_their_own_records() -> None:
    said = (("dn", LINE), ("nn", NEXT), ("dn", TRACE), ("nn", NEXT), ("nn", "  more"), ("dn", TRACE))
    records = found("\n".join(f"{name}-1  | {line}" for name, line in said))
    assert sorted(records) == [
        (1, [7], f"{TRACE}\n{TRACE}", None),
        (2, [8], "", None),
        (4, [8], "  more", None),
    ]


def test_lines_whose_record_lies_in_an_earlier_file_join_no_other_container() -> None:
    said = (("nn", "\tat x blk_5_1"), ("dn", LINE), ("zk", "\tat x blk_6_1"), ("dn", TRACE), ("nn", NEXT))
    records = found("\n".join(f"{name}-1  | {line}" for name, line in said))
    assert sorted(records) == [
        (1, [5], "", NO_STAMP),
        (2, [7], TRACE, None),
        (3, [6], "", NO_STAMP),
        (5, [8], "", None),
    ]


def test_a_few_wrapped_lines_in_a_plain_file_are_taken_off() -> None:
    lines = [LINE, TRACE, NEXT, f"2025-06-01T19:30:54.1Z stdout F {LINE}", NEXT, TRACE]
    tally = Tally()
    assert found("\n".join(lines), tally=tally) == [
        (1, [7], TRACE, None), (3, [8], "", None), (4, [7], "", None), (5, [8], TRACE, None),
    ]  # fmt: skip
    assert tally.wrapped == {"cri": 1}


def test_log4j2s_csv_is_read() -> None:
    line = '23456,1692064960161,WARN,1,main,5,"Receiving ""x"", blk_7",org.apache.Logger,a.DataNode,,,,{},[]'
    form = log_format()
    (row,) = [row for batch in split_records([line.encode()], form) for row in batch.to_pylist()]
    assert (row["level"], row["thread"], row["logger"], row["message"]) == (
        "WARN",
        "main",
        "a.DataNode",
        'Receiving "x", blk_7',
    )


def test_an_exception_in_json_becomes_continuation_lines() -> None:
    for stack in (f"java.io.IOException: x\n{TRACE}", ["java.io.IOException: x", TRACE]):
        event = {
            "level": "WARN",
            "logger": "a",
            "timestamp": "2023-08-15T02:02:40Z",
            "message": "blk_7",
            "stack_trace": stack,
        }
        assert found(json.dumps(event)) == [(1, [7], f"java.io.IOException: x\n{TRACE}", None)]


def test_an_unknown_shippers_fields_are_a_setting() -> None:
    sent = {"a": {"text": LINE}, "from": "dn1", "what": "/l/x.log"}
    with pytest.raises(DataError, match=r"JSON of no known shipper: it holds `a`, `from`, `what`.*json_fields"):
        line_of(sent)
    assert line_of(sent, line="a.text", host="from", file="what")[:3] == (LINE.encode(), "dn1", "/l/x.log")
    usual = {"a": {"text": LINE}, "host": "dn1", "path": "/l/x.log", "fields": {"type": "hdfs"}}
    assert line_of(usual, line="a.text")[:3] == (LINE.encode(), "dn1", "/l/x.log"), "other parts are found as usual"
    with pytest.raises(DataError, match=r"it holds `a`, `host`, `path`, `fields`; say"):
        line_of(usual)
    event = {"ts": 1692064960161, "sev": "WARN", "txt": "blk_7", "cls": "a.B"}
    assert line_of(event, time="ts", level="sev", message="txt", logger="cls").text == (
        b"2023-08-15T02:02:40.161000Z WARN a.B: blk_7"
    )


@pytest.mark.parametrize("time", ["1e400", "NaN", "Infinity", "-1e30", "9" * 400, '"x"', "{}", "[]"])
def test_a_time_that_cannot_be_makes_a_dead_letter(time: str) -> None:
    value = f'{{"level": "WARN", "logger": "a", "timestamp": {time}, "message": "blk_7"}}'.encode()
    records, bad, _ = read_messages([value], 1 << 20, log_format())
    assert ([index for index, _ in bad], len(records.message)) == ([0], 0)


@pytest.mark.parametrize(
    "line",
    ["a" + " " * 1_000_000, "<14>1 " + "a " * 500_000, "<14>1 a b c d e " + "[x" * 300_000,
     "1,1692064960161,WARN,1," + '"' * 600_000,
     f"{NEXT}\n" + "[[[ ] [ ]] INFO [ x\n" * 100_000, f"{NEXT}\n" + '{"a": 1}\n' * 50_000,
     f"{NEXT}\n" + "foo bar 20 baz\n" * 100_000, f"{NEXT}\n" + "Caused by\n" * 200_000,
     "Jun  1 19:30:54 " + "a" * 1_000_000, "[pod/" + "x" * 1_000_000, "a" * 1_000_000 + " |"],
)  # fmt: skip
def test_no_line_takes_long(line: str) -> None:
    start = perf_counter()
    found(line + "\n" + line)
    line_of(line)
    assert perf_counter() - start < 5

"""Whatever one NameNode answers, over real HTTP: it is told of that one, and the others are collected on time."""

import json
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from hdfs_pipeline.domains.namenode.series import load_series
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline_tests.domains.namenode.documents import Document, busier, changed, document, without
from hdfs_pipeline_tests.domains.namenode.test_collect import collecting, namenode
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.sources.servers import Respond, reply

ACTIVE = document("3.4.2_active")
TIMEOUT_S = 2.0  # enough for the good one on a busy machine
LATER = busier(ACTIVE)


def text(changes: str, base: Document = LATER) -> Respond:
    """The document as JSON that Python would not write: `"@"` stands where `changes` goes."""
    return reply(body=json.dumps(base).replace('"@"', changes).encode("utf-8", "surrogatepass"))


def with_bean(name: str, **attributes: Any) -> Document:
    return {"beans": [*LATER["beans"], {"name": name, **attributes}]}


def users(said: str) -> Respond:
    top = '{"windows": [{"windowLenMs": 60000, "ops": [{"opType": "*", "topUsers": [%s]}]}]}'
    return reply(body=json.dumps(changed(LATER, FSNamesystemState={"TopUserOpCounts": top % said})).encode())


def raw(*parts: bytes, pause_s: float = 0.0, times: int = 1) -> Respond:
    """Bytes as they are, without what a server would add."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        for _ in range(times):
            for part in parts:
                handler.wfile.write(part)
            if pause_s:
                handler.wfile.flush()
                time.sleep(pause_s)
        handler.close_connection = True

    return respond


def moved(to: str) -> Respond:
    return raw(b"HTTP/1.1 302 Found\r\nLocation: " + to.encode() + b"\r\nContent-Length: 0\r\n\r\n")


OK = b"HTTP/1.1 200 OK\r\n"
BODY = json.dumps(LATER).encode()

REFUSED: dict[str, tuple[Any, str]] = {
    "a number of 5,000 digits": (text("1" * 5000, changed(LATER, RpcActivity={"CallQueueLength": "@"})), "damaged"),
    "100,000 levels": (reply(body=b'{"beans":' + b"[" * 100_000), "far too many levels"),
    "100,000 levels that close": (
        reply(body=b'{"beans":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "far too many levels",
    ),
    "100,000 levels of objects": (reply(body=b'{"beans":' + b'{"a":' * 100_000), "far too many levels"),
    "half a document": (reply(body=BODY[:9000]), "half a document"),
    "bytes of no encoding": (reply(body=b'{"beans": ["\xff\xfe\xfd"]}'), "damaged"),
    "a redirect to a script": (moved("javascript:alert(1)"), "no address"),
    "a redirect to data": (moved("data:text/html,x"), "no address"),
    "a redirect to a file": (moved("file:///etc/passwd"), "another address"),
    "a redirect to another host": (moved("http://elsewhere.example/jmx"), "another address"),
    "a redirect without a scheme": (moved("//elsewhere.example/jmx"), "another address"),
    "a redirect to another port": (moved("http://127.0.0.1:1/jmx"), "another address"),
    "a redirect to a port that is none": (moved("http://nn:99999999999/jmx"), "another address"),
    "a redirect to a port of no digits": (moved("http://nn:\u00b2/jmx"), "no address"),
    "a redirect to half an address": (moved("http://[::1"), "no address"),
    "a redirect to nothing": (moved(""), ""),
    "a redirect to bytes": (raw(b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\r\nContent-Length: 0\r\n\r\n"), ""),
    "a redirect to no host": (moved("http://"), ""),
    "a redirect to a name that is none": (moved("http://xn--\u2603/jmx"), "no address"),
    "a circle": (moved("/jmx"), "a circle"),
    "an endless body": (raw(OK + b"\r\n", b" " * (1 << 16), times=500), "namenode_max_bytes"),
    "an endless head": (raw(OK, b"A: " + b"a" * (1 << 16), times=100), ""),
    "endless heads of no answer": (raw(b"HTTP/1.1 102 Processing\r\n\r\n", times=200_000), ""),
    "a slow drip": (raw(OK + b"\r\n", b" ", pause_s=0.05, times=80), "no answer within"),
    "a slow drip of the head": (raw(b"H", pause_s=0.05, times=80), ""),
    "silence": (raw(pause_s=3.0), "no answer within"),
    "nothing": (raw(), "broke off"),
    "what is no HTTP": (raw(b"SSH-2.0-OpenSSH\r\n"), "no HTTP"),
    "a length below zero": (raw(OK + b"Content-Length: -1\r\n\r\n", BODY), "no HTTP"),
    "a length of no digits": (raw(OK + b"Content-Length: \xb2\r\n\r\n", BODY), "no HTTP"),
    "a length of 5,000 digits": (raw(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", BODY), ""),
    "a length that is too long": (raw(OK + b"Content-Length: 99999999999\r\n\r\n", BODY), "namenode_max_bytes"),
    "broken chunks": (raw(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", BODY), "no HTTP"),
    "a packed answer": (raw(OK + b"Content-Encoding: br\r\n\r\n", BODY), "packed"),
    "a status that is none": (raw(b"HTTP/1.1 999 \x1b[31mred\xff\r\n\r\n"), ""),
    "a challenge of bytes": (raw(b"HTTP/1.1 401 No\r\nWWW-Authenticate: \xff\xfe\r\n\r\n"), "does not let this user"),
    "text beside JSON": (reply(body=BODY + b"<html>"), "damaged"),
    "a list": (reply(body=b"[]"), "without a list of beans"),
    "no beans": ({"beans": {"name": "Hadoop:service=NameNode,name=JvmMetrics"}}, "without a list of beans"),
    "beans that are none": (
        {"beans": [None, 3, "name", [], {"name": 7}, {"name": "a" * 10**6}]},
        "no bean of a NameNode",
    ),
    "a name without end": (
        {"beans": [{"name": "Hadoop:service=NameNode,name=" + "x" * 10**6}]},
        "no bean of a NameNode",
    ),
}
LEFT_OUT: dict[str, Any] = {
    "10^400 in a gauge": text("1" + "0" * 400, changed(LATER, RpcActivity={"CallQueueLength": "@"})),
    "10^400 in a counter": text("1" + "0" * 400, changed(LATER, RpcActivity={"RpcQueueTimeNumOps": "@"})),
    "10^400 of a collector": text(
        "1" + "0" * 400, with_bean("java.lang:type=GarbageCollector,name=ZGC Pauses", CollectionTime="@")
    ),
    "10^400 as a start time": text("1" + "0" * 400, changed(LATER, NameNodeInfo={"NNStartedTimeInMillis": "@"})),
    "numbers without end": changed(
        LATER,
        RpcActivity={"CallQueueLength": float("inf"), "RpcQueueTimeNumOps": float("-inf")},
        JvmMetrics={"GcTotalExtraSleepTime": float("nan"), "MemHeapUsedM": 1e300},
    ),
    "1e999": text("1e999", changed(LATER, RpcActivity={"CallQueueLength": "@"})),
    "900 levels in an attribute": text("[" * 900 + "]" * 900, changed(LATER, JvmMetrics={"Deep": "@"})),
    "a port of no digits": changed(LATER, NameNodeStatus={"HostAndPort": "nn:\u00b2"}),
    "a port of other digits": changed(LATER, NameNodeStatus={"HostAndPort": "nn:\u0663"}),
    "a port that is none": changed(without(LATER, "Rpc"), NameNodeStatus={"HostAndPort": "nn:99999999999"}),
    "a port of 6,000 digits": changed(without(LATER, "Rpc"), NameNodeStatus={"HostAndPort": "nn:" + "9" * 6000}),
    "no text as a port": changed(LATER, NameNodeStatus={"HostAndPort": {"nn": [8020]}}),
    "a bean of a port that is none": with_bean("Hadoop:service=NameNode,name=RpcActivityForPort99999999999"),
    "a bean of a port of other digits": with_bean("Hadoop:service=NameNode,name=RpcActivityForPort\u0663"),
    "a bean of a port of 900 digits": with_bean("Hadoop:service=NameNode,name=RpcActivityForPort" + "9" * 900),
    "half a surrogate as a user": users('{"user": "\\ud800", "count": 3}'),
    "a whole and half a surrogate": users('{"user": "\\ud83d\\ude00 \\udc00", "count": 3}'),
    "half a surrogate in bytes": text('"\ud800"', changed(LATER, FSNamesystem={"tag.HAState": "@"})),
    "half a surrogate as a state": changed(LATER, NameNodeStatus={"State": "\ud800"}),
    "half a surrogate as a name": with_bean("Hadoop:service=NameNode,name=\ud800", **{"\udc00": 1}),
    "10^400 calls of a user": users('{"user": "u", "count": 1%s}' % ("0" * 400)),
    "1e999 calls of a user": users('{"user": "u", "count": 1e999}'),
    "NaN calls of a user": users('{"user": "u", "count": NaN}'),
    "a user that is no text": users('{"user": {"a": [1]}, "count": 3}'),
    "a user without end": users('{"user": "%s", "count": 3}' % ("u" * 10**6)),
    "100,000 levels of users": changed(LATER, FSNamesystemState={"TopUserOpCounts": "[" * 100_000}),
    "a window of no length": changed(
        LATER, FSNamesystemState={"TopUserOpCounts": '{"windows": [{"windowLenMs": NaN}, {"windowLenMs": "a"}]}'}
    ),
    "lists as values": changed(LATER, RpcActivity={"CallQueueLength": [1], "RpcQueueTimeNumOps": {"a": 1}}),
    "a start time that is none": changed(LATER, NameNodeInfo={"NNStartedTimeInMillis": [float("nan")]}),
    "every bean twice": {"beans": [*LATER["beans"], *LATER["beans"]]},
    "a name of a million characters": with_bean("Hadoop:service=NameNode,name=" + "x" * 10**6),
    "an attribute of a million digits": with_bean("Hadoop:service=NameNode,name=X", **{"GcCount" + "1" * 10**6: 3}),
    "100,000 levels of DataNodes": changed(LATER, NameNodeInfo={"LiveNodes": '{"a":' * 100_000}),
    "DataNodes that are none": changed(
        LATER, NameNodeInfo={"LiveNodes": '{"a": 1, "b": [], "": {"xferaddr": 7}}', "DeadNodes": '{"c": {"a": NaN}}'}
    ),
    "half a surrogate as a DataNode": changed(
        LATER, NameNodeInfo={"LiveNodes": '{"\\ud800:1": {"xferaddr": "\\ud800:9", "adminState": "\\udc00"}}'}
    ),
    "10^400 as a heartbeat": changed(
        LATER, NameNodeInfo={"LiveNodes": '{"a:1": {"lastContact": 1%s, "volfails": 1e999}}' % ("0" * 400)}
    ),
    "a heartbeat in the future": changed(
        LATER, NameNodeInfo={"LiveNodes": '{"a:1": {"lastContact": -9000000000000000000, "capacity": -1}}'}
    ),
    "half a surrogate as safe mode": changed(LATER, NameNodeInfo={"Safemode": "\ud800" * 9}),
    "journals of no shape": changed(
        LATER, NameNodeInfo={"NameJournalStatus": '[1, {"disabled": true}]', "NameDirStatuses": '{"failed": [3]}'}
    ),
    "reports of no shape": changed(
        LATER, NameNodeStatus={"SlowPeersReport": '[{"SlowNode": []}, 7]', "SlowDisksReport": '[{"SlowDiskID": ":::"}]'}
    ),
    "a clock that is none": changed(LATER, FSNamesystemState={"TopUserOpCounts": '{"timestamp": [1]}'}),
    "UTF-16": reply(body=json.dumps(LATER).encode("utf-16")),
    "a byte order mark": reply(body=b"\xef\xbb\xbf" + BODY),
}


KINDS = [*REFUSED, *LEFT_OUT]
AT_ONCE = 8
"""Rounds that the kinds are spread over, ten or eleven at once: what waits for the limit waits beside the others."""


@pytest.mark.parametrize("kinds", [KINDS[at::AT_ONCE] for at in range(AT_ONCE)], ids=range(AT_ONCE))
def test_one_namenode_never_ends_anothers_collecting(home: Home, kinds: list[str]) -> None:
    said = {kind: REFUSED[kind][1] if kind in REFUSED else None for kind in kinds}
    with ExitStack() as running:
        odd = {kind: running.enter_context(namenode(ACTIVE)) for kind in kinds}
        good, _ = running.enter_context(namenode(ACTIVE))
        addresses = [*(address for address, _ in odd.values()), good]
        with collecting(home, *addresses, namenode_timeout_s=TIMEOUT_S) as collector:
            collector.poll()
            collector.flush()
            for kind, (_, hostile) in odd.items():
                hostile.says = REFUSED[kind][0] if kind in REFUSED else LEFT_OUT[kind]
            for failures in (1, 2):
                begun = time.monotonic()
                *of_odd, of_good = collector.poll()
                assert time.monotonic() - begun < TIMEOUT_S + 2
                collector.flush()
                assert of_good.sample is not None and of_good.health.error == ""
                for (kind, why), polled in zip(said.items(), of_odd, strict=True):
                    assert (polled.sample is None) == (why is not None), (kind, polled.health.error)
                    assert (why or "") in polled.health.error, kind
                    assert polled.health.failures == (failures if why is not None else 0), kind
            for _, hostile in odd.values():
                hostile.says = busier(ACTIVE, 900)
            again = [each.health.error for each in collector.poll()]
            assert again == [""] * len(addresses), "afterwards they are collected again"
        with collecting(home, *addresses) as later:
            assert [each.health.error for each in later.poll()] == again, "and by a new collector"
    # Of an odd one that was refused, two samples of five are missing.
    expected = {odd[kind][0][7:]: 3 if why is not None else 5 for kind, why in said.items()} | {good[7:]: 5}
    for name, samples in expected.items():
        assert len(load_series(home.store, name, users=True)) == samples
    columns = "top_users->>'$.\"*\"[0][0]', epoch(polled_at), role, note, port"
    home.rows(f"SELECT {columns} FROM namenode_metrics")  # readable by everybody
    home.rows("SELECT * FROM namenode_collectors")
    assert not home.rows("SELECT note FROM namenode_collectors WHERE note LIKE '%cannot be read%'")
    assert dict(home.rows("SELECT namenode, count(*) FROM hdfs_state GROUP BY ALL")) == expected
    home.rows("SELECT * FROM anomalies"), home.rows("SELECT * FROM datanode_state")


def test_an_address_that_is_none_is_told_beside_the_others(home: Home) -> None:
    addresses = ("http://nn:\u00b2", "nn:99999999999", "http://hdfs:s3cret@nn:0", "gopher://nn")
    with namenode(ACTIVE) as (good, _), collecting(home, *addresses, good) as collector:
        polled = collector.poll()
        collector.flush()
    assert [each.sample is not None for each in polled] == [True, False, False, False, False]
    told = {each.health.namenode: each.health.error for each in polled[1:]}
    assert list(told) == ["http://nn:\u00b2", "nn:99999999999", "http://***@nn:0", "gopher://nn"]
    assert dict(home.rows("SELECT namenode, error FROM namenode_collectors WHERE role = 'unknown'")) == told
    assert all("write http://host:9870" in error and "s3cret" not in error for error in told.values())
    with pytest.raises(SetupError, match="1 to 65535.*no address"):
        collecting(home, "nn:0", "nn:\u00b2").__enter__()

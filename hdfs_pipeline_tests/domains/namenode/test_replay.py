"""The recording as a NameNode: what it answers, and when."""

import gzip
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from hdfs_pipeline.domains.namenode.replay import SAMPLE, Replay, ReplayServer, answer
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline_tests.domains.namenode.documents import document

BEANS = document("2.7.3_servicerpc")["beans"]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def recording(path: Path, *values: int | None, step_s: float = 10.0) -> Path:
    lines = []
    for number, value in enumerate(values):
        beans = (
            None if value is None else [{"name": "Hadoop:service=NameNode,name=JvmMetrics", "ThreadsBlocked": value}]
        )
        lines.append(json.dumps({"ts": 5000 + number * step_s, "beans": beans}) + "\n")
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return path


def value(replay: Replay) -> int | None:
    beans = replay.beans()
    return None if beans is None else beans[0]["ThreadsBlocked"]


def test_it_plays_at_its_own_pace_and_stands_still_at_the_end(tmp_path: Path) -> None:
    clock = Clock()
    replay = Replay(recording(tmp_path / "a.jsonl.gz", 1, 2, 3), clock=clock)
    seen = []
    for clock.now in (50.0, 59.9, 60.0, 69.9, 70.0, 10_000.0):  # it begins when it is first asked
        seen.append(value(replay))
    assert seen == [1, 1, 2, 2, 3, 3]


def test_speed_and_loop(tmp_path: Path) -> None:
    clock = Clock()
    path = recording(tmp_path / "a.jsonl.gz", 1, 2, None)
    fast, round_and_round = Replay(path, speed=20, clock=clock), Replay(path, loop=True, clock=clock)
    seen = []
    for clock.now in (0.0, 0.4, 0.6, 1.1):
        seen.append((value(fast), value(round_and_round)))
    assert [each[0] for each in seen] == [1, 1, 2, None]
    seen = []
    for clock.now in (25.0, 30.0, 41.0):
        seen.append(value(round_and_round))
    assert seen == [None, 1, 2]


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        (None, len(BEANS)),
        ("*:*", len(BEANS)),
        ("Hadoop:*", len(BEANS)),
        ("Hadoop:service=NameNode,name=JvmMetrics", 1),
        ("Hadoop:name=JvmMetrics,service=NameNode", 1),
        ("Hadoop:name=Rpc*,*", 4),
        ("Hadoop:service=NameNode,name=RpcActivityForPort80??", 2),
        ("Hadoop:name=JvmMetrics", 0),
        ("java.lang:*", 0),
    ],
)
def test_qry_takes_names_and_patterns(pattern: str | None, count: int) -> None:
    status, body = answer(BEANS, "" if pattern is None else f"qry={pattern}")
    assert status == 200 and len(json.loads(body)["beans"]) == count


def test_get_answers_one_attribute_as_hadoop_does() -> None:
    def asked(query: str) -> tuple[int, Any]:
        status, body = answer(BEANS, query)
        return int(status), json.loads(body) if body else None

    status, found = asked("get=Hadoop:name=NameNodeStatus,service=NameNode::State")
    assert status == 200 and found["beans"][0]["State"] == "active" and len(found["beans"][0]) == 3
    status, found = asked("get=Hadoop:service=NameNode,name=NameNodeStatus::Missing")
    assert status == 200 and found["beans"][0]["result"] == "ERROR"
    assert asked("get=Hadoop:service=NameNode,name=Nothing::State") == (200, {"beans": []})
    assert asked("get=State")[0] == 400
    assert asked("qry=nonsense") == (400, None)


def test_over_http(tmp_path: Path) -> None:
    with ReplayServer(Replay(SAMPLE)) as server, httpx.Client(base_url=server.address) as client:
        beans = client.get("/jmx", params={"qry": "Hadoop:*"}).json()["beans"]
        assert {each["name"].partition(":")[0] for each in beans} == {"Hadoop"}
        assert len(client.get("/jmx").json()["beans"]) > len(beans)
        assert client.get("/other").status_code == 404
    with ReplayServer(Replay(recording(tmp_path / "a.jsonl.gz", None, 1))) as server:
        assert httpx.get(f"{server.address}/jmx").status_code == 503


def test_a_bare_nan_stays_one() -> None:
    assert b'"x": NaN' in answer([{"name": "a:b=c", "x": math.nan}], "")[1]


def test_what_cannot_be_served(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no poll"):
        Replay(recording(tmp_path / "a.jsonl.gz"))
    with pytest.raises(DataError, match="speed"):
        Replay(SAMPLE, speed=0)
    with ReplayServer(Replay(SAMPLE)) as server, pytest.raises(SetupError, match="--port"):
        ReplayServer(Replay(SAMPLE), port=int(server.address.rpartition(":")[2]))


def test_the_command_serves_until_it_is_stopped() -> None:
    command = [sys.executable, "-c", "from hdfs_pipeline.cli import main; main()", "namenode", "replay", "--port", "0"]
    with subprocess.Popen([*command, "--speed", "5"], stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        assert httpx.get(f"{address}/jmx", params={"qry": "Hadoop:*"}).json()["beans"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0

"""Known faults against the incidents of a home: which are covered, which server is named, what belongs to none."""

import json
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.verdicts.faults import judge, read_faults
from hdfs_pipeline.verdicts.incidents import publish_incidents
from hdfs_pipeline_tests.homes import BLOCKS, Home
from hdfs_pipeline_tests.verdicts.test_incidents import NODES, START, anomaly, cluster, record

AT = START.timestamp()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A full disk on a DataNode, replicas damaged ten minutes later, and a single failure that nobody caused."""
    home = cluster(tmp_path / "home")
    rows = [anomaly(number, at_s=number) for number in range(6)]
    rows += [anomaly(20 + number, "replica damaged on disk", 600 + number, NODES[number % 2 : 1 + number % 2])
             for number in range(6)]  # fmt: skip
    rows += [anomaly(40, "deletion failed", 3000)]
    record(home, rows)
    publish_incidents(home.store, home.settings, BLOCKS)
    return home


def judged(home: Home, path: Path, *faults: dict[str, Any]) -> dict[str, Any]:
    path.write_text("".join(json.dumps(fault) + "\n" for fault in faults))
    return judge(home.store, home.settings, read_faults(home.store, path)).to_json()


def test_faults_are_covered_in_time_and_the_server_is_named(home: Home, tmp_path: Path) -> None:
    found = judged(
        home,
        tmp_path / "faults.jsonl",
        {"kind": "volume_full", "start": AT - 2, "end": AT + 10, "entity": NODES[0]},
        {"kind": "replica_corrupt", "start": AT + 598, "end": AT + 599, "datanode": None},
        {"kind": "client_died", "start": AT + 1500, "end": AT + 1510},
        {"kind": "volume_full", "start": AT + 1, "end": AT + 10, "entity": NODES[1]},
    )
    assert [(fault["delay_s"], fault["named"]) for fault in found["faults"]] == [
        (pytest.approx(2), True),
        (pytest.approx(-1), False),
        (pytest.approx(2), None),
        (None, None),
    ]
    assert (found["covered"], found["not_covered"], found["servers"], found["servers_named"]) == (
        3, {"client_died": 1}, 2, 1,
    )  # fmt: skip
    assert len(found["unrelated"]) == 1


def test_what_is_no_list_of_faults_is_refused_with_its_line(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    path.write_text('{"kind": "x", "start": 1, "end": 2}\n{"kind": "x"}\n')
    with pytest.raises(DataError, match="line 2"):
        read_faults(home.store, path)
    with pytest.raises(DataError, match="cannot be read"):
        read_faults(home.store, tmp_path / "none")

"""`namenode state`: what is wrong first, then the figures, the DataNodes, and what is not known."""

from pathlib import Path

import pytest

from hdfs_pipeline_tests.cli.test_cli import Run, run
from hdfs_pipeline_tests.domains.namenode.states import state_document
from hdfs_pipeline_tests.domains.namenode.test_collect import namenode

__all__ = ["run"]


def test_two_dead_datanodes_and_what_they_cost(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDFS_PIPELINE_DATANODE_POLL_S", "0")
    home = tmp_path / "home"
    home.mkdir()
    with namenode({"beans": []}) as (address, _):
        assert run("collect", "--once", address, "--home", home).code == 3
    nothing = run("namenode", "state", "--home", home)
    assert nothing.code == 4 and "hdfs-pipeline collect" in nothing.err
    with namenode(state_document("namenode_3.4.2_two_dead")) as (address, _):
        for _ in range(2):
            assert run("collect", "--once", address, "--home", home).code == 0
    told = run("namenode", "state", "--json", "--home", home).json
    assert told["role"] == "active" and told["state"]["missing"]["value"] == 2
    assert [(each["severity"], each["kind"]) for each in told["troubles"]] == [
        ("critical", "missing blocks"),
        ("major", "dead DataNode"),
        ("major", "dead DataNode"),
        ("warning", "under-replicated blocks"),
    ]
    assert all(each["hint"] and each["since"] for each in told["troubles"])
    assert [(each["entity"], each["state"]) for each in told["datanodes"]] == [
        ("127.0.0.1:40876", "dead"),
        ("127.0.0.1:40886", "dead"),
        ("127.0.0.1:40896", "live"),
        ("127.0.0.1:40906", "live"),
    ]
    assert [each["name"] for each in told["absent"]] == ["slow_peers", "slow_disks"]
    assert any("BlockVerificationFailures" in sentence for sentence in told["unseen"])
    shown = run("namenode", "state", "--home", home)
    assert shown.code == 0 and "4 troubles" in shown.out and "What cannot be seen from here" in shown.out
    assert shown.out.index("missing blocks") < shown.out.index("dead DataNode")
    open_now = run("status", "--json", "--home", home).json["open"]
    assert [row["kind"] for row in open_now] == [each["kind"] for each in told["troubles"]], "collect alone tells them"
    wrong = run("namenode", "state", "--namenode", "nn9:9870", "--home", home)
    assert wrong.code == 4 and "no state of nn9:9870" in wrong.err

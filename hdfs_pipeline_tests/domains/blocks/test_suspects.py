"""Suspects: real records of Hadoop 3.4 blame the DataNode that failed, which is seldom the one that tells of it."""

from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.catalogue import SHIPPED, catalogues
from hdfs_pipeline.domains.blocks.knowledge import knowledge_of
from hdfs_pipeline.domains.blocks.suspects import ROLES, suspects, usual
from hdfs_pipeline.domains.contract import ENTITY
from hdfs_pipeline_tests.homes import BLOCKS, Home, fill, open_home

A, B, C = "10.0.0.1:9866", "10.0.0.2:9866", "10.0.0.3:9866"
BP = "BP-1-10.0.0.9-1795271860490"
ALLOCATE = f"BLOCK* allocate blk_{{0}}_1, replicas={A}, {B}, {C} for /user/etl/t{{0}}/part-0"
KEPT = f"updatePipeline(blk_{{0}}_1, newGS=7, newLength=0, newNodes=[{A}, {C}], client=DFSClient_NONMAPREDUCE_-1_22)"
TO_MIRROR = (
    "DataNode{{data=FSDataset{{dirpath='[/data/1]'}}, localName='10.0.0.1:9866', xmitsInProgress=0}}:Exception "
    f"transferring block {BP}:blk_{{0}}_1 to mirror {B}"
)
TIMED_OUT = (
    f"opWriteBlock {BP}:blk_{{0}}_1 received exception java.net.SocketTimeoutException: 3000 millis timeout while "
    "waiting for channel to be ready for read. ch : "
    f"java.nio.channels.SocketChannel[connected local=/10.0.0.1:5 remote=/{B}]"
)
NO_COPY = (
    f"DatanodeRegistration({A}, datanodeUuid=87ac, infoPort=9864):Failed to transfer {BP}:blk_{{0}}_1 to {B} got "
    "java.net.ConnectException: Connection refused"
)
NO_SPACE = f"opWriteBlock {BP}:blk_{{0}}_1 received exception java.io.IOException: No space left on device"
BAD = f"*DIR* reportBadBlocks for block: {BP}:blk_{{0}}_1 on datanode: {B}"
SCANNED = f"Reporting bad {BP}:blk_{{0}}_1 on /data/7"
HEAD = "2026-11-21 14:00:{:02},000 {} {}: {}\n"


def received(block: int, node: str) -> str:
    return f"Receiving {BP}:blk_{block}_1 src: /10.0.0.77:5000 dest: /{node}"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return recorded(tmp_path, "10.0.0.{}")


def recorded(folder: Path, address: str) -> Home:
    """Nine blocks, each with one thing that a record tells; DataNodes A, B and C, and a NameNode.

    `address` is how the DataNodes' addresses are written, with a place for their number.
    """
    told: dict[str, list[str]] = {"namenode-nn": [], "datanode-dn1": [], "datanode-dn2": [], "datanode-dn3": []}
    for block in range(1, 11):
        told["namenode-nn"].append(HEAD.format(0, "INFO", "o.StateChange", ALLOCATE.format(block)))
        for daemon, node in (("datanode-dn1", A), ("datanode-dn2", B), ("datanode-dn3", C)):
            if (block, node) != (6, B):
                told[daemon].append(HEAD.format(1, "INFO", "o.DataNode", received(block, node)))
    for daemon, at, block, message in (
        ("datanode-dn1", 5, 1, TO_MIRROR),
        ("datanode-dn1", 6, 2, TIMED_OUT),
        ("namenode-nn", 7, 3, KEPT),
        ("datanode-dn1", 8, 4, NO_COPY),
        ("datanode-dn2", 9, 5, NO_SPACE),
        ("namenode-nn", 10, 7, BAD),
        ("datanode-dn3", 11, 8, SCANNED),
        ("datanode-dn3", 30, 8, SCANNED),
    ):
        told[daemon].append(HEAD.format(at, "WARN", "o.DataNode", message.format(block)))
    for name, lines in told.items():
        text = "".join(lines)
        for number, node in enumerate((A, B, C), start=1):
            text = text.replace(node, f"{address.format(number)}:9866")
        (folder / f"hadoop-hdfs-{name}.log").write_text(text)
    home = open_home(folder / "home", catalogue="hdfs_3.v1")
    fill(home, [folder])
    return home


def of(home: Home, **rules: str) -> dict[int, dict[str, Any]]:
    """What the records of blocks tell, by the rules that they break: ``b7="checksum"``."""
    catalogue = catalogues(home.settings.catalogues)["hdfs_3.v1"]
    table = suspects(
        home.store,
        catalogue,
        knowledge_of(catalogue, home.settings),
        {int(name[1:]): rule for name, rule in rules.items()},
    )
    return {row["key"]: row for row in table.to_pylist()}


def test_each_role_is_read_from_the_records(home: Home) -> None:
    told = of(
        home, b1="next-datanode", b2="pipeline-timeout", b3="pipeline-rebuilt", b4="copy-failed", b5="disk-full",
        b6="setup-failed", b7="replica-damaged", b8="replica-damaged", b9="checksum",
    )  # fmt: skip
    assert {block: row["blamed"] for block, row in told.items()} == {
        1: [B], 2: [B], 3: [B], 4: [B], 5: [B], 6: [B], 7: [B], 8: [C], 9: [],
    }  # fmt: skip


@pytest.mark.parametrize("address", ["[2001:db8:0:0:0:0:0:{}]", "2001:db8:0:0:0:0:0:{}", "[fe80::{}%eth0]"])
def test_addresses_of_ipv6_name_datanodes_as_well(tmp_path: Path, address: str) -> None:
    home = recorded(tmp_path, address)
    rules = ("next-datanode", "pipeline-timeout", "pipeline-rebuilt", "copy-failed", "disk-full", "setup-failed")
    told = of(home, **{f"b{block}": rule for block, rule in enumerate((*rules, "replica-damaged"), start=1)})
    assert [row["blamed"] for row in told.values()] == [[f"{address.format(2)}:9866"]] * 7
    assert home.rows("SELECT node FROM sources WHERE daemon = 'datanode' ORDER BY host") == [
        (f"{address.format(number)}:9866",) for number in (1, 2, 3)
    ]


def test_when_and_what_else_and_one_of_the_records(home: Home) -> None:
    row = of(home, b8="replica-damaged")[8]
    assert [row[name].strftime("%H:%M:%S") for name in ("told_from", "told_to")] == ["14:00:11", "14:00:30"]
    assert dict(row["traits"]) == {"client": None, "file tree": "/user/etl", "volume": "/data/7"}
    assert row["line"] == f"2026-11-21 14:00:11 {C} WARN DataNode: {SCANNED.format(8)}"
    assert dict(of(home, b3="pipeline-rebuilt")[3]["traits"])["client"] == "DFSClient_NONMAPREDUCE_-1_22"


def test_a_record_is_told_without_the_ids_of_who_writes_it(home: Home) -> None:
    line = of(home, b4="copy-failed")[4]["line"]
    assert "DatanodeRegistration(10.0.0.1:9866, …)" in line and len(line) < 300 and "to 10.0.0.2:9866 got" in line


def test_records_that_nobody_has_matched_yet_tell_as_much(home: Home) -> None:
    """A stream brings them before the events are made."""
    before = of(home, b1="next-datanode", b5="disk-full", b7="replica-damaged")
    with home.store.write() as con:
        con.execute("UPDATE raw_logs SET event_id = NULL")
        con.execute("DELETE FROM event_matrix")
    assert of(home, b1="next-datanode", b5="disk-full", b7="replica-damaged") == before


def test_a_block_that_breaks_no_rule_blames_nobody_and_is_told_of_by_its_last_record(home: Home) -> None:
    (row,) = of(home, b8="").values()
    assert (row["blamed"], row["told_from"].second) == ([], 30)
    assert of(home, b99="disk-full") == {}, "no record names it"


def test_the_log_of_a_datanode_and_its_host_are_that_datanode(home: Home) -> None:
    assert home.rows("SELECT host, node FROM sources WHERE daemon = 'datanode' ORDER BY host") == [
        ("dn1", A), ("dn2", B), ("dn3", C),
    ]  # fmt: skip
    assert home.rows("SELECT alias, entity FROM entities ORDER BY alias") == [("dn1", A), ("dn2", B), ("dn3", C)]
    assert home.rows("SELECT node FROM sources WHERE daemon = 'namenode'") == [(None,)]


def test_the_usual_shares_are_those_of_blocks_without_an_anomaly(home: Home) -> None:
    catalogue = catalogues(home.settings.catalogues)["hdfs_3.v1"]
    shares = usual(home.store, catalogue, knowledge_of(catalogue, home.settings))
    assert shares["file tree"] == {"/user/etl": 1.0}
    assert set(shares[ENTITY]) == {A, B, C} and sum(shares[ENTITY].values()) == pytest.approx(1)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.rules.toml")), ids=lambda path: path.name)
def test_every_rule_asks_for_roles_that_there_are_and_follows_rules_that_there_are(path: Path) -> None:
    from hdfs_pipeline.scoring.knowledge import read_rules

    rules = read_rules(path)
    for rule in rules:
        assert set(rule.where) <= set(ROLES), rule.id
        assert set(rule.follows) <= {other.id for other in rules} - {rule.id}, rule.id


def test_a_home_that_read_nothing_has_no_suspects(tmp_path: Path) -> None:
    empty = open_home(tmp_path / "empty")
    with empty.store.write():
        pass
    assert BLOCKS.suspects(empty.store, empty.settings, {1: ""}) is None
    assert (BLOCKS.usual(empty.store, empty.settings), BLOCKS.kinds(empty.store, empty.settings)) == ({}, {})

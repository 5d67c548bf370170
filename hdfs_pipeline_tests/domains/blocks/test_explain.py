"""What is shown of a block: its HDFS file and pipeline, where it went wrong, and the records that tell of it."""

from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.catalogue import SHIPPED, STAGES, catalogues
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.catalogue import Catalogue, Template, read_catalogue
from hdfs_pipeline.scoring.explain import SEVERITIES
from hdfs_pipeline_tests.homes import BLOCKS, Home, fill

HEAD = "2026-11-21 14:00:{:02},000 INFO x.Y: {}\n"
UNDER_CONSTRUCTION = (
    "{UCState=UNDER_CONSTRUCTION, truncateBlock=null, primaryNodeIndex=-1, replicas=["
    "ReplicaUC[[DISK]DS-7b9f:NORMAL:10.0.0.5:50010|RBW], ReplicaUC[[DISK]DS-8c0a:NORMAL:10.0.0.6:50010|RBW]]}"
)


def read(home: Home, folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    fill(home, [folder])


@pytest.mark.parametrize(
    ("lines", "known"),
    [
        (
            ["081109 203530 27 INFO dfs.FSNamesystem: BLOCK* NameSystem.allocateBlock: /user/a b/_t/part-1. blk_7\n"]
            + [
                f"081109 20353{at} 27 INFO dfs.X: Receiving block blk_7 src: /10.0.0.1:3 dest: /10.0.0.{node}:50010\n"
                for at, node in ((1, 2), (2, 3), (3, 2))
            ],
            {"file": "/user/a b/_t/part-1", "pipeline": ["10.0.0.2:50010", "10.0.0.3:50010"]},
        ),
        (
            [
                HEAD.format(
                    1, "BLOCK* allocate blk_7_1001, replicas=10.0.0.5:9866, dn-2.example:9866 for /data/in/part-0"
                )
            ],
            {"file": "/data/in/part-0", "pipeline": ["10.0.0.5:9866", "dn-2.example:9866"]},
        ),
        (
            [HEAD.format(1, f"BLOCK* allocate blk_7_1001{UNDER_CONSTRUCTION} for /load/t0/f237")],
            {"file": "/load/t0/f237", "pipeline": ["10.0.0.5:50010", "10.0.0.6:50010"]},
        ),
        (
            [
                HEAD.format(
                    1, f"BLOCK* allocateBlock: /tmp/job_1/job.split. BP-1-10.0.0.9-1 blk_7_1775{UNDER_CONSTRUCTION}"
                )
            ],
            {"file": "/tmp/job_1/job.split", "pipeline": ["10.0.0.5:50010", "10.0.0.6:50010"]},
        ),
        ([HEAD.format(1, "BLOCK* addStoredBlock: 10.0.0.5:9866 is added to blk_7_1001 (size=5)")], {}),
    ],
)
def test_the_file_and_the_pipeline_of_a_block(
    home: Home, tmp_path: Path, lines: list[str], known: dict[str, Any]
) -> None:
    read(home, tmp_path / "logs", "x.log", "".join(lines))
    assert BLOCKS.about(home.store, 7) == known
    assert BLOCKS.about(home.store, 8) == {}


def test_where_the_first_telling_record_stands(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "hadoop-hdfs-datanode-n1.log").write_text(
        HEAD.format(3, "Receiving BP-1:blk_7_1 src: /10.0.0.3:1 dest: /10.0.0.1:9866")
        + HEAD.format(
            9, "opWriteBlock BP-1:blk_7_1 received exception java.io.IOException: Premature EOF from inputStream"
        )
    )
    (folder / "hadoop-hdfs-datanode-n2.log").write_text(
        HEAD.format(2, "Receiving BP-1:blk_7_1 src: /10.0.0.3:1 dest: /10.0.0.2:9866")
        + HEAD.format(8, "Receiving BP-1:blk_8_1 src: /10.0.0.3:1 dest: /10.0.0.2:9866")
    )
    fill(home, [folder])
    found = BLOCKS.places(home.store, {7: ["E62"], 8: ["E62"], 9: []})
    assert {key: (place.host, Path(place.path).name, place.time.second) for key, place in found.items()} == {
        7: ("n1", "hadoop-hdfs-datanode-n1.log", 9),
        8: ("n2", "hadoop-hdfs-datanode-n2.log", 8),
    }
    assert BLOCKS.places(home.store, {7: []})[7].host == "n2", "without any the first record"
    assert BLOCKS.places(home.store, {}) == {}
    lines = BLOCKS.evidence(home.store, home.settings, 7, 10, ["E62"])
    assert [(line["host"], line["telling"]) for line in lines] == [("n2", False), ("n1", False), ("n1", True)]
    (only,) = BLOCKS.evidence(home.store, home.settings, 7, 1, ["E62"])
    assert only["telling"] and "Premature EOF" in only["line"]


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.csv")), ids=lambda path: path.stem)
def test_the_shipped_catalogues_know_every_message(path: Path) -> None:
    """Each has a severity and, unless it is written at several, a stage; what writes and stores a block is routine."""
    catalogue = read_catalogue(path, STAGES)
    assert {template.stage for template in catalogue.templates} - {""} == set(STAGES)
    assert [template.name for template in catalogue.templates if not template.stage] in (
        [],
        ["error handling a client or DataNode request"],
    )
    assert {template.severity for template in catalogue.templates} == set(SEVERITIES)
    for stage in ("allocate", "receive", "received", "store", "delete"):
        assert any(catalogue.at_stage(stage)), stage


def test_a_learned_template_is_judged_by_its_words() -> None:
    known = [Template("E1", "", text) for text in ("DataXceiver error on <*>", "Moved <*> to <*>", "<*> is corrupt")]
    assert [template.gravity for template in known] == ["failure", "routine", "failure"]
    catalogue = Catalogue("c", 1, (Template("E1", "", "x <*> failed", 0, "store", "notable", "why"),))
    assert (catalogue.severity("E1"), catalogue.cause("E1"), catalogue.at_stage("store")) == (
        "notable",
        "why",
        [False, False],
    )
    assert (catalogue.severity("UNKNOWN"), catalogue.cause("UNKNOWN")) == ("notable", "")


def test_a_stage_or_severity_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    for column, word in (("stage", "birth"), ("severity", "bad")):
        (tmp_path / "c.v1.csv").write_text(f"event_id,template,{column}\nE1,text <*>,{word}\n")
        with pytest.raises(DataError, match=rf"line 2: {column} '{word}' is none of \w+, "):
            catalogues(tmp_path)

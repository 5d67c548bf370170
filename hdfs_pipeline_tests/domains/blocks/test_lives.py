"""How much of a block's life the logs show: cut recordings, rotated files, logs of some daemons, blocks at rest."""

import gzip
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.domains.blocks.lives import recorded
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.monitoring.drift import measure_drift
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.labels import NORMAL
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline.verdicts.files import score_files
from hdfs_pipeline_tests.homes import BLOCKS, SAMPLE, Excerpt, Home, copy_home, fill, open_home

ALLOCATED = "BLOCK* allocate blk_{}_1, replicas=10.0.0.1:9866, 10.0.0.2:9866 for /a"
RECEIVING = "Receiving BP-1:blk_{}_1 src: /10.0.0.3:1 dest: /10.0.0.1:9866"
FINISHED = "PacketResponder: BP-1:blk_{}_1, type=LAST_IN_PIPELINE terminating"
STORED = "BLOCK* addStoredBlock: 10.0.0.1:9866 is added to blk_{}_1 (size=1)"
SCHEDULED = "Scheduling blk_{}_1 replica FinalizedReplica, blk_{}_1, FINALIZED"
DELETED = "Deleted BP-1 blk_{}_1 URI file:/x"


def record(second: int, text: str, block: int) -> str:
    minutes, seconds = divmod(second, 60)
    return f"2026-11-21 14:{minutes:02}:{seconds:02},000 INFO x.Y: {text.format(block, block)}\n"


def life(block: int, began: int, *, deleted: int | None = None) -> dict[str, list[str]]:
    """Records of a block with one replica, by daemon."""
    namenode = [record(began, ALLOCATED, block), record(began + 2, STORED, block)]
    datanode = [record(began, RECEIVING, block), record(began + 2, FINISHED, block)]
    if deleted is not None:
        datanode += [record(deleted, SCHEDULED, block), record(deleted + 1, DELETED, block)]
    return {"namenode": namenode, "datanode": datanode}


def words(home: Home, folder: Path, files: dict[str, Sequence[str]]) -> dict[int, str]:
    folder.mkdir()
    for name, lines in files.items():
        (folder / name).write_text("".join(sorted(lines)))
    data = fill(home, [folder])
    return dict(zip(data.keys.tolist(), data.unfinished.tolist(), strict=True))


def merged(*lives: dict[str, list[str]]) -> list[str]:
    return [line for life in lives for lines in life.values() for line in lines]


def test_a_life_from_allocation_to_deletion_is_whole(home: Home, tmp_path: Path) -> None:
    lines = merged(life(1, 0, deleted=600), life(2, 5), life(3, 2000, deleted=2100), life(4, 2096))
    assert words(home, tmp_path / "logs", {"x.log": lines}) == {
        1: "",
        2: "deletion to come",
        3: "",
        4: "deletion to come",
    }, "a block that was written to the last record is at rest, however near the end"


def test_a_recording_that_begins_and_ends_in_the_middle(home: Home, tmp_path: Path) -> None:
    lines = merged(
        life(1, 0, deleted=900), life(2, 0), life(3, 0, deleted=3000), life(4, 2999), life(5, 2990, deleted=3000)
    )
    cut = [line for line in lines if record(1, "", 0)[:23] <= line[:23] <= record(3000, "", 0)[:23]]
    assert words(home, tmp_path / "logs", {"x.log": cut}) == {
        1: "beginning missing",
        2: "beginning missing",
        3: "beginning and end missing",
        4: "end missing",
        5: "end missing",
    }


def test_a_write_that_stopped_long_before_the_end_is_not_excused(home: Home, tmp_path: Path) -> None:
    lines = [*merged(life(1, 0), life(2, 2000)), record(100, ALLOCATED, 7), record(100, RECEIVING, 7)]
    assert words(home, tmp_path / "logs", {"x.log": lines})[7] == "deletion to come"


def test_the_time_before_the_end_is_a_setting(tmp_path: Path) -> None:
    lines = [*merged(life(1, 0), life(2, 2000)), record(1900, ALLOCATED, 7), record(1900, RECEIVING, 7)]
    for seconds, word in ((50.0, "deletion to come"), (103.0, "end missing")):
        home = open_home(tmp_path / f"home {seconds}", unfinished_s=seconds)
        assert words(home, tmp_path / f"logs {seconds}", {"x.log": lines})[7] == word


def test_a_daemon_s_rotated_file_that_was_not_given(home: Home, tmp_path: Path) -> None:
    """The DataNode's log begins later than the NameNode's: what was written before it is known in part."""
    early, late = life(1, 100), life(2, 1000)
    files = {
        "hadoop-hdfs-namenode-n0.log": [*early["namenode"], *late["namenode"]],
        "hadoop-hdfs-datanode-n1.log": late["datanode"],
    }
    assert words(home, tmp_path / "logs", files) == {1: "beginning missing", 2: "deletion to come"}


def test_files_that_follow_each_other_are_one_log(home: Home, tmp_path: Path) -> None:
    early, late = life(1, 100), life(2, 1000)
    names = ("hadoop-hdfs-{}.log.1", "hadoop-hdfs-{}.log")
    files = {
        name.format(f"{daemon}-n{at}"): part[daemon]
        for name, part in zip(names, (early, late), strict=True)
        for at, daemon in enumerate(part)
    }
    assert set(words(home, tmp_path / "logs", files).values()) == {"deletion to come"}


def test_a_datanode_that_was_started_later_lacks_nothing(home: Home, tmp_path: Path) -> None:
    early, late = life(1, 100), life(2, 1000)
    files = {
        "hadoop-hdfs-namenode-n0.log": [*early["namenode"], *late["namenode"]],
        "hadoop-hdfs-datanode-n1.log": [*early["datanode"], *late["datanode"]],
        "hadoop-hdfs-datanode-n2.log": [record(900, "STARTUP_MSG: ", 0), record(1001, RECEIVING, 2)],
    }
    assert words(home, tmp_path / "logs", files)[1] == "deletion to come"
    with home.store.read() as con:
        begin, end = recorded(con)
    assert end - begin == 902_000_000


def test_logs_of_datanodes_alone(home: Home, tmp_path: Path) -> None:
    """Nothing is allocated there: a block begins with the first replica that is received."""
    lines = [*life(1, 500)["datanode"], record(0, DELETED, 2), record(900, SCHEDULED, 3), *life(4, 1500)["datanode"]]
    assert words(home, tmp_path / "logs", {"hadoop-hdfs-datanode-n1.log": lines}) == {
        1: "deletion to come",
        2: "beginning missing",
        3: "beginning missing",
        4: "deletion to come",
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Dataset]:
    """The shipped HDFS_v1 blocks, which are whole."""
    home = open_home(tmp_path_factory.mktemp("sample"))
    return home, fill(home, [SAMPLE / "HDFS.log.gz"], SAMPLE / "labels.csv")


def test_the_shipped_samples_lack_no_beginning(sample: tuple[Home, Dataset]) -> None:
    assert Counter(sample[1].unfinished) == {"": 4670, "deletion to come": 1136}


@pytest.mark.parametrize("detector", ["random_forest", "exact_match", "combinations"])
def test_a_recording_cut_in_two_raises_hardly_more_false_alarms(
    sample: tuple[Home, Dataset], tmp_path: Path, detector: str
) -> None:
    """A model of every other block, on the others in each half of the recording: once up to 20 % were flagged."""
    _, data = sample
    learned = np.arange(len(data)) % 2 == 0
    scorer = fit(data.take(learned), BLOCKS, detector, open_home(tmp_path).settings)
    lines = gzip.decompress((SAMPLE / "HDFS.log.gz").read_bytes()).splitlines(keepends=True)
    for name, half in (("first", lines[: len(lines) // 2]), ("second", lines[len(lines) // 2 :])):
        (tmp_path / f"{name}.log").write_bytes(b"".join(half))
        part = fill(open_home(tmp_path / name), [tmp_path / f"{name}.log"], SAMPLE / "labels.csv")
        part = part.take((part.labels == NORMAL) & np.isin(part.keys, data.keys[~learned]))
        flagged = scorer.score(part.main) >= scorer.card.threshold
        assert flagged.mean() < 0.015, (name, int(flagged.sum()), len(part))


def test_failures_count_in_a_cut_recording(trained: Home, tmp_path: Path) -> None:
    home = copy_home(trained, tmp_path / "home")
    fails = (
        "081109 203615 148 INFO dfs.DataNode$DataXceiver: writeBlock blk_{} received exception java.io.IOException\n"
    )
    stores = "081109 203615 29 INFO dfs.FSNamesystem: BLOCK* NameSystem.addStoredBlock: blockMap updated: "
    stores += "10.251.73.220:50010 is added to blk_{} size 67108864\n"
    (tmp_path / "x.log").write_text(stores.format(1) + fails.format(2) + stores.format(2))
    found = {
        row["block_id"]: row
        for row in score_files(home.settings, BLOCKS, [str(tmp_path / "x.log")], "exact_match").verdicts
    }
    assert {row["unfinished"] for row in found.values()} == {"beginning missing"}
    assert not found["blk_1"]["is_anomaly"]
    assert found["blk_2"]["is_anomaly"]
    assert "; 1 × writeBlock received an exception" in found["blk_2"]["reason"]


def test_nothing_is_learned_from_what_was_cut(trained: Home, excerpt: Excerpt, tmp_path: Path) -> None:
    """Not in training, not in drift, and a sensor does not wait for it."""
    home = copy_home(trained, tmp_path / "home")
    with home.store.write() as con:
        con.execute("UPDATE event_matrix SET unfinished = 'end missing' WHERE block_id % 4 = 0")
        con.execute("UPDATE event_matrix SET unfinished = 'deletion to come' WHERE block_id % 4 = 1")
    data = BLOCKS.features(home.store, home.settings)
    whole = int((data.keys % 4 != 0).sum())
    assert fit(data, BLOCKS, "exact_match", home.settings).card.items == whole == len(data) - data.cut.sum()
    drift = measure_drift(home.store, home.settings, BLOCKS, "exact_match")
    assert drift.reference + drift.current == whole
    assert BLOCKS.learnable(home.store, "exact_match")[0] == whole
    cut = data.take(data.cut)
    assert fit(cut, BLOCKS, "exact_match", home.settings).card.items == len(cut), "rather these than none"


def test_the_recording_of_hadoop_3_is_marked_at_its_end(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    data = fill(home, [PROJECT / "data" / "sample" / "hdfs_3.4"])
    counts = Counter(data.unfinished)
    assert set(counts) == {"", "end missing", "deletion to come"}
    assert counts["end missing"] / len(data) < 0.02

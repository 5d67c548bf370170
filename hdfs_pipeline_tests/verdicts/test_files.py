"""Scoring of a home and of files: what is published where, what is kept for questions, and what is doubted."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline.verdicts.explain import explain_item
from hdfs_pipeline.verdicts.files import Scored, score_files, score_home, scored_store
from hdfs_pipeline.verdicts.incidents import publish_incidents
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home, fill, open_home

HADOOP_3 = PROJECT / "data" / "sample" / "hdfs_3.4"
PUBLISHED = """SELECT (SELECT bit_xor(hash(s)) FROM (SELECT * EXCLUDE (scored_at) FROM scores) s),
    (SELECT bit_xor(hash(a)) FROM (SELECT * EXCLUDE (scored_at) FROM anomalies) a), (SELECT count(*) FROM scores)"""


@pytest.fixture
def home(trained: Home, tmp_path: Path) -> Home:
    return copy_home(trained, tmp_path / "home")


def without_paths(scored: Scored) -> list[dict[str, Any]]:
    """Without what depends on the order of files whose records have the same time."""
    return [{name: row[name] for name in row.keys() - {"path", "host"}} for row in scored.verdicts]


def test_a_home_is_scored_as_dagster_does_it(home: Home, trained: Home, tmp_path: Path) -> None:
    other = copy_home(trained, tmp_path / "other")
    score_items(other.store, other.settings, BLOCKS, "random_forest")
    publish_anomalies(other.store, other.settings, BLOCKS, "random_forest")
    publish_incidents(other.store, other.settings, BLOCKS)
    found = score_home(home.store, home.settings, BLOCKS, "random_forest")
    assert home.rows(PUBLISHED) == other.rows(PUBLISHED)
    assert len(found.verdicts) == home.rows("SELECT count(*) FROM scores")[0][0] == 400
    assert not found.foreign and not found.doubts
    flagged = {row["block_id"]: row for row in found.verdicts if row["is_anomaly"]}
    for item, host, path, reason in home.rows("SELECT item, host, path, reason FROM anomalies"):
        assert (host, path, reason) == tuple(flagged[item][name] for name in ("host", "path", "reason"))


def test_the_home_s_own_files_fill_its_tables(home: Home, excerpt: Excerpt, trained: Home) -> None:
    assert home.rows("SELECT count(*) FROM scores") == [(0,)]
    found = score_files(home.settings, BLOCKS, [str(excerpt.log)], "random_forest")
    assert not found.foreign
    assert home.rows("SELECT count(*), count(*) FILTER (is_anomaly) FROM scores") == [
        (400, sum(row["is_anomaly"] for row in found.verdicts))
    ]
    assert scored_store(home.settings) is None


def test_other_files_stay_apart_and_can_be_explained(home: Home, unseen: Excerpt) -> None:
    before = home.rows("SELECT (SELECT count(*) FROM scores), (SELECT count(*) FROM raw_logs)")
    found = score_files(home.settings, BLOCKS, [str(unseen.log)], "random_forest")
    assert found.foreign
    assert home.rows("SELECT (SELECT count(*) FROM scores), (SELECT count(*) FROM raw_logs)") == before
    for row in found.verdicts[:2] + found.verdicts[-2:]:
        for scored in (True, False):
            report = explain_item(home.store, home.settings, BLOCKS, row["block_id"], "random_forest", scored=scored)
            assert (report.item, report.score, report.scored) == (row["block_id"], row["score"], True)
            if row["is_anomaly"]:
                assert report.explanation.reason == row["reason"]
    assert not list(home.settings.home.glob(".apart.*"))


def test_an_id_that_both_have_is_the_home_s_unless_asked_otherwise(
    home: Home, excerpt: Excerpt, tmp_path: Path
) -> None:
    block = next(iter(excerpt.labels))
    lines = [line for line in excerpt.log.read_text().splitlines(keepends=True) if block in line]
    (tmp_path / "again.log").write_text("".join(lines[:2]))
    score_files(home.settings, BLOCKS, [str(tmp_path / "again.log")], "exact_match")
    own = explain_item(home.store, home.settings, BLOCKS, block, "exact_match")
    other = explain_item(home.store, home.settings, BLOCKS, block, "exact_match", scored=True)
    assert (own.records, own.scored, own.also_scored) == (len(lines), False, True)
    assert (other.records, other.scored) == (2, True)
    with pytest.raises(DataError, match="no log that was scored names blk_12345; `hdfs-pipeline score PATH`"):
        explain_item(home.store, home.settings, BLOCKS, "blk_12345", "exact_match", scored=True)


def test_a_row_says_who_found_it_when_and_where(home: Home, unseen: Excerpt, tmp_path: Path) -> None:
    log = tmp_path / "hadoop-hdfs-datanode-node7.log"
    log.write_bytes(unseen.log.read_bytes())
    found = score_files(home.settings, BLOCKS, [str(log)], "random_forest")
    text = unseen.log.read_text().splitlines()
    for row in found.verdicts:
        assert (row["detector"], row["version"], row["host"], row["path"]) == ("random_forest", 1, "node7", str(log))
        assert row["first_time"] <= row["time"]
        stamp = row["time"][2:19].replace("-", "").replace(":", "").replace("T", " ")
        assert any(line.startswith(stamp) and row["block_id"] in line for line in text)
    told = json.loads(json.dumps(found.to_json()))
    assert (told["items"], told["anomalies"]) == (60, sum(row["is_anomaly"] for row in told["verdicts"]))


def test_where_a_file_tells_no_host_the_datanode_of_the_record_stands_for_it(home: Home, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text(
        "081109 203615 148 INFO dfs.DataNode: Receiving block blk_5 src: /10.0.0.8:1 dest: /10.0.0.9:50010\n"
        "081109 203616 148 WARN dfs.DataNode: 10.0.0.7:50010:Exception writing block blk_5 to mirror 10.0.0.6:1\n"
    )
    (row,) = score_files(home.settings, BLOCKS, [str(tmp_path / "x.log")], "exact_match").verdicts
    assert (row["host"], row["time"]) == ("10.0.0.7:50010", "2008-11-09T20:36:16+00:00")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(range(256)) * 30, "not one record could be read"),
        (b"hello\nnothing of blk_5 here\n", "not one record could be read"),
        (b"", "nothing to read in these files"),
        (
            gzip.compress(
                b"081109 203615 148 INFO dfs.DataNode: Receiving block blk_5 src: /1 dest: /2\n" * 99, mtime=0
            )[:40],
            "ends early: it was cut short",
        ),
        (b"081109 203615 148 INFO dfs.DataNode: of nothing\n", "no record names a block"),
    ],
)
def test_files_that_cannot_be_read_are_no_files_without_anomalies(
    home: Home, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / ("x.log.gz" if content[:2] == b"\x1f\x8b" else "x.log")
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        score_files(home.settings, BLOCKS, [str(path)], "keywords")
    assert scored_store(home.settings) is None


def test_part_that_cannot_be_read_is_told_with_its_share(home: Home, unseen: Excerpt, tmp_path: Path) -> None:
    lines = unseen.log.read_bytes().splitlines(keepends=True)
    (tmp_path / "a.log").write_bytes(b"".join([lines[0], b"081399 999999 1 INFO x: blk_1\n", *lines[1:]]))
    (doubt,) = [
        doubt
        for doubt in score_files(home.settings, BLOCKS, [str(tmp_path / "a.log")], "keywords").doubts
        if doubt.kind == "unreadable"
    ]
    assert doubt.share == pytest.approx(1 / (len(lines) + 1))
    assert doubt.text.startswith(f"1 of {len(lines) + 1:,} records")


def test_another_cluster_s_logs_are_doubted(home: Home, tmp_path: Path) -> None:
    text = gzip.decompress((HADOOP_3 / "namenode.log.gz").read_bytes())
    (tmp_path / "nn.log").write_bytes(b"".join(text.splitlines(keepends=True)[:2000]))
    found = score_files(home.settings, BLOCKS, [str(tmp_path / "nn.log")], "random_forest")
    assert {doubt.kind: round(doubt.share) for doubt in found.doubts} == {"alarms": 1, "unknown": 1, "unseen": 1}
    assert all(doubt.share > doubt.limit and f"{doubt.limit:.0%}" in doubt.text for doubt in found.doubts)


def test_two_replicas_instead_of_three_are_other_habits(home: Home, unseen: Excerpt, tmp_path: Path) -> None:
    """The same software on a cluster with another replication: nearly every vector is new."""
    kept: dict[tuple[str, str], int] = {}
    lines = []
    for line in unseen.log.read_text().splitlines(keepends=True):
        names = [block for block in unseen.labels if block in line]
        kind = (names[0], line.split(": ", 1)[1][:22]) if names else ("", line)
        kept[kind] = kept.get(kind, 0) + 1
        if kept[kind] != 3:
            lines.append(line)
    (tmp_path / "two.log").write_text("".join(lines))
    found = score_files(home.settings, BLOCKS, [str(tmp_path / "two.log")], "exact_match")
    assert {"alarms", "unseen"} <= {doubt.kind for doubt in found.doubts}


def test_a_missing_model_is_told_before_anything_is_read(home: Home) -> None:
    with pytest.raises(NotTrainedError, match="train --detector autoencoder"):
        score_files(home.settings, BLOCKS, ["no such.log"], "autoencoder")
    with pytest.raises(DataError, match="no such file"):
        score_files(home.settings, BLOCKS, ["no such.log"], "keywords")


def test_a_home_without_blocks_says_what_to_do(home: Home, tmp_path: Path) -> None:
    empty = open_home(tmp_path / "empty")
    empty.settings.home.mkdir()
    home.settings.models.rename(empty.settings.models)
    with empty.store.write():
        pass
    with pytest.raises(DataError, match="hdfs-pipeline ingest PATH"):
        score_home(empty.store, empty.settings, BLOCKS, "keywords")


def test_scores_stand_with_the_most_anomalous_first(home: Home, unseen: Excerpt) -> None:
    rows = score_files(home.settings, BLOCKS, [str(unseen.log)], "random_forest").verdicts
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    ties = [(-row["score"], int(row["block_id"].removeprefix("blk_"))) for row in rows]
    assert ties == sorted(ties), "blocks of one score by their id"
    lines = unseen.log.read_text().splitlines()
    for row in rows[:3] + rows[-3:]:
        assert row["lines"] == sum(f"{row['block_id']} " in f"{line} ".replace(".", " ") for line in lines)
    for row in rows:
        assert row["is_anomaly"] is (row["score"] >= row["threshold"])
        assert (row["reason"] is not None) is row["is_anomaly"]
    assert {row["is_anomaly"] for row in rows} == {True, False}


def test_many_files_and_packed_ones(home: Home, unseen: Excerpt, tmp_path: Path) -> None:
    """Half of the lines in each of two files, one of them packed: the same blocks as in one."""
    lines = unseen.log.read_bytes().splitlines(keepends=True)
    (tmp_path / "a.log").write_bytes(b"".join(lines[::2]))
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(b"".join(lines[1::2])))
    whole = without_paths(score_files(home.settings, BLOCKS, [str(unseen.log)], "exact_match"))
    assert without_paths(score_files(home.settings, BLOCKS, [str(tmp_path)], "exact_match")) == whole


def test_the_blocks_of_training_score_as_in_the_home(home: Home, excerpt: Excerpt) -> None:
    data = BLOCKS.features(home.store, home.settings)
    known = dict(zip(data.matrix("events").keys.tolist(), data.labels.tolist(), strict=True))
    for row in score_files(home.settings, BLOCKS, [str(excerpt.log)], "exact_match").verdicts:
        if known[int(row["block_id"].removeprefix("blk_"))] == 0:
            assert row["score"] == 0, "a normal block of training is known"


@pytest.fixture
def untaught(excerpt: Excerpt, tmp_path: Path) -> Home:
    """A home that has read logs without labels, and in which nothing was trained."""
    home = open_home(tmp_path / "untaught")
    fill(home, [excerpt.log])
    return home


def test_a_fresh_home_tells_what_went_wrong_where_and_when(untaught: Home) -> None:
    found = score_home(untaught.store, untaught.settings, BLOCKS)
    flagged = [row for row in found.verdicts if row["is_anomaly"]]
    assert (found.detector, found.version) == ("lifecycle", 0)
    assert 30 <= len(flagged) <= 50, "40 of the 400 blocks are anomalies"
    knowledge = BLOCKS.knowledge(untaught.settings, "hdfs_v1.v1")
    assert knowledge is not None
    hints = {(rule.kind, rule.severity): rule.hint for rule in reversed(knowledge.rules)}
    for kind in found.kinds:
        own = [row for row in flagged if row["kind"] == kind["kind"]]
        assert kind["items"] == len(own) > 0
        assert (kind["first_time"], kind["last_time"]) == (
            min(row["time"] for row in own),
            max(row["time"] for row in own),
        )
        hosts = Counter(row["entity"] for row in own)
        assert list(kind["hosts"].values()) == sorted(hosts.values(), reverse=True)
        assert kind["severity"] == "failure"
        assert (kind["kind"], kind["severity"]) in hints and kind["hint"]
    assert sum(kind["items"] for kind in found.kinds) == len(flagged)
    assert [kind["items"] for kind in found.kinds] == sorted((kind["items"] for kind in found.kinds), reverse=True)
    for row in found.verdicts:
        if row["is_anomaly"]:
            assert row["entity"] == row["host"], "a block stands for itself: it happened where a record tells of it"
            assert not row["host"] or re.fullmatch(r"[\d.]+:\d+", row["host"])
        else:
            assert (row["kind"], row["entity"], row["reason"]) == ("", "", None)
    kept = untaught.rows("SELECT item, entity, kind FROM anomalies ORDER BY item")
    assert kept == sorted((row["block_id"], row["entity"], row["kind"]) for row in flagged)


def test_every_voice_is_published_and_no_block_is_counted_twice(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(BLOCKS), "voices", lambda self, settings, serving: (serving, "keywords", "lifecycle"))
    found = score_home(home.store, home.settings, BLOCKS)
    by_detector = dict(home.rows("SELECT detector, count(*) FROM anomalies GROUP BY detector"))
    assert set(by_detector) == {"random_forest", "keywords", "lifecycle"}
    anomalies = sum(row["is_anomaly"] for row in found.verdicts)
    assert found.detector == "random_forest"
    assert (len(found.verdicts), anomalies) == (400, by_detector["random_forest"])
    assert sum(kind["items"] for kind in found.kinds) == anomalies
    own = {row["block_id"] for row in found.verdicts if row["is_anomaly"]}
    for voice in ("keywords", "lifecycle"):
        theirs = {item for (item,) in home.rows("SELECT item FROM anomalies WHERE detector = ?", voice)}
        assert found.others.get(voice, 0) == len(theirs - own)


def test_a_detector_that_is_asked_for_speaks_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(BLOCKS), "voices", lambda self, settings, serving: (serving, "lifecycle"))
    found = score_home(home.store, home.settings, BLOCKS, "keywords")
    assert (found.detector, found.others) == ("keywords", {})
    assert home.rows("SELECT DISTINCT detector FROM anomalies") == [("keywords",)]

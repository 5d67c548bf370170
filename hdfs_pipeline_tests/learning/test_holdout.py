"""Logs that the models have never seen: judged or scored apart from the home, which stays as it was."""

import gzip
from collections import Counter
from pathlib import Path

import pytest

from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.learning.holdout import Holdout, evaluate_files, score_files
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline.store.schema import TABLES
from hdfs_pipeline_tests.homes import BLOCKS, FAST, Excerpt, Home, copy_home, fill, open_home


@pytest.fixture(scope="module")
def home(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A copy, so that the files of the home can be compared while nobody else writes there."""
    return copy_home(trained, tmp_path_factory.mktemp("holdout") / "home")


def contents(home: Home) -> tuple[dict[str, list[tuple[int, int]]], set[Path]]:
    """Row counts and hashes of every table, and the files of the home."""
    tables = {
        name: home.rows(f"SELECT count(*), coalesce(bit_xor(hash({name}::VARCHAR)), 0) FROM {name}") for name in TABLES
    }
    return tables, {path for path in home.settings.home.rglob("*") if path.suffix != ".lock"}


@pytest.fixture(scope="module")
def before(home: Home) -> tuple[dict[str, list[tuple[int, int]]], set[Path]]:
    return contents(home)


@pytest.fixture(scope="module")
def given(unseen: Excerpt, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counter]:
    """Labels with kinds: some blocks ambiguous, some without a label, some that no line names."""
    rows, expected = ["block_id,label,kind"], Counter()
    for number, (block, label) in enumerate(unseen.labels.items()):
        if number % 10 == 3:
            expected["unlabelled"] += 1
            continue
        known = "ambiguous" if number % 10 == 5 else label.lower()
        expected[known] += 1
        rows.append(f"{block},{known},{known} {number % 2}")
    rows += [f"blk_{number},normal,elsewhere" for number in range(1, 8)]
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    path.write_text("\n".join(rows) + "\n")
    return path, expected


@pytest.fixture(scope="module")
def found(home: Home, before: object, unseen: Excerpt, given: tuple[Path, Counter]) -> Holdout:
    return evaluate_files(home.settings, BLOCKS, [str(unseen.log)], given[0], FAST)


def test_the_home_stays_as_it_was(home: Home, before: object, found: Holdout, unseen: Excerpt) -> None:
    assert found.items == 60
    assert score_files(home.settings, BLOCKS, [str(unseen.log)], "exact_match")
    assert contents(home) == before


def test_blocks_are_counted(found: Holdout, given: tuple[Path, Counter], unseen: Excerpt) -> None:
    _, expected = given
    assert (found.items, found.unlabelled, found.ambiguous, found.absent) == (
        60,
        expected["unlabelled"],
        expected["ambiguous"],
        7,
    )
    assert found.read.lines == found.read.records == len(unseen.log.read_bytes().splitlines())
    assert found.read.coverage == 1
    for test in found.tests.values():
        assert test.evaluation.items == expected["normal"] + expected["anomaly"]
        assert test.evaluation.anomalies == expected["anomaly"] == test.labels.sum()


def test_recall_by_kind_adds_up(found: Holdout, given: tuple[Path, Counter]) -> None:
    assert set(found.tests) == set(FAST)
    for test in found.tests.values():
        figures = test.evaluation
        for label, by_kind, hits in (
            ("anomaly", figures.recall_by_kind, "true_positives"),
            ("normal", figures.false_alarm_rate_by_kind, "false_positives"),
        ):
            assert set(by_kind) == {f"{label} 0", f"{label} 1"}
            assert sum(facts["items"] for facts in by_kind.values()) == given[1][label]
            flagged = sum(facts["items"] * facts["flagged"] for facts in by_kind.values())
            assert flagged == pytest.approx(figures.confusion[hits])


def test_the_figures_are_the_models_own(home: Home, found: Holdout, unseen: Excerpt, tmp_path: Path) -> None:
    """What another home with these blocks would find with the same threshold."""
    other = open_home(tmp_path / "other")
    keys = fill(other, [unseen.log]).matrix("events").keys
    scored = {
        row["block_id"]: row["score"] for row in score_files(home.settings, BLOCKS, [str(unseen.log)], "random_forest")
    }
    assert set(scored) == {f"blk_{key}" for key in keys} == set(unseen.labels)
    test = found.tests["random_forest"]
    assert Counter(test.scores.tolist()) <= Counter(scored.values())
    assert test.evaluation.threshold == home.settings.random_forest_threshold
    assert test.evaluation.recall > 0.5, "the forest finds most anomalies of blocks that it has not seen"


def test_scores_stand_with_the_most_anomalous_first(home: Home, unseen: Excerpt) -> None:
    rows = score_files(home.settings, BLOCKS, [str(unseen.log)], "random_forest")
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
    whole = score_files(home.settings, BLOCKS, [str(unseen.log)], "exact_match")
    assert score_files(home.settings, BLOCKS, [str(tmp_path)], "exact_match") == whole


def test_models_of_another_catalogue_stay_honest(home: Home, tmp_path: Path) -> None:
    """Logs of Hadoop 3 through models of HDFS_v1: nothing matches, and the result says so."""
    text = gzip.decompress((PROJECT / "data" / "sample" / "hdfs_3.4" / "namenode.log.gz").read_bytes())
    (tmp_path / "namenode.log").write_bytes(b"".join(text.splitlines(keepends=True)[:3000]))
    labels = PROJECT / "data" / "sample" / "hdfs_3.4" / "labels.csv"
    few = tmp_path / "labels.csv"
    some = [
        row["block_id"]
        for row in score_files(home.settings, BLOCKS, [str(tmp_path / "namenode.log")], "exact_match")[:40]
    ]
    few.write_text(
        "BlockId,Label\n" + "".join(f"{b},{'Anomaly' if at % 2 else 'Normal'}\n" for at, b in enumerate(some))
    )
    assert labels.is_file()
    found = evaluate_files(home.settings, BLOCKS, [str(tmp_path / "namenode.log")], few, ["exact_match", "keywords"])
    assert found.read.source == "hdfs_v1.v1"
    assert found.read.coverage < 0.5
    assert found.tests["exact_match"].evaluation.items == 40
    assert found.tests["exact_match"].evaluation.unseen["items"] == 40


def test_a_missing_model_is_told_before_anything_is_read(home: Home, tmp_path: Path) -> None:
    with pytest.raises(NotTrainedError, match="train --detector autoencoder"):
        evaluate_files(home.settings, BLOCKS, ["no such.log"], tmp_path / "no.csv", ["autoencoder"])
    with pytest.raises(NotTrainedError, match="train --detector autoencoder"):
        score_files(home.settings, BLOCKS, ["no such.log"], "autoencoder")


def test_labels_that_cannot_be_used(home: Home, unseen: Excerpt, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file of labels"):
        evaluate_files(home.settings, BLOCKS, [str(unseen.log)], tmp_path / "no.csv", ["keywords"])
    normal = {block: label for block, label in unseen.labels.items() if label == "Normal"}
    path = unseen.write_labels(tmp_path / "normal.csv", normal)
    with pytest.raises(DataError, match="both kinds"):
        evaluate_files(home.settings, BLOCKS, [str(unseen.log)], path, ["keywords"])


def test_a_failure_leaves_nothing_behind(home: Home, before: object) -> None:
    with pytest.raises(DataError, match="no such file"):
        score_files(home.settings, BLOCKS, ["no such.log"], "keywords")
    assert contents(home) == before


def test_models_of_different_catalogues_cannot_be_judged_together(
    home: Home, unseen: Excerpt, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from hdfs_pipeline.learning import holdout

    def load(settings: object, domain: object, name: str) -> object:
        scorer = holdout_load(settings, domain, name)
        source = "hdfs_3.v1" if name == "exact_match" else scorer.card.source
        return replace(scorer, card=replace(scorer.card, source=source))

    holdout_load = holdout.load_scorer
    monkeypatch.setattr(holdout, "load_scorer", load)
    with pytest.raises(DataError, match=r"hdfs_3\.v1, hdfs_v1\.v1.*train them all again"):
        evaluate_files(home.settings, BLOCKS, [str(unseen.log)], unseen.csv, ["exact_match", "random_forest"])


def test_the_blocks_of_training_score_as_in_the_home(home: Home, excerpt: Excerpt) -> None:
    data = load_dataset(home.store, home.settings)
    known = dict(zip(data.matrix("events").keys.tolist(), data.labels.tolist(), strict=True))
    for row in score_files(home.settings, BLOCKS, [str(excerpt.log)], "exact_match"):
        if known[int(row["block_id"].removeprefix("blk_"))] == 0:
            assert row["score"] == 0, "a normal block of training is known"

"""Logs that the models have never seen: judged or scored apart from the home, which stays as it was."""

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest

from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.learning.holdout import Holdout, evaluate_files
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


def test_the_home_stays_as_it_was(home: Home, before: object, found: Holdout) -> None:
    assert found.items == 60
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
    data = fill(other, [unseen.log])
    keys, scorer = data.keys, load_scorer(home.settings, BLOCKS, "random_forest")
    scored = {f"blk_{key}": score for key, score in zip(keys.tolist(), scorer.score(data.main).tolist(), strict=True)}
    assert set(scored) == set(unseen.labels)
    test = found.tests["random_forest"]
    assert Counter(test.scores.tolist()) <= Counter(scored.values())
    assert test.evaluation.threshold == home.settings.random_forest_threshold
    assert test.evaluation.recall > 0.5, "the forest finds most anomalies of blocks that it has not seen"


def test_what_needs_no_training_is_judged_in_a_fresh_home(unseen: Excerpt, tmp_path: Path) -> None:
    home = open_home(tmp_path / "fresh")
    found = evaluate_files(home.settings, BLOCKS, [str(unseen.log)], unseen.csv, ["lifecycle"])
    assert found.tests["lifecycle"].evaluation.recall > 0.9
    assert found.reach is not None
    assert found.reach.anomalies == 20
    assert found.reach.f1 >= found.tests["lifecycle"].evaluation.f1
    assert found.kinds == {}, "labels of HDFS_v1 have no kinds"


def test_kinds_of_the_labels_are_held_against_those_that_are_named(tmp_path: Path) -> None:
    home = open_home(tmp_path / "fresh")
    sample = PROJECT / "data" / "sample" / "hdfs_3.4"
    found = evaluate_files(home.settings, BLOCKS, [str(sample)], sample / "labels.csv", ["lifecycle"])
    fit, most = found.kinds["lifecycle"], found.reach
    assert most is not None
    assert fit.found == found.tests["lifecycle"].evaluation.confusion["true_positives"]
    assert fit.fits / fit.found >= 0.9
    assert sum(sum(labels.values()) for labels in fit.table.values()) == fit.found
    assert most.hidden_by_kind.keys() == {"block_lost"}
    assert most.f1 - found.tests["lifecycle"].evaluation.f1 < 0.01


def test_models_of_another_catalogue_stay_honest(home: Home, tmp_path: Path) -> None:
    """Logs of Hadoop 3 through models of HDFS_v1: nothing matches, and the result says so."""
    text = gzip.decompress((PROJECT / "data" / "sample" / "hdfs_3.4" / "namenode.log.gz").read_bytes())
    (tmp_path / "namenode.log").write_bytes(b"".join(text.splitlines(keepends=True)[:3000]))
    labels = PROJECT / "data" / "sample" / "hdfs_3.4" / "labels.csv"
    few = tmp_path / "labels.csv"
    some = list(dict.fromkeys(re.findall(r"blk_\d+", (tmp_path / "namenode.log").read_text())))[:40]
    few.write_text(
        "BlockId,Label\n" + "".join(f"{b},{'Anomaly' if at % 2 else 'Normal'}\n" for at, b in enumerate(some))
    )
    assert labels.is_file()
    found = evaluate_files(home.settings, BLOCKS, [str(tmp_path / "namenode.log")], few, ["exact_match", "keywords"])
    assert found.read.source == "hdfs_v1.v1"
    assert found.read.coverage < 0.5
    assert found.tests["exact_match"].evaluation.items == 40
    assert found.tests["exact_match"].evaluation.unseen["items"] == 40
    assert {doubt.kind for doubt in found.doubts["exact_match"]} == {"alarms", "unknown", "unseen"}
    assert "keywords" not in found.doubts or {d.kind for d in found.doubts["keywords"]} <= {"alarms", "unknown"}
    assert found.unfinished == found.items, "no message of the home's catalogue tells of a block's beginning"


def test_what_cannot_be_read_is_not_judged(home: Home, unseen: Excerpt, tmp_path: Path) -> None:
    binary = tmp_path / "binary.log"
    binary.write_bytes(bytes(range(256)) * 30)
    with pytest.raises(DataError, match=r"not one record could be read, .*binary\.log: 1 dead letters"):
        evaluate_files(home.settings, BLOCKS, [str(binary)], unseen.csv, ["keywords"])
    found = evaluate_files(home.settings, BLOCKS, [str(binary), str(unseen.log)], unseen.csv, ["keywords"])
    (doubt,) = found.doubts[""]
    assert doubt.kind == "unreadable"
    assert doubt.text.startswith("1 of 2 files (")
    assert doubt.share == pytest.approx(7680 / (7680 + unseen.log.stat().st_size))


def test_a_missing_model_is_told_before_anything_is_read(home: Home, tmp_path: Path) -> None:
    with pytest.raises(NotTrainedError, match="train --detector autoencoder"):
        evaluate_files(home.settings, BLOCKS, ["no such.log"], tmp_path / "no.csv", ["autoencoder"])


def test_labels_that_cannot_be_used(home: Home, unseen: Excerpt, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file of labels"):
        evaluate_files(home.settings, BLOCKS, [str(unseen.log)], tmp_path / "no.csv", ["keywords"])
    normal = {block: label for block, label in unseen.labels.items() if label == "Normal"}
    path = unseen.write_labels(tmp_path / "normal.csv", normal)
    with pytest.raises(DataError, match="both kinds"):
        evaluate_files(home.settings, BLOCKS, [str(unseen.log)], path, ["keywords"])


def test_a_failure_leaves_nothing_behind(home: Home, before: object, unseen: Excerpt) -> None:
    with pytest.raises(DataError, match="no such file"):
        evaluate_files(home.settings, BLOCKS, ["no such.log"], unseen.csv, ["keywords"])
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

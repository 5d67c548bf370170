"""Comparisons: the figures are those of `judge`, nothing leaks, and what fails is told and not hidden."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.detectors.keywords import Keywords
from hdfs_pipeline.detectors.random_forest import RandomForest
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.experiments.comparison import compare
from hdfs_pipeline.experiments.conclusion import conclude, lead
from hdfs_pipeline.experiments.figures import Comparison, Judged
from hdfs_pipeline.experiments.sides import divide, file_sides, home_sides
from hdfs_pipeline.learning import training
from hdfs_pipeline.learning.training import fit, judge
from hdfs_pipeline.scoring.evaluation import evaluate
from hdfs_pipeline.scoring.labels import ANOMALY
from hdfs_pipeline_tests.experiments.conftest import Compared
from hdfs_pipeline_tests.homes import BLOCKS, FAST, Excerpt, open_home


def by_name(found: Comparison) -> dict[str, Judged]:
    return {entry.detector: entry for entry in found.ranked}


@pytest.mark.parametrize("name", FAST)
def test_the_figures_are_those_of_judge(compared: Compared, name: str) -> None:
    sides, settings = compared.sides, compared.home.settings
    scorer = fit(sides.learn, BLOCKS, name, settings)
    expected, found = judge(scorer, sides.test, settings), by_name(compared.found)[name]
    mine = found.evaluation.to_json()
    other = expected.evaluation.to_json()
    if scorer.card.family == "events":
        assert mine == other, "the vectors seen are the model's own"
    else:
        assert mine | {"unseen": {}} == other
    np.testing.assert_array_equal(found.tested.scores, expected.scores)
    assert found.card.threshold == scorer.card.threshold
    assert found.card.fingerprint == scorer.card.fingerprint


def test_every_detector_has_the_same_unseen_blocks(compared: Compared) -> None:
    counts = {entry.evaluation.unseen["items"] for entry in compared.found.ranked}
    assert len(counts) == 1
    share = compared.found.data["judged"]["repeated"]
    assert counts == {round((1 - share) * len(compared.sides.test))}
    assert 0 < share < 1


def test_kinds_are_left_out_of_the_second_figures_only(compared: Compared) -> None:
    test = compared.sides.test
    count = int((test.kinds == "anomaly <1>").sum())
    assert count
    for entry in compared.found.ranked:
        assert entry.evaluation.anomalies == (test.labels == ANOMALY).sum()
        assert entry.without.anomalies == entry.evaluation.anomalies - count
        kept = entry.evaluation.recall_by_kind
        assert entry.without.recall_by_kind == {kind: kept[kind] for kind in kept if kind != "anomaly <1>"}
        assert entry.without.confusion["false_positives"] == entry.evaluation.confusion["false_positives"]


def test_costs_are_measured(compared: Compared) -> None:
    costs = {entry.detector: entry.cost for entry in compared.found.ranked}
    for cost in costs.values():
        assert cost.train_s > 0 and cost.rows_per_s > 0 and cost.model_bytes > 0
        assert cost.scored_rows >= 20_000
    assert costs["random_forest"].train_s > costs["keywords"].train_s
    assert costs["random_forest"].model_bytes > costs["keywords"].model_bytes


def test_json_tells_all_of_it(compared: Compared) -> None:
    told = json.loads(json.dumps(compared.found.to_json()))
    assert {"split", "seed", "data", "verdict", "warnings", "without", "detectors", "libraries", "machine"} <= set(told)
    assert [each["detector"] for each in told["detectors"]] == list(FAST)
    for each in told["detectors"]:
        assert each["status"] == "judged"
        assert set(each["evaluation"]) >= {"f1", "pr_auc", "roc_auc", "intervals", "unseen", "recall_by_kind"}
        assert each["evaluation"]["intervals"]["f1"][0] <= each["evaluation"]["f1"]
        assert set(each["cost"]) == {"train_s", "rows_per_s", "scored_rows", "model_bytes"}
        assert each["without"]["anomalies"] < each["evaluation"]["anomalies"]
        assert each["kinds"] is None, "rules know none of these kinds"
    most = told["reach"]
    assert most["anomalies"] == told["detectors"][0]["evaluation"]["anomalies"]
    assert most["f1"] >= max(each["evaluation"]["f1"] for each in told["detectors"] if each["detector"] != "keywords")
    assert any(sentence.startswith("Most that can be reached") for sentence in told["verdict"])
    sides = (told["data"]["learned"], told["data"]["judged"])
    assert [side["items"] for side in sides] == [200, 200]
    assert sides[0]["fingerprint"] != sides[1]["fingerprint"]


@pytest.mark.parametrize("split", ["random", "chronological", "online", "unseen"])
def test_a_split_keeps_the_blocks_apart(compared: Compared, split: str) -> None:
    home = compared.home
    sides = home_sides(home.store, home.settings, BLOCKS, FAST, split)
    keys = [set(side.matrix("events").keys.tolist()) for side in (sides.learn, sides.test)]
    assert not keys[0] & keys[1]
    assert sum(map(len, keys)) == 400
    if split == "unseen":
        vectors = [{row.tobytes() for row in side.matrix("events").values} for side in (sides.learn, sides.test)]
        assert not vectors[0] & vectors[1]
        found = compare(sides, BLOCKS, ["exact_match"], home.settings)
        assert found.data["judged"]["repeated"] == 0
        unseen = found.ranked[0].evaluation.unseen
        assert unseen["f1"] == found.ranked[0].evaluation.f1


def test_a_split_without_both_labels_is_told(compared: Compared) -> None:
    data = compared.sides.test
    few = data.take(np.r_[np.flatnonzero(data.labels == ANOMALY)[:1], np.flatnonzero(data.labels == 0)])
    with pytest.raises(DataError, match="the random split leaves no blocks of both labels"):
        divide(few, "random", compared.home.settings)
    with pytest.raises(DataError, match="random, chronological, online, unseen"):
        divide(data, "sideways", compared.home.settings)


def test_a_detector_that_fails_is_a_row(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise DataError("too few blocks: read more logs")

    def break_down(*given: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(RandomForest, "fit", refuse)
    monkeypatch.setattr(Keywords, "score", break_down)
    found = compare(compared.sides, BLOCKS, FAST, compared.home.settings)
    assert [entry.detector for entry in found.ranked] == ["exact_match"]
    assert {entry.detector: entry.reason for entry in found.left_out} == {
        "random_forest": "too few blocks: read more logs",
        "keywords": "failed: ZeroDivisionError: by nought",
    }
    told = {each["detector"]: each for each in found.to_json()["detectors"]}
    assert told["keywords"]["status"] == "not judged"
    assert any("random_forest was not judged: too few blocks" in sentence for sentence in found.warnings)
    with pytest.raises(DataError, match="no detector could be judged: random_forest: too few blocks"):
        compare(compared.sides, BLOCKS, ["random_forest"], compared.home.settings)


def test_a_kind_that_no_block_has_is_told(compared: Compared) -> None:
    with pytest.raises(DataError, match=r"of kind lost; kinds there are: anomaly <0>, anomaly <1>"):
        compare(compared.sides, BLOCKS, ["keywords"], compared.home.settings, without=["lost"])
    kinds = [f"anomaly <{number}>" for number in range(3)]
    with pytest.raises(DataError, match="no blocks of both labels left"):
        compare(compared.sides, BLOCKS, ["keywords"], compared.home.settings, without=kinds)


def test_another_data_set_is_judged_by_what_the_first_one_teaches(
    excerpt: Excerpt, unseen: Excerpt, tmp_path: Path
) -> None:
    """Both read apart from the home, which stays empty."""
    home = open_home(tmp_path / "home")
    sides = file_sides(
        home.settings,
        BLOCKS,
        ["exact_match"],
        "random",
        logs=[str(excerpt.log)],
        labels=excerpt.csv,
        test_logs=[str(unseen.log)],
        test_labels=unseen.csv,
    )
    assert (sides.split, len(sides.learn), len(sides.test)) == ("other", 400, 60)
    assert sides.facts["other"]["catalogue"] == sides.facts["catalogue"]
    assert compare(sides, BLOCKS, ["exact_match"], home.settings).ranked[0].evaluation.anomalies == 20
    assert not list(home.settings.home.rglob("*.duckdb"))


def flagging(flagged: np.ndarray, labels: np.ndarray) -> training.Tested:
    return training.Tested(evaluate(flagged.astype(float), labels, 0.5), flagged.astype(float), labels)


def test_a_lead_is_measured_on_the_same_blocks(compared: Compared) -> None:
    """One missed anomaly more is chance; twenty are not; the difference is that of the two F1."""
    labels = np.repeat([0, 1], [900, 100])
    entry = compared.found.ranked[0]
    perfect = labels == 1
    for missed, beyond in ((1, False), (20, True)):
        worse = perfect.copy()
        worse[-missed:] = False
        first, second = (replace(entry, tested=flagging(flags, labels)) for flags in (perfect, worse))
        by, low, high = lead(first, second, compared.home.settings)
        assert by == pytest.approx(1 - 2 * (100 - missed) / (200 - missed))
        assert low <= by <= high
        assert (low > 0) is beyond
        assert lead(second, first, compared.home.settings)[0] == pytest.approx(-by)


def test_the_verdict_follows_from_the_figures(compared: Compared) -> None:
    found, settings = compared.found, compared.home.settings
    assert found.conclusion[0].startswith(
        f"Best by F1 is {found.ranked[0].detector}: {found.ranked[0].evaluation.f1:.3f}"
    )
    for bar in ("exact_match", "keywords"):
        assert any(f"Against {bar}" in sentence for sentence in found.conclusion)
    assert any("a random split measures memory" in sentence for sentence in found.warnings)
    other = replace(
        found, split="chronological", data=found.data | {"judged": found.data["judged"] | {"repeated": 0.2}}
    )
    assert not any("vector of training" in sentence for sentence in conclude(other, settings)[1])
    blind = found.ranked[-1]
    kinds = {"easy": {"items": 9, "flagged": 1.0}, "hard": {"items": 9, "flagged": 0.0}}
    blind = replace(blind, tested=replace(blind.tested, evaluation=replace(blind.evaluation, recall_by_kind=kinds)))
    (told,) = [each for each in conclude(replace(found, entries=(blind,)), settings)[1] if "--without" in each]
    assert "finds any of the 9 blocks of kind hard" in told


def test_kinds_are_held_against_the_labels_where_rules_know_them(compared: Compared) -> None:
    test = compared.sides.test
    knowledge = BLOCKS.knowledge(compared.home.settings, test.main.source)
    assert knowledge is not None
    fault = "a fault"
    known = replace(knowledge, rules=tuple(replace(rule, faults=(fault,)) for rule in knowledge.rules))
    domain = type("Knowing", (type(BLOCKS),), {"knowledge": lambda *_: known})()
    sides = replace(compared.sides, test=replace(test, kinds=np.where(test.labels == ANOMALY, fault, "normal")))
    found = compare(sides, domain, ["lifecycle", "keywords"], compared.home.settings)
    for entry in found.ranked:
        assert entry.kinds is not None
        assert entry.kinds.found == entry.evaluation.confusion["true_positives"]
        new = sum(sum(labels.values()) for kind, labels in entry.kinds.table.items() if kind.startswith("new here"))
        assert entry.kinds.fits == entry.kinds.found - new, "every kind of a rule fits"
    best = found.ranked[0]
    assert f"Of what {best.detector} finds, {best.kinds}." in found.conclusion

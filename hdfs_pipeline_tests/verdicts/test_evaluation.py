"""Figures that are counted in the store: they are those of the evaluation itself, whatever is told beside them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hdfs_pipeline.errors import NotFoundError, UsageError
from hdfs_pipeline.learning.curves import curve
from hdfs_pipeline.scoring.evaluation import evaluate
from hdfs_pipeline.verdicts import evaluation
from hdfs_pipeline.verdicts.evaluation import POINTS, evaluations_of
from hdfs_pipeline_tests.homes import BLOCKS, Home, open_home

BEGAN = datetime(2026, 11, 20, tzinfo=UTC)
LEVEL = 0.5


def put_scores(home: Home, scores: np.ndarray, detector: str = "random_forest", version: int = 1) -> None:
    """Scores of blocks 1 to n, a second after each other."""
    count = len(scores)
    rows = pa.table(
        {
            "domain": ["blocks"] * count,
            "entity": [""] * count,
            "item": [f"blk_{at + 1}" for at in range(count)],
            "time": [BEGAN + timedelta(seconds=at) for at in range(count)],
            "detector": [detector] * count,
            "version": np.full(count, version, np.int32),
            "score": scores,
            "threshold": np.full(count, LEVEL),
            "is_anomaly": scores >= LEVEL,
            "scored_at": [BEGAN + timedelta(days=version)] * count,
            "unfinished": [""] * count,
        }
    )
    with home.store.write() as con:
        con.register("rows", rows)
        con.execute("INSERT INTO scores BY NAME FROM rows")
        con.unregister("rows")


def put_labels(home: Home, labels: np.ndarray) -> None:
    """A label, 1 for an anomaly, of blocks 1 to n."""
    with home.store.write() as con:
        con.execute(
            """INSERT INTO labels SELECT n, if(label = 1, 'anomaly', 'normal'), ''
            FROM (SELECT unnest(?) AS n, unnest(?) AS label)""",
            [list(range(1, len(labels) + 1)), labels.tolist()],
        )


def say(home: Home, verdict: str, item: str = "", begin: int = 0, end: int = 0) -> None:
    """A person's word on an item, or on the blocks that began in a stretch of time."""
    stretch = None if item else BEGAN + timedelta(seconds=begin), None if item else BEGAN + timedelta(seconds=end)
    with home.store.write() as con:
        con.execute(
            """INSERT INTO feedback BY NAME SELECT 'blocks' AS domain, ? AS item, '' AS entity, ? AS from_at,
            ? AS to_at, ? AS verdict, '' AS note, '' AS given_by, now() AS given_at""",
            [item, *stretch, verdict],
        )


def told(home: Home, detector: str = "random_forest", **asked: float) -> dict[str, Any]:
    (report,) = evaluations_of(home.store, home.settings, BLOCKS, detector, asked)
    return report.to_json()


@pytest.fixture
def drawn(home: Home) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels in the home: more distinct scores than there are tiles."""
    draw = np.random.default_rng(7)
    labels = (draw.random(3000) < 0.1).astype(np.int64)
    scores = np.clip(draw.normal(0.35 + 0.3 * labels, 0.12), 0, 1)
    put_scores(home, scores)
    put_labels(home, labels)
    return scores, labels


def test_figures_are_those_of_the_evaluation(home: Home, drawn: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = drawn
    found, expected = told(home), evaluate(scores, labels, LEVEL).to_json()
    for name in ("items", "anomalies", "precision", "recall", "f1", "false_alarms_per_10k"):
        assert found["figures"][name] == expected[name], name
    for name in ("pr_auc", "roc_auc"):
        assert found["figures"][name] == pytest.approx(expected[name], abs=5e-4), name
    low, high = found["figures"]["intervals"]["f1"]
    assert low < expected["f1"] < high
    assert found["flagged"] == (scores >= LEVEL).sum()
    assert found["known"] == {"anomaly": labels.sum(), "normal": (labels == 0).sum()}


def test_each_point_of_the_curve_is_exact(home: Home, drawn: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = drawn
    points = told(home, random_forest=0.4321)["curve"]
    assert 50 < len(points) <= POINTS
    for point in points:
        exact = evaluate(scores, labels, point["threshold"])
        assert point["flagged"] == (scores >= point["threshold"]).sum()
        for name in ("precision", "recall", "f1", "false_alarms_per_10k"):
            assert point[name] == pytest.approx(getattr(exact, name)), name
    precision, recall, false = curve(scores, labels)
    assert {round(point["false_share"], 9) for point in points} <= set(false.round(9).tolist())
    assert {round(point["recall"], 9) for point in points} <= set(recall.round(9).tolist())
    assert len(precision) == len(set(scores.tolist())) + 1 > POINTS


@pytest.mark.parametrize("level", [-3.0, 0.0, 0.4321, LEVEL, 0.9999, 7.0])
def test_another_threshold_is_exact_too(home: Home, drawn: tuple[np.ndarray, np.ndarray], level: float) -> None:
    scores, labels = drawn
    asked, exact = told(home, random_forest=level)["asked"], evaluate(scores, labels, level)
    assert asked["flagged"] == (scores >= level).sum()
    assert (asked["figures"]["precision"], asked["figures"]["recall"]) == (exact.precision, exact.recall)


def test_a_histogram_holds_each_item_once_and_the_threshold_between_two_bins(
    home: Home, drawn: tuple[np.ndarray, np.ndarray]
) -> None:
    scores, labels = drawn
    found = told(home)["histogram"]
    at = found["edges"].index(LEVEL)
    assert found["scale"] == "linear" and found["edges"] == sorted(found["edges"])
    assert sum(found["anomaly"]) == labels.sum() and sum(found["normal"]) == (labels == 0).sum()
    assert sum(found["anomaly"][at:]) + sum(found["normal"][at:]) == (scores >= LEVEL).sum()


def test_scores_that_reach_far_are_told_on_a_logarithmic_scale(home: Home) -> None:
    scores = np.geomspace(1e-6, 900, 400)
    put_scores(home, scores)
    found = told(home)["histogram"]
    at = found["edges"].index(LEVEL)
    assert found["scale"] == "logarithmic" and found["edges"] == sorted(found["edges"])
    assert sum(found["unknown"][at:]) == (scores >= LEVEL).sum() and sum(found["unknown"]) == 400


@pytest.mark.parametrize("scores", [[0.0], [LEVEL], [0.9, 0.9], [0.0, LEVEL], [-1.0, -1.0, 3.0]])
def test_a_few_scores_have_a_histogram_and_a_curve(home: Home, scores: list[float]) -> None:
    put_scores(home, np.array(scores))
    found = told(home)
    assert sum(found["histogram"]["unknown"]) == len(scores)
    assert found["curve"][-1]["flagged"] == len(scores)


def test_without_labels_there_are_no_figures_but_agreement(home: Home) -> None:
    put_scores(home, np.array([0.9, 0.8, 0.1, 0.2]))
    put_scores(home, np.array([0.9, 0.1, 0.9, 0.1]), "lifecycle", 0)
    for item, verdict in (("blk_1", "real"), ("blk_2", "false"), ("blk_4", "false"), ("blk_3", "expected")):
        say(home, verdict, item)
    found = told(home)
    assert found["figures"] is None and {point["precision"] for point in found["curve"]} == {None}
    assert found["beside"] == {"detector": "lifecycle", "both": 1, "this_alone": 1, "other_alone": 1}
    assert found["words"] == {"real": {"items": 1, "flagged": 1}, "false": {"items": 2, "flagged": 1}}
    assert told(home, "lifecycle")["beside"] is None


def test_words_stand_above_labels(home: Home) -> None:
    put_scores(home, np.array([0.9, 0.8, 0.1, 0.2, 0.7, 0.1]))
    put_labels(home, np.array([1, 1, 0, 0, 0, 0]))
    say(home, "false", "blk_2")
    say(home, "expected", "blk_3")
    say(home, "maintenance", begin=4, end=4)
    found = told(home)
    assert found["known"] == {"anomaly": 1, "normal": 3}, "3 and 5 are left out, and 2 is normal"
    assert found["figures"]["precision"] == 0.5 and found["figures"]["recall"] == 1


def test_the_latest_version_that_scored_is_told(home: Home) -> None:
    put_scores(home, np.array([0.9, 0.1]), version=1)
    put_scores(home, np.array([0.9, 0.8, 0.7]), version=2)
    found = told(home)
    assert (found["version"], found["serving_version"], found["items"]) == (2, None, 3)


def test_what_has_no_scores(home: Home, tmp_path: Path) -> None:
    put_scores(home, np.array([0.9, np.nan, np.inf]))
    assert told(home)["items"] == 1, "what is no number is no score"
    with pytest.raises(NotFoundError, match="has scored no blocks"):
        told(home, "pca")
    with pytest.raises(UsageError, match="reads no features"):
        told(home, "rhythm")
    empty = open_home(tmp_path / "empty")
    assert evaluations_of(empty.store, empty.settings, BLOCKS) == []


def test_points_are_bounded(home: Home, drawn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "POINTS", 5)
    assert len(told(home, random_forest=0.4)["curve"]) <= 5

"""Seasonal: what is usual at each hour of the week, with less history and none."""

from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.detectors.seasonal import LAYOUT, Seasonal
from hdfs_pipeline.errors import DataError, NotTrainedError

COLUMN = {name: at for at, name in enumerate(LAYOUT)}


def rows(hours: int, seed: int = 1, group: int = 5) -> np.ndarray:
    """Windows of some hours: a hundred requests by day, ten at night, answered in 50 ms."""
    rng = np.random.default_rng(seed)
    hour = np.repeat(np.arange(hours) % 168, 60)
    values = np.zeros((len(hour), len(LAYOUT) + 2), np.float32)
    values[:, COLUMN["group"]], values[:, COLUMN["hour_of_week"]] = group, hour
    requests = rng.poisson(np.where((hour % 24 >= 8) & (hour % 24 < 20), 100, 10))
    values[:, COLUMN["requests"]] = values[:, COLUMN["clients"]] = values[:, COLUMN["timed"]] = requests
    values[:, COLUMN["mean_ms"]] = 50 * np.exp(0.05 * rng.standard_normal(len(hour)))
    values[:, COLUMN["p95_ms"]] = 90 * np.exp(0.1 * rng.standard_normal(len(hour)))
    return values


def trained(hours: int) -> Seasonal:
    values = rows(hours)
    return Seasonal().fit(values, None, np.ones(len(values)))


def test_less_than_two_days_teach_nothing() -> None:
    values = rows(3)
    with pytest.raises(DataError, match="needs 2 days of history, and has 3 hours"):
        Seasonal().fit(values, None, np.ones(len(values)))


@pytest.mark.parametrize("hours", [48, 7 * 24])
def test_the_same_hour_of_other_days_is_what_counts(hours: int) -> None:
    detector, further = trained(hours), rows(hours, seed=2)
    assert detector.score(further).max() < 8
    night = further[further[:, COLUMN["hour_of_week"]] % 24 == 3][:1].copy()
    assert detector.score(night)[0] < 4
    night[:, [COLUMN["requests"], COLUMN["clients"], COLUMN["timed"]]] = 400
    assert detector.score(night)[0] > 8, "many for a night"


@pytest.mark.parametrize(("column", "value"), [("error_share", 400.0), ("mean_ms", 900.0), ("p95_ms", 3000.0)])
def test_what_differs_is_named_with_what_was_expected(column: str, value: float) -> None:
    detector = trained(72)
    odd = rows(72, seed=3)[12 * 60 : 12 * 60 + 1]
    odd[0, COLUMN[column]] = value
    assert detector.score(odd)[0] > 8
    expected, shares = detector.explain_steps(odd)
    assert shares[0].argmax() == COLUMN[column]
    usual = {"error_share": 0, "mean_ms": 50, "p95_ms": 90}[column]
    assert expected[0, COLUMN[column]] == pytest.approx(usual, rel=0.1, abs=1)


def test_groups_that_it_does_not_know_are_nothing_odd() -> None:
    odd = rows(1, group=6)
    odd[:, COLUMN["mean_ms"]] = 1e5
    assert trained(48).score(odd).max() == 0


def test_what_is_saved_scores_the_same(tmp_path: Path) -> None:
    detector, values = trained(50), rows(20, seed=4)
    detector.save(tmp_path)
    np.testing.assert_array_equal(Seasonal.load(tmp_path).score(values), detector.score(values))
    with pytest.raises(NotTrainedError):
        Seasonal.load(tmp_path / "nowhere")

"""What is found of faults in simulated days: the limits, on a small setting, and the command's figures."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.bench.detected import Aim, Figure, a_day, mean, share
from hdfs_pipeline.bench.detected_messages import detected_messages
from hdfs_pipeline.bench.detected_minutes import detected_minutes
from hdfs_pipeline.bench.detected_scans import detected_scans
from hdfs_pipeline.bench.detection import bench_detection
from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.settings import load_settings

SETTINGS = load_settings(Path("nowhere"))


def shown(figures: list[Figure]) -> list[Figure]:
    for figure in figures:
        print(
            f"{figure.voice}, {figure.what}: {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}], {figure.cases}"
        )
    return figures


@pytest.mark.slow
def test_faults_of_minutes_are_found_with_few_false_windows() -> None:
    """On a seed that nothing was chosen on; one miss of a kind or two false windows may be chance."""
    figures = shown(list(detected_minutes([21], SETTINGS, rate=8.0, days=3.0, learned=2.25)))
    both = [figure for figure in figures if figure.voice == "both"]
    assert all(figure.value * figure.cases >= figure.cases - 1 for figure in both[:3])
    assert both[-1].cases <= 2


@pytest.mark.slow
def test_scans_are_found_and_little_else_is_flagged() -> None:
    figures = shown(list(detected_scans([10, 11], SETTINGS, rate=2.0)))
    assert [figure.met for figure in figures if figure.voice == "both"] == [True, True]
    (recall,) = (figure for figure in figures if (figure.voice, figure.what) == ("rules", "scans: recall"))
    assert recall.value >= 0.9


@pytest.mark.slow
def test_each_kind_of_message_is_found_with_few_false_alarms() -> None:
    figures = shown(list(detected_messages([11], SETTINGS)))
    assert {figure.met for figure in figures} == {True, None}
    assert all(figure.value >= 0.9 for figure in figures if figure.what.endswith("recall"))
    assert all(figure.value <= 0.1 for figure in figures if "false" in figure.what)


@given(st.integers(1, 1000).flatmap(lambda there: st.tuples(st.integers(0, there), st.just(there))))
def test_an_interval_holds_its_share(counts: tuple[int, int]) -> None:
    figure = share("traffic", "rules", "drop", *counts, Aim(1.0))
    assert 0 <= figure.low <= figure.value + 1e-12 and figure.value - 1e-12 <= figure.high <= 1
    assert figure.met == (counts[0] == counts[1])


def test_intervals_are_those_of_the_books() -> None:
    figure = share("traffic", "rules", "drop", 8, 10)
    assert (figure.low, figure.high) == pytest.approx((0.490, 0.943), abs=0.001)
    rate = a_day("traffic", "rules", "false", 3, 2.0, Aim(1.0, at_most=True))
    assert (rate.value, rate.low, rate.high) == pytest.approx((1.5, 0.309, 4.384), abs=0.001)
    assert rate.met is False
    shares = mean("weblogs", "both", "recall", (0.8, 0.9, 1.0), 30)
    assert (shares.value, shares.low, shares.high) == pytest.approx((0.9, 0.652, 1.0), abs=0.001)


def test_what_cannot_be_measured_is_told() -> None:
    with pytest.raises(UsageError, match="choose from weblogs, traffic, applogs"):
        bench_detection(SETTINGS, ["blocks"])
    with pytest.raises(UsageError, match="no seed"):
        bench_detection(SETTINGS, ["traffic"], [])

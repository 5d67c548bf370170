"""Metrics over any length of time: few points, which keep what stands out, and gaps that stay gaps."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.domains.namenode import timeline
from hdfs_pipeline.domains.namenode.timeline import lines_of, metric_lines, plain, polled, polls_between
from hdfs_pipeline.errors import DataError
from hdfs_pipeline_tests.domains.namenode.watched import NAMENODE, faults, watch
from hdfs_pipeline_tests.homes import Home, open_home

STORM = faults()["listing_storm"]
METRIC = "RpcQueueTimeAvgTime"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = open_home(tmp_path_factory.mktemp("timeline"))
    watch(home)
    return home


def when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_what_was_polled_is_known(seen: Home, tmp_path: Path) -> None:
    (row,) = polled(seen.store)
    assert (row["namenode"], row["polls"], row["gaps"], row["latest_role"]) == (NAMENODE, 95, 0, "active")
    assert row["first"] < row["latest"] and row["first"].tzinfo is UTC
    assert polls_between(seen.store, NAMENODE, None, when(STORM.start)) == 30
    assert polled(open_home(tmp_path / "none").store) == []


def test_few_polls_are_shown_one_by_one(seen: Home) -> None:
    lines = metric_lines(seen.store, [METRIC, "RpcProcessingRate"])
    assert lines.step_s == 0 and lines.polls == len(lines.times) == 95 and (np.diff(lines.times) > 0).all()
    assert lines.low[METRIC] is lines.high[METRIC] and np.nanmax(lines.high[METRIC]) == pytest.approx(11.5, abs=0.1)
    told = lines.to_json()
    assert told["metrics"][METRIC]["unit"] == "ms" and told["times"][0].endswith("+00:00")
    part = metric_lines(seen.store, [METRIC], start=when(STORM.start), end=when(STORM.end))
    assert 5 < part.polls < 9 and part.times[0] >= STORM.start and part.times[-1] < STORM.end


@pytest.mark.parametrize("whole", [0, 5000])
def test_of_many_polls_each_step_keeps_least_and_greatest(
    seen: Home, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = metric_lines(seen.store, [METRIC])
    monkeypatch.setattr(timeline, "_WHOLE", whole)
    lines = metric_lines(seen.store, [METRIC], points=10)
    assert len(lines.times) <= 10 and lines.step_s >= 45 and lines.polls == 95
    assert (lines.low[METRIC] < lines.high[METRIC]).any()
    for side, best in (("low", np.nanmin), ("high", np.nanmax)):
        assert best(getattr(lines, side)[METRIC]) == pytest.approx(best(everything.high[METRIC]))


def test_a_gap_stays_a_gap() -> None:
    times = np.array([0.0, 5.0, 100.0, 105.0]) + 1.7e9
    segment, values = np.array([1, 1, 2, 2]), np.array([[1.0], [2.0], [3.0], [np.nan]])
    shown = lines_of("nn", ["a"], times, segment, values, 10)
    assert plain(shown.high["a"]) == [1.0, 2.0, None, 3.0, None] and (np.diff(shown.times) > 0).all()
    fewer = lines_of("nn", ["a"], times, segment, values, 3)
    assert plain(fewer.low["a"]) == [1.0, None, 3.0] and plain(fewer.high["a"]) == [2.0, None, 3.0]
    none = lines_of("nn", ["a"], times[:0], segment[:0], values[:0], 3)
    assert len(none.times) == len(none.low["a"]) == 0


def test_what_there_is_not_is_told(seen: Home) -> None:
    with pytest.raises(DataError, match="no metric 'RpcQueueTime'; did you mean 'RpcQueueTimeAvgTime'"):
        metric_lines(seen.store, ["RpcQueueTime"])
    with pytest.raises(DataError, match="which NameNode"):
        metric_lines(seen.store, [METRIC], namenode="other:9870")
    assert len(metric_lines(seen.store, [METRIC], end=when(0.0)).times) == 0

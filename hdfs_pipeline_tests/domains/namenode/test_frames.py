"""Samples become steps: what still holds, what is idle, what belongs together, what a window is called."""

from dataclasses import replace

import numpy as np

from hdfs_pipeline.domains.namenode.frames import HOLD_S, frame_of, rate_of, usable
from hdfs_pipeline.domains.namenode.item import window_ids
from hdfs_pipeline.domains.namenode.metrics import COLUMNS
from hdfs_pipeline.scoring.frames import Scale
from hdfs_pipeline_tests.domains.namenode.watched import series

CREATE, RATE, BLOCKED = (COLUMNS.index(name) for name in ("CreateAvgTime", "CreateRate", "ThreadsBlocked"))


def empty(n: int) -> np.ndarray:
    return np.full((n, len(COLUMNS)), np.nan)


def test_a_value_holds_until_its_bean_is_refreshed() -> None:
    values = empty(4)
    values[0, [CREATE, RATE, BLOCKED]] = 2, 5, 1
    values[2, [CREATE, RATE]] = 3, 6
    frame = frame_of(series(values))
    assert frame.values[:, CREATE].tolist() == [2, 2, 3, 3] and frame.values[:, BLOCKED].tolist() == [1] * 4


def test_an_operation_that_is_not_called_is_idle_not_slow() -> None:
    values = empty(3)
    values[0, [CREATE, RATE]] = 2, 5
    values[1, RATE] = 0  # the bean was refreshed, and said that nobody called
    frame = frame_of(series(values))
    assert np.isnan(frame.values[1:, CREATE]).all() and frame.values[1:, RATE].tolist() == [0, 0]


def test_a_value_does_not_hold_for_ever_nor_over_a_restart() -> None:
    values = empty(12)
    values[0, BLOCKED] = 1
    long = frame_of(series(values)).values[:, BLOCKED]
    assert np.isnan(long).tolist() == [at * 5 > HOLD_S for at in range(12)]
    given = series(values)
    given.restarted[2] = True
    frame = frame_of(given)
    assert np.isnan(frame.values[2:, BLOCKED]).all() and len(set(frame.segment)) == 2


def test_a_mean_over_few_calls_says_little() -> None:
    values = empty(2)
    values[0, [CREATE, RATE]] = 9, 0.1
    values[1, [CREATE, RATE]] = 9, 100
    weight = frame_of(series(values)).weight[:, CREATE]
    assert weight[0] < 0.05 and weight[1] > 0.95
    assert rate_of("RpcQueueTimeAvgTime") == "RpcProcessingRate" and rate_of("CallQueueLength") is None


def test_idle_operations_are_not_learned_but_their_first_calls_are_watched() -> None:
    values = np.random.default_rng(0).normal(10, 1, (50, len(COLUMNS)))
    values[:, [CREATE, RATE]] = np.nan
    scale = Scale.of(frame_of(series(values)))
    assert not scale.used[CREATE] and not scale.watched[CREATE]
    assert not scale.used[RATE] and scale.watched[RATE] and scale.middle[RATE] == 0


def test_a_window_is_called_by_its_namenode_and_its_last_moment() -> None:
    given = replace(series(empty(2)), namenode="nn:9870")
    assert frame_of(given).keys.tolist() == ["nn:9870 2023-11-14T22:13:20.000Z", "nn:9870 2023-11-14T22:13:25.000Z"]
    assert window_ids("", np.array([0.0619])).tolist() == ["1970-01-01T00:00:00.061Z"]
    assert len(frame_of(series(empty(0)))) == 0


def test_only_steps_of_one_role_outside_of_spans_are_used() -> None:
    given = series(empty(10))
    given.role[4] = "standby"
    frame = usable(given, [(given.times[7], given.times[8])])
    assert frame.times.tolist() == given.times[[0, 1, 2, 3, 5, 6, 9]].tolist()
    assert len(set(frame.segment.tolist())) == 3
    assert usable(given, role="standby").times.tolist() == [given.times[4]]

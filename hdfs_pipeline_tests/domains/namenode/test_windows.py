"""Samples become steps: what still holds, what is idle, what belongs together, what is usual."""

import numpy as np
import pytest

from hdfs_pipeline.domains.namenode.metrics import COLUMNS
from hdfs_pipeline.domains.namenode.windows import (
    HOLD_S,
    Scale,
    ends,
    frame_of,
    frame_of_matrix,
    moving_average,
    rate_of,
)
from hdfs_pipeline_tests.domains.namenode.watched import noise, series

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


def test_windows_end_where_a_segment_is_long_enough() -> None:
    assert ends(np.array([0] * 4 + [1] * 2 + [2] * 3), 3).tolist() == [2, 3, 8]
    assert len(ends(np.zeros(2), 3)) == 0
    frame = noise(10)
    left = frame.rows(np.array([True] * 4 + [False] * 2 + [True] * 4))
    assert ends(left.segment, 4).tolist() == [3, 7], "a window never reaches over what is left out"


def test_the_moving_average_against_the_plain_one() -> None:
    draw = np.random.default_rng(3)
    values, segment = draw.normal(size=(40, 3)), np.repeat([0, 1, 1, 2], 10)
    values[draw.random(values.shape) < 0.3] = np.nan
    found = moving_average(values, 4, segment)
    for at in range(40):
        rows = [row for row in range(max(0, at - 3), at + 1) if segment[row] == segment[at]]
        for column in range(3):
            known = values[rows, column][~np.isnan(values[rows, column])]
            assert np.isnan(found[at, column]) if not len(known) else found[at, column] == pytest.approx(known.mean())


def test_the_scale_of_metrics_that_hardly_move() -> None:
    values = np.tile(np.array([0.5, 0.5, 0.0]), (100, 1))
    values[:, 1] += np.tile([-0.25, 0.25], 50)
    scale = Scale.of(frame_of_matrix(values))
    assert scale.spread == pytest.approx([0.05, 0.25, 0.05]) and scale.used.all()


def test_idle_operations_are_not_learned_but_their_first_calls_are_watched() -> None:
    values = np.random.default_rng(0).normal(10, 1, (50, len(COLUMNS)))
    values[:, [CREATE, RATE]] = np.nan
    scale = Scale.of(frame_of(series(values)))
    assert not scale.used[CREATE] and not scale.watched[CREATE]
    assert not scale.used[RATE] and scale.watched[RATE] and scale.middle[RATE] == 0

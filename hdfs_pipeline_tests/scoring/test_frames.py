"""Frames: which steps follow each other, where windows end, and what is usual of a column."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.frames import Frame, Scale, ends, frame_of_matrix, longest_segment, moving_average


@pytest.fixture
def frame() -> Frame:
    """Ten steps of three columns."""
    return frame_of_matrix(np.random.default_rng(1).random((10, 3)))


def test_a_detector_is_handed_the_frame_itself(frame: Frame) -> None:
    assert frame.inputs is frame
    matrix = FeatureMatrix(frame.values, frame.keys, frame.columns)
    assert matrix.inputs is frame.values


@pytest.mark.parametrize("chosen", [np.flatnonzero, lambda mask: mask], ids=["indices", "mask"])
def test_what_is_left_out_begins_a_new_segment(frame: Frame, chosen: Callable[[np.ndarray], np.ndarray]) -> None:
    left = frame.take(chosen(np.array([True] * 4 + [False] * 2 + [True] * 4)))
    assert ends(left.segment, 4).tolist() == [3, 7], "a window never reaches over what is left out"
    assert left.keys.tolist() == [0, 1, 2, 3, 6, 7, 8, 9] and left.times.tolist() == (left.keys * 60.0).tolist()
    assert (left.values == frame.values[left.keys]).all() and left.weight.shape == left.values.shape
    assert longest_segment(left.segment) == 4


def test_segments_that_there_were_stay_apart(frame: Frame) -> None:
    apart = replace(frame, segment=np.repeat([3, 7], 5))
    assert len(set(apart.take(np.arange(10)).segment.tolist())) == 2
    assert len(apart.take(np.zeros(10, bool))) == 0


def test_windows_end_where_a_segment_is_long_enough() -> None:
    assert ends(np.array([0] * 4 + [1] * 2 + [2] * 3), 3).tolist() == [2, 3, 8]
    assert len(ends(np.zeros(2), 3)) == 0
    assert longest_segment(np.zeros(0, np.int64)) == 0


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

"""The parts of a verdict's latency."""

import pytest

from hdfs_pipeline.domains.course import PARTS, Course


def test_the_parts_add_up_to_the_latency() -> None:
    course = Course({3: 100.0}, arrived=100.02, gathered=100.03, counted=100.05, closed=100.06, scored=100.1)
    parts = course.parts(3, sent=100.11)
    assert parts == pytest.approx([0.02, 0.01, 0.02, 0.01, 0.04, 0.01])
    assert len(parts) == len(PARTS) - 1, "the last one ends with the acknowledgement"


def test_a_clock_that_is_ahead_makes_no_way_backwards() -> None:
    ahead = Course({3: 200.0}, arrived=100.0, gathered=100.0, counted=100.0, closed=100.0, scored=100.0)
    assert ahead.parts(3, sent=101.0) == [0, 0, 0, 0, 0, 1]


def test_what_the_clock_has_closed_has_no_latency() -> None:
    assert Course({}, arrived=0.0, gathered=0.0).parts(3, sent=1.0) is None

"""Pictures of an evaluation: all lies within them, and the same order as in the figures."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.serving.pages.curves import Histogram, histogram_picture, precision_over_recall, roc
from hdfs_pipeline.verdicts.evaluation import Told, histogram_of

FINITE = st.floats(-1e6, 1e6)


def point(threshold: float, precision: float, recall: float, false_share: float) -> dict[str, float]:
    return {"threshold": threshold, "precision": precision, "recall": recall, "false_share": false_share}


def report(name: str, threshold: float = 0.5) -> dict[str, Any]:
    points = [point(0.9, 1, 0.4, 0), point(0.5, 0.8, 0.8, 0.01), point(0.1, 0.1, 1, 1)]
    return {"detector": name, "threshold": threshold, "curve": points}


@pytest.mark.parametrize("draw", [precision_over_recall, roc])
def test_lines_lie_in_the_picture_and_the_fixed_threshold_on_them(draw: Any) -> None:
    found = draw([report("a"), report("b", 0.3), report("c", 7.0)])
    assert [line.letter for line in found.lines] == ["A", "B", "C"]
    for line in found.lines:
        places = [tuple(map(float, place.split(","))) for place in line.points.split()]
        assert all(found.left <= x <= found.width and found.top <= y <= found.floor for x, y in places)
        assert [x for x, _ in places] == sorted(x for x, _ in places)
        assert line.at in places
        assert line.place[1] in {y for _, y in places}
    assert found.lines[0].at == found.lines[1].at != found.lines[2].at
    assert "recall 0.800" in found.lines[0].label


def test_roc_shows_what_few_false_alarms_change() -> None:
    found = roc([report("a")])
    ticks = {text: x for x, text in found.across}
    assert ticks["0.1%"] - ticks["0"] > 0.05 * found.width
    assert ticks["0"] < ticks["0.1%"] < ticks["1%"] < ticks["10%"] < ticks["100%"]


def picture(scores: list[float], anomalous: list[bool], threshold: float, asked: float | None = None) -> Histogram:
    order = np.argsort(-np.array(scores))
    values, known = np.array(scores)[order], np.array(anomalous)[order].astype(int)
    told = Told(values, values, np.ones(len(scores), int), known, 1 - known, len(scores))
    chosen = None if asked is None else {"threshold": asked}
    found = histogram_picture({"histogram": histogram_of(told, threshold), "threshold": threshold, "asked": chosen})
    assert found is not None
    return found


@given(st.lists(st.tuples(FINITE, st.booleans()), min_size=1, max_size=50), FINITE, st.none() | FINITE)
def test_every_histogram_fits(rows: list[tuple[float, bool]], threshold: float, asked: float | None) -> None:
    found = picture([score for score, _ in rows], [known for _, known in rows], threshold, asked)
    for column in found.columns:
        assert found.left <= column.x <= found.width and column.above <= found.line
        assert found.line + column.below <= found.height
    assert all(found.left <= mark.x <= found.width for mark in found.marks)
    assert len(found.marks) == (1 if asked is None else 2) and 0 < len(found.columns) <= len(rows)
    assert found.has_below == any(known for _, known in rows)


def test_what_is_flagged_stands_right_of_the_threshold() -> None:
    found = picture([0.1, 0.2, 0.5, 0.9], [False, False, True, True], 0.5)
    right = [column for column in found.columns if column.x >= found.marks[0].x]
    assert len(right) == 2 and all(column.below and not column.above for column in right)


def test_nothing_scored_has_no_picture() -> None:
    none = np.zeros(0)
    told = Told(none, none, none, none, none, 0)
    assert histogram_picture({"histogram": histogram_of(told, 0.5), "threshold": 0.5, "asked": None}) is None

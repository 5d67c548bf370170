"""Reasons of detectors on sequences: events that differ, and steps where none does."""

import numpy as np
import pytest

from hdfs_pipeline.scoring.explain import Vocabulary
from hdfs_pipeline.scoring.explain_sequences import explain_sequences
from hdfs_pipeline.scoring.normals import event_counts

VOCABULARY = Vocabulary(lambda event: f"event {event}", "block", "the same events", ("A", "B", "C"))
NORMALS = np.array([[1, 2, 2, 3, 0, 0], [1, 2, 2, 0, 0, 0], [1, 2, 3, 2, 0, 0]], np.float32)


def explained(row: list[int], shares: list[float], normals: np.ndarray = NORMALS) -> tuple[str, dict[str, float]]:
    (found,) = explain_sequences(np.array([row], np.float32), normals, np.array([shares]), VOCABULARY)
    return found.reason, {difference.event_id: round(difference.share, 6) for difference in found.differences}


def test_counts_of_sequences() -> None:
    assert event_counts(NORMALS, 3).tolist() == [[1, 2, 1], [1, 2, 0], [1, 2, 1]]


def test_an_event_has_the_share_of_its_steps() -> None:
    reason, shares = explained([1, 2, 2, 2, 2, 3], [0, 0.1, 0.1, 0.3, 0.4, 0.1])
    assert reason == "4 instead of 2 × event B" and shares == {"B": 0.9}


def test_missing_events_have_the_share_of_the_end() -> None:
    assert explained([1, 0, 0, 0, 0, 0], [0.2, 0.8, 0, 0, 0, 0]) == ("no event B (normally 2)", {"B": 0.8})
    both = explained([1, 0, 0, 0, 0, 0], [0.2, 0.8, 0, 0, 0, 0], NORMALS[:1])
    assert both == ("no event B (normally 2); no event C (normally 1)", {"B": 0.4, "C": 0.4})


def test_the_step_is_named_where_the_counts_are_a_normal_blocks() -> None:
    same = "the same events as a normal block, in"
    assert explained([1, 3, 2, 2, 0, 0], [0, 0.7, 0.1, 0.1, 0.1, 0]) == (
        f"{same} another order: event C as event 2, where event B was expected",
        {"C": 0.7, "B": pytest.approx(0.2), "A": 0.0},
    )
    assert explained([2, 3, 2, 1, 0, 0], [0, 0.2, 0.1, 0.7, 0, 0])[0] == f"{same} another order: event A as event 4"
    assert explained([2, 2, 1, 0, 0, 0], [0, 0.2, 0.1, 0.7, 0, 0])[0] == f"{same} another order: the end after event A"
    rare = "the same order, in which the least usual is the end after event B"
    assert explained([1, 2, 2, 0, 0, 0], [0, 0, 0, 1, 0, 0])[0] == f"{same} {rare}"


def test_without_normal_blocks_all_events_are_extra() -> None:
    reason, shares = explained([1, 2, 0, 0, 0, 0], [0.5, 0.3, 0.2, 0, 0, 0], NORMALS[:0])
    assert reason == "1 × event A; 1 × event B" and shares == {"A": 0.5, "B": 0.3}

"""Combinations: pairs and triples of counts that no normal block has together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.detectors.combinations import Combinations


def _fitted(rows: list[list[int]], blocks: list[int] | None = None) -> Combinations:
    values = np.array(rows, np.float32)
    return Combinations().fit(values, None, np.array(blocks or [1] * len(rows), np.float64))


def _score(detector: Combinations, row: list[int]) -> float:
    return float(detector.score(np.array([row], np.float32))[0])


ORDINARY = [[1, 3, 0, 0], [1, 3, 3, 0], [1, 6, 0, 1], [1, 6, 3, 1]]  # written; deleted; appended to; both


def test_normal_vectors_have_nothing_against_them() -> None:
    np.testing.assert_array_equal(_fitted(ORDINARY).score(np.array(ORDINARY, np.float32)), 0)


def test_a_new_mixture_of_ordinary_things_is_no_anomaly() -> None:
    detector = _fitted([*ORDINARY, [1, 9, 0, 2], [1, 9, 3, 2]])
    assert 0 < _score(detector, [1, 12, 3, 3]) < 0.5


def test_an_event_that_no_normal_block_has() -> None:
    detector = _fitted([[*row, 0] for row in ORDINARY])
    found = _score(detector, [1, 3, 0, 0, 1])
    assert found >= 0.5
    assert _score(detector, [1, 3, 0, 0, 4]) >= found


def test_a_missing_event_that_every_normal_block_has() -> None:
    assert _score(_fitted(ORDINARY), [0, 3, 0, 0]) >= 0.5


def test_one_event_without_the_other() -> None:
    assert _score(_fitted([[1, 0, 0], [1, 1, 1]]), [1, 1, 0]) >= 0.5


def _three(missing: bool, blocks: int) -> Combinations:
    """Blocks of all mixtures of three events, but for one of them if it is missing."""
    rows = [[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1) if (a, b, c) != (1, 1, 1) or not missing]
    return _fitted(rows, [blocks] * len(rows))


def test_three_events_whose_absence_is_no_chance() -> None:
    assert _score(_three(missing=False, blocks=50), [1, 1, 1]) == 0
    assert _score(_three(missing=True, blocks=50), [1, 1, 1]) >= 0.5


def test_three_events_whose_absence_is_chance() -> None:
    assert 0 < _score(_three(missing=True, blocks=1), [1, 1, 1]) < 0.5


def test_the_share_names_the_columns_that_never_come_together() -> None:
    detector = _fitted([[1, 0, 0, 2], [1, 1, 1, 2]])
    row = np.array([[1, 1, 0, 2]], np.float32)
    shares = detector.explain(row, row)
    assert shares.sum() == pytest.approx(1)
    assert set(np.flatnonzero(shares[0] > 0.05)) <= {1, 2}


@given(st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=1, max_size=12), st.randoms())
def test_scores_depend_on_which_blocks_there_are_and_not_on_their_order(rows: list[list[int]], chance: object) -> None:
    order = np.random.default_rng(chance.randrange(2**32)).permutation(len(rows))  # type: ignore[attr-defined]
    asked = np.random.default_rng(3).integers(0, 5, (20, 5)).astype(np.float32)
    scores = _fitted(rows).score(asked)
    np.testing.assert_array_equal(scores, _fitted([rows[at] for at in order]).score(asked))
    assert ((scores >= 0) & (scores < 1)).all()
    np.testing.assert_array_equal(_fitted(rows).score(np.array(rows, np.float32)), 0)


@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=1, max_size=12))
def test_the_absent_triples_are_those_of_a_naive_count(rows: list[list[int]]) -> None:
    known = _fitted(rows)._known
    capped = np.minimum(np.array(rows), known.cap)
    width = known.cap + 1
    for first in range(len(known.columns) - 2):
        a, b, c = (known.columns[first + step] for step in range(3))
        for value in np.random.default_rng(5).integers(0, width, (8, 3)):
            has = [capped[:, column] == at for column, at in zip((a, b, c), value, strict=True)]
            together = (has[0] & has[1] & has[2]).sum()
            expected = 0.0
            if not together and all(each.any() for each in has):
                pairs = [(has[0] & has[1]).sum(), (has[0] & has[2]).sum(), (has[1] & has[2]).sum()]
                single = [each.sum() for each in has]
                expected = min(
                    pairs[0] * pairs[1] / single[0], pairs[0] * pairs[2] / single[1], pairs[1] * pairs[2] / single[2]
                )
            place = tuple((first + step) * width + value[step] for step in range(3))
            assert known.absent[place] == pytest.approx(expected, rel=1e-6)

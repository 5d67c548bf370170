"""Splits: disjoint, complete, by time or drawn within each label; and which rows count as labelled."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset, split_chronological, split_random, split_unseen
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED


def dataset(labels: list[int], time: list[int] | None = None) -> Dataset:
    """Blocks whose one count is their own number."""
    keys = np.arange(len(labels), dtype=np.int64) - 2
    values = np.arange(len(labels), dtype=np.float32)[:, None]
    matrices = {"events": FeatureMatrix(values, keys, ("E1",), "x.v1"), "keywords": FeatureMatrix(values, keys, ("a",))}
    when = np.array(time if time is not None else range(len(labels)), np.int64)
    kinds = np.array([f"kind {label}" for label in labels], object)
    return Dataset("blocks", matrices, when, np.array(labels, np.int8), kinds)


some_labels = st.lists(st.sampled_from([NORMAL, ANOMALY]), max_size=80)
shares = st.floats(0.05, 0.95)


@given(some_labels, shares, st.integers(0, 2**32 - 1))
def test_a_random_split_is_drawn_within_each_label(labels: list[int], share: float, seed: int) -> None:
    data = dataset(labels)
    learn, test = split_random(data, share, seed)
    assert sorted([*learn.tolist(), *test.tolist()]) == list(range(len(data)))
    for label in (NORMAL, ANOMALY):
        count = int((data.labels == label).sum())
        assert abs((data.labels[test] == label).sum() - count * share) <= 0.5


def test_a_random_split_follows_from_the_seed() -> None:
    data = dataset([NORMAL] * 90 + [ANOMALY] * 10)
    one, same, other = (split_random(data, 0.5, seed)[1].tolist() for seed in (7, 7, 8))
    assert one == same
    assert one != other
    assert one != sorted(range(100))[50:], "not simply the later half"


@given(st.lists(st.integers(0, 9), max_size=80), shares)
def test_a_chronological_split_learns_from_the_earlier_blocks(time: list[int], share: float) -> None:
    data = dataset([NORMAL] * len(time), time)
    learn, test = split_chronological(data, share)
    assert sorted([*learn.tolist(), *test.tolist()]) == list(range(len(data)))
    assert len(test) == round(len(data) * share)
    if len(learn) and len(test):
        assert data.time[learn].max() <= data.time[test].min()


def test_blocks_of_one_moment_are_split_by_their_id() -> None:
    """However the rows are ordered, the same blocks are learned from."""
    data = dataset([NORMAL] * 10, [5] * 10)
    backward = data.take(np.arange(10)[::-1])
    one, other = (
        set(rows.matrix("events").keys[split_chronological(rows, 0.3)[1]].tolist()) for rows in (data, backward)
    )
    assert one == other == {5, 6, 7}


def test_labelled_leaves_ambiguous_and_unlabelled_blocks_out() -> None:
    data = dataset([NORMAL, AMBIGUOUS, ANOMALY, UNLABELLED, NORMAL]).labelled()
    assert data.labels.tolist() == [NORMAL, ANOMALY, NORMAL]
    for family in ("events", "keywords"):
        assert data.matrix(family).keys.tolist() == [-2, 0, 2]
        assert data.matrix(family).values.ravel().tolist() == [0, 2, 4]
    assert data.time.tolist() == [0, 2, 4]
    assert data.kinds.tolist() == ["kind 0", "kind 1", "kind 0"]


@pytest.mark.parametrize("labels", [[], [NORMAL, AMBIGUOUS], [ANOMALY, UNLABELLED], [UNLABELLED, AMBIGUOUS]])
def test_labelled_needs_both_kinds(labels: list[int]) -> None:
    with pytest.raises(DataError, match="--labels"):
        dataset(labels).labelled()


@pytest.mark.parametrize("text", [False, True], ids=["numbers as keys", "texts as keys"])
def test_marks_tell_blocks_apart(text: bool) -> None:
    """By id, counts and label; and stay the same wherever the rows stand, and beside whatever longer ids."""
    draw = np.random.default_rng(3)
    time = np.repeat(np.arange(-50, 50), 40)
    keys = time.astype("<U3") if text else time
    values = np.tile(np.repeat(np.arange(20), 2), 100)[:, None].astype(np.float32)
    labels = np.tile(np.array([NORMAL, ANOMALY], np.int8), 2000)
    matrices = {"events": FeatureMatrix(values, keys, ("E1",))}
    data = Dataset("blocks", matrices, time, labels, np.full(4000, "", object))
    marks = data.marks("events")
    assert marks.dtype == np.uint64
    assert len(np.unique(marks)) == 4000
    order = draw.permutation(4000)
    np.testing.assert_array_equal(data.take(order).marks("events"), marks[order])
    if text:
        wide = replace(data, matrices={"events": FeatureMatrix(values, keys.astype("<U9"), ("E1",))})
        np.testing.assert_array_equal(wide.marks("events"), marks)


def repeating(vectors: list[int], labels: list[int]) -> Dataset:
    """Blocks whose one count is given, so that vectors repeat."""
    data = dataset(labels)
    values = np.array(vectors, np.float32)[:, None]
    events = FeatureMatrix(values, data.matrix("events").keys, ("E1",), "x.v1")
    return replace(data, matrices=data.matrices | {"events": events})


some_blocks = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([NORMAL, ANOMALY])), max_size=80)


@given(some_blocks, shares, st.integers(0, 2**32 - 1))
def test_no_vector_of_the_unseen_split_is_on_both_sides(blocks: list[tuple[int, int]], share: float, seed: int) -> None:
    data = repeating([vector for vector, _ in blocks], [label for _, label in blocks])
    learn, test = split_unseen(data, share, seed)
    assert sorted([*learn.tolist(), *test.tolist()]) == list(range(len(data)))
    sides = [{vector for vector, _ in (blocks[at] for at in rows)} for rows in (learn, test)]
    assert not sides[0] & sides[1]
    bad = {vector for vector, label in blocks if label == ANOMALY}
    good = {vector for vector, _ in blocks} - bad
    for vectors in (bad, good):
        if len(vectors) > 1:
            assert sides[0] & vectors and sides[1] & vectors, "each side has some of both labels"
            count = len(sides[1] & vectors)
            assert count == max(1, int(np.floor(len(vectors) * share))) or abs(count - len(vectors) * share) < 1


def test_the_unseen_split_follows_from_the_seed_and_shares_common_vectors_out() -> None:
    """Of two neighbours by frequency each side gets one."""
    vectors = [number for number in range(40) for _ in range(40 - number)]
    data = repeating(vectors, [NORMAL] * len(vectors))
    one, same, other = (split_unseen(data, 0.5, seed)[1].tolist() for seed in (7, 7, 8))
    assert one == same
    assert one != other
    found = {vectors[at] for at in one}
    assert all(len(found & {first, first + 1}) == 1 for first in range(0, 40, 2))
    assert {first for first in range(0, 40, 2) if first in found} not in (set(), set(range(0, 40, 2)))

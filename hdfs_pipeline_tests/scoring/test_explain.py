"""Explanations: what differs from the nearest normal block, in words that a person reads."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hdfs_pipeline.scoring.contracts import share_by_replacement
from hdfs_pipeline.scoring.explain import Difference, Explanation, Vocabulary, explain_rows, nearest_normals

COLUMNS = ("E1", "E2", "E3", "E4", "E5")
NAMES = dict(zip(COLUMNS, ("allocate", "receive", "exception", "delete", "replicate"), strict=True))
VOCABULARY = Vocabulary(NAMES.__getitem__, "block", "the same events")


def explained(row: list[float], normal: list[float], shares: list[float]) -> Explanation:
    values, nearest = np.array([row], np.float32), np.array([normal], np.float32)
    return explain_rows(values, nearest, np.array([shares]), COLUMNS, VOCABULARY)[0]


def test_extra_missing_and_out_of_proportion() -> None:
    found = explained([1, 1, 2, 0, 0], [1, 3, 0, 3, 0], [0, 0.3, 0.5, 0.2, 0])
    assert found.differences == (
        Difference("E3", "exception", "extra", 2, 0, 0.5),
        Difference("E2", "receive", "out of proportion", 1, 3, pytest.approx(0.3)),
        Difference("E4", "delete", "missing", 0, 3, pytest.approx(0.2)),
    )
    assert found.reason == "2 × exception; 1 instead of 3 × receive; no delete (normally 3)"


def test_the_reason_names_three_and_counts_the_others() -> None:
    found = explained([2, 2, 2, 2, 2], [1, 1, 1, 1, 1], [0.1, 0.2, 0.3, 0.15, 0.25])
    assert [difference.event_id for difference in found.differences] == ["E3", "E5", "E2", "E4", "E1"]
    assert found.reason.endswith("2 instead of 1 × receive; and 2 more")
    assert found.reason.count(";") == 3


def test_equal_shares_stand_by_the_size_of_the_difference() -> None:
    found = explained([1, 9, 4, 0, 0], [0, 0, 0, 0, 0], [0.2, 0.2, 0.2, 0, 0])
    assert [difference.count for difference in found.differences] == [9, 4, 1]


def test_whole_numbers_are_written_as_such_and_others_to_six_digits() -> None:
    """Counts and measurements may stand side by side."""
    found = explained([2, 0.123456789, 0, 1e9, 0], [1.5, 0, 2.25, 0, 0], [0.4, 0.3, 0.2, 0.1, 0])
    assert found.reason == "2 instead of 1.5 × allocate; 0.123457 × receive; no exception (normally 2.25); and 1 more"
    text = json.dumps(found.to_json()["differences"][0])
    assert '"count": 2, "expected": 1.5,' in text
    assert json.dumps(found.to_json()["differences"][3]["count"]) == "1000000000"


def test_a_block_like_a_normal_one_says_so() -> None:
    """And names what they have in common: never a sentence over an empty table."""
    found = explained([1, 3, 0, 0, 0], [1, 3, 0, 0, 0], [0] * 5)
    assert found.reason == "the same events as a normal block: 3 × receive; 1 × allocate"
    assert [(each.event_id, each.kind, each.count, each.expected) for each in found.differences] == [
        ("E2", "usual", 3, 3),
        ("E1", "usual", 1, 1),
    ]
    assert not found.differs
    assert explained([0] * 5, [0] * 5, [0] * 5) == Explanation("the same events as a normal block", ())


GRAVE = Vocabulary(
    NAMES.__getitem__,
    "block",
    "the same events",
    severity=lambda column: {"E3": "failure", "E5": "notable"}.get(column, ""),
    cause=lambda column: {"E3": "a full disk", "E5": "a lost DataNode"}.get(column, ""),
)


def test_failures_come_first_however_small_their_share() -> None:
    """Then what is notable, then the rest by its share; what is missing has no severity."""
    values, normal = np.array([[1, 1, 1, 0, 2]], np.float32), np.array([[1, 3, 0, 3, 0]], np.float32)
    found = explain_rows(values, normal, np.array([[0, 0.5, 0.0, 0.4, 0.1]]), COLUMNS, GRAVE)[0]
    assert [(each.event_id, each.severity) for each in found.differences] == [
        ("E3", "failure"),
        ("E5", "notable"),
        ("E2", ""),
        ("E4", ""),
    ]
    assert found.reason.startswith("1 × exception; 2 × replicate; 1 instead of 3 × receive; and 1 more")
    assert found.reason.endswith("(likely cause: a full disk)")
    assert found.telling == ("E3",)


def test_a_failure_that_normal_items_have_too_is_named() -> None:
    values, normal = np.array([[1, 2, 1, 0, 0]], np.float32), np.array([[1, 3, 1, 0, 0]], np.float32)
    found = explain_rows(values, normal, np.array([[0, 1.0, 0.0, 0, 0]]), COLUMNS, GRAVE)[0]
    assert [(each.event_id, each.kind) for each in found.differences] == [("E3", "usual"), ("E2", "out of proportion")]
    assert found.differs and found.telling == ("E3",)
    missing = explain_rows(normal, values * 2, np.array([[0, 1.0, 0.0, 0, 0]]), COLUMNS, GRAVE)[0]
    assert missing.telling == ("E3",)


def test_without_a_failure_what_there_is_too_much_of_tells() -> None:
    found = explained([1, 9, 0, 0, 1], [1, 3, 0, 3, 0], [0, 0.3, 0, 0.5, 0.2])
    assert found.telling == ("E2", "E5")
    assert explained([1, 0, 0, 0, 0], [1, 3, 0, 0, 0], [0, 1, 0, 0, 0]).telling == ()


def test_it_becomes_json() -> None:
    found = json.loads(json.dumps(explained([0, 0, 1, 0, 0], [0] * 5, [0, 0, 1, 0, 0]).to_json()))
    assert (found["reason"], found["telling"]) == ("1 × exception", ["E3"])
    assert found["differences"] == [
        {"event_id": "E3", "name": "exception", "kind": "extra", "count": 1, "expected": 0, "share": 1.0}
        | {"severity": "", "cause": ""}
    ]


def test_the_nearest_normal_block_by_counts() -> None:
    normals = np.array([[0, 0], [5, 5], [9, 0]], np.float32)
    values = np.array([[1, 0], [4, 5], [8, 1]], np.float32)
    np.testing.assert_array_equal(nearest_normals(values, normals), normals)


def test_of_equally_near_ones_the_frequent_wins() -> None:
    """Normal vectors stand with the most frequent first."""
    frequent, rare = [3, 0], [1, 0]
    between = np.array([[2, 0]], np.float32)
    for normals in ([frequent, rare], [rare, frequent]):
        np.testing.assert_array_equal(nearest_normals(between, np.array(normals, np.float32)), [normals[0]])


def test_without_normal_blocks_everything_is_extra() -> None:
    values = np.array([[2, 0]], np.float32)
    np.testing.assert_array_equal(nearest_normals(values, np.zeros((0, 2), np.float32)), [[0, 0]])


counts = arrays(np.float32, st.tuples(st.integers(0, 6), st.just(4)), elements=st.integers(0, 5).map(float))


@given(counts, st.data())
def test_shares_by_replacement_sum_to_one(values: np.ndarray, data: st.DataObject) -> None:
    nearest = data.draw(arrays(np.float32, values.shape, elements=st.integers(0, 5).map(float)))
    factors = np.array(data.draw(st.lists(st.integers(-2, 3), min_size=4, max_size=4)), float)
    shares = share_by_replacement(lambda rows: 1 / (1 + np.exp(-(rows @ factors))), values, nearest)
    assert shares.shape == values.shape
    assert (shares >= 0).all()
    differs = (values != nearest).any(axis=1)
    np.testing.assert_allclose(shares.sum(axis=1), differs.astype(float), atol=1e-9)
    assert not shares[values == nearest].any()


def test_shares_follow_what_the_score_is_made_of() -> None:
    """The first column weighs three times the second; the third differs and does not matter."""
    values = np.array([[1, 1, 1]], np.float32)
    shares = share_by_replacement(lambda rows: rows @ np.array([3.0, 1.0, 0.0]), values, np.zeros_like(values))
    np.testing.assert_allclose(shares, [[0.75, 0.25, 0]])


def test_where_no_single_column_matters_those_that_differ_share() -> None:
    """A score that falls only when both are replaced."""
    values = np.array([[1, 1, 0]], np.float32)
    shares = share_by_replacement(lambda rows: rows.max(axis=1), values, np.zeros_like(values))
    np.testing.assert_allclose(shares, [[0.5, 0.5, 0]])


def test_explaining_leaves_the_rows_as_they_were() -> None:
    values = np.array([[1, 2, 3]], np.float32)
    share_by_replacement(lambda rows: rows.sum(axis=1), values, np.zeros_like(values))
    assert values.tolist() == [[1, 2, 3]]

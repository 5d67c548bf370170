"""What people said of blocks: kept once per block, laid over labels, and which vectors it rules."""

from datetime import UTC, datetime

import numpy as np
import pytest

from hdfs_pipeline.domains.blocks.feedback import KIND, keep_verdict, overlay, verdicts, withdraw_verdict
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED, Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline_tests.homes import Home


def blocks(vectors: list[int], labels: list[int]) -> Dataset:
    """Blocks 10, 20, …, each with a vector that is one number, and its label."""
    keys = np.arange(1, len(vectors) + 1) * 10
    values = np.array(vectors, np.float32)[:, None]
    return Dataset(
        {"events": FeatureMatrix(values, keys, ("E1",)), "keywords": FeatureMatrix(values, keys, ("alarms",))},
        keys.astype(np.int64),
        np.array(labels, np.int8),
        np.array(["normal" if label == NORMAL else "" for label in labels], object),
    )


def ruled(data: Dataset) -> dict[int, int]:
    assert data.feedback is not None
    values, labels = data.feedback.ruled("events")
    return dict(zip(values[:, 0].astype(int).tolist(), labels.tolist(), strict=True))


def objection(data: Dataset, block: int) -> str:
    assert data.feedback is not None
    (found,) = data.feedback.objections[data.feedback.keys == block]
    return str(found)


def test_where_there_are_labels_a_verdict_goes_over_them() -> None:
    before = blocks([1, 2, 3, 4, 5], [NORMAL, ANOMALY, NORMAL, UNLABELLED, NORMAL])
    data = overlay(before, [(10, "real"), (20, "false"), (30, "expected"), (40, "false"), (50, "false"), (99, "real")])
    assert data.labels.tolist() == [ANOMALY, NORMAL, AMBIGUOUS, NORMAL, NORMAL]
    assert data.kinds.tolist() == [KIND, KIND, KIND, KIND, "normal"], "a label that was confirmed keeps its kind"
    assert before.labels.tolist() == [NORMAL, ANOMALY, NORMAL, UNLABELLED, NORMAL]
    assert data.feedback is not None
    assert data.feedback.keys.tolist() == [10, 20, 30, 40, 50], "a block that is not there yet waits"
    assert ruled(data) == {1: ANOMALY, 2: NORMAL, 3: AMBIGUOUS, 4: NORMAL, 5: NORMAL}
    assert data.said.tolist() == [True] * 5
    assert (before.marks("events") != data.marks("events")).tolist() == [True, True, True, True, False]


def test_without_labels_three_verdicts_are_not_all_that_is_known() -> None:
    data = overlay(blocks([1, 2, 3, 4], [UNLABELLED] * 4), [(10, "real"), (20, "false"), (30, "expected")])
    assert data.labels.tolist() == [AMBIGUOUS, UNLABELLED, AMBIGUOUS, UNLABELLED]
    assert ruled(data) == {1: ANOMALY, 2: NORMAL, 3: AMBIGUOUS}


def test_without_verdicts_nothing_changes() -> None:
    data = blocks([1, 2], [NORMAL, ANOMALY])
    assert overlay(data, []) is data
    assert overlay(data, [(7, "real")]) is data
    assert not data.said.any()


def test_what_is_taken_leaves_the_other_verdicts_behind() -> None:
    """A model of the training half must not know what people said of the test half."""
    data = overlay(blocks([1, 2, 3], [NORMAL] * 3), [(10, "real"), (30, "real")])
    half = data.take(np.array([0, 1]))
    assert half.feedback is not None
    assert half.feedback.keys.tolist() == [10]
    assert ruled(half) == {1: ANOMALY}
    assert half.take(np.array([1])).said.tolist() == [False]


def test_the_greater_number_decides_what_a_vector_is() -> None:
    data = overlay(blocks([1, 1, 1, 2, 2, 2], [NORMAL] * 3 + [ANOMALY] * 3), [(10, "real"), (40, "false")])
    assert objection(data, 10) == "2 blocks with the same events known to be normal"
    assert objection(data, 40) == "2 blocks with the same events known to be anomalous"
    assert ruled(data) == {}
    more = overlay(blocks([1, 1, 1], [NORMAL] * 3), [(10, "real"), (20, "real")])
    assert ruled(more) == {1: ANOMALY}


def test_the_newest_verdict_decides_where_they_are_even() -> None:
    data = overlay(blocks([1, 1], [UNLABELLED] * 2), [(20, "false"), (10, "real")])
    assert ruled(data) == {1: ANOMALY}
    assert "a newer verdict" in objection(data, 20)
    assert ruled(overlay(blocks([1, 1], [UNLABELLED] * 2), [(10, "real"), (20, "false")])) == {1: NORMAL}


def test_a_vector_that_many_blocks_have_is_not_flagged_on_one_word() -> None:
    vectors = [1] * 30 + list(range(2, 972))
    data = overlay(blocks(vectors, [UNLABELLED] * 1000), [(10, "real"), (9000, "real")])
    assert objection(data, 9000) == ""
    assert objection(data, 10) == "29 of 1,000 blocks have the same events, too many to flag on one word"
    assert ruled(overlay(blocks(vectors, [UNLABELLED] * 1000), [(10, "false")])) == {1: NORMAL}


def test_expected_does_not_outrule_a_verdict() -> None:
    data = overlay(blocks([1, 1], [UNLABELLED] * 2), [(10, "real"), (20, "expected")])
    assert ruled(data) == {1: ANOMALY}


def test_one_verdict_per_block_the_newest(home: Home) -> None:
    def say(block: int, verdict: str, second: int) -> None:
        at = datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
        keep_verdict(home.store, {"block_id": block, "verdict": verdict, "note": "n", "given_by": "me", "given_at": at})

    say(-5, "real", 1)
    say(7, "false", 2)
    say(-5, "expected", 3)
    with home.store.read() as con:
        found = verdicts(con)
        assert [(row["block_id"], row["verdict"]) for row in found] == [(7, "false"), (-5, "expected")], "oldest first"
        assert found[0] | {"given_at": None} == {
            "block_id": 7, "verdict": "false", "note": "n", "given_by": "me", "given_at": None,
            "detector": None, "version": None, "score": None, "was_anomaly": None,
        }  # fmt: skip
        assert [row["verdict"] for row in verdicts(con, -5)] == ["expected"]
    withdraw_verdict(home.store, -5)
    with home.store.read() as con:
        assert [row["block_id"] for row in verdicts(con)] == [7]
    with pytest.raises(DataError, match="nobody has said anything of blk_-5"):
        withdraw_verdict(home.store, -5)

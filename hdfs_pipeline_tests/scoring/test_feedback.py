"""What people said of items: laid over labels, and which vectors it rules."""

from dataclasses import replace

import numpy as np
import pytest

from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.feedback import KIND, Word, overlay
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED


def blocks(vectors: list[int], labels: list[int]) -> Dataset:
    """Blocks 10, 20, …, each with a vector that is one number, and its label."""
    keys = np.arange(1, len(vectors) + 1) * 10
    values = np.array(vectors, np.float32)[:, None]
    return Dataset(
        "blocks",
        {"events": FeatureMatrix(values, keys, ("E1",)), "keywords": FeatureMatrix(values, keys, ("alarms",))},
        keys.astype(np.int64),
        np.array(labels, np.int8),
        np.array(["normal" if label == NORMAL else "" for label in labels], object),
        plural="blocks",
        alike="the same events",
    )


def said(data: Dataset, *words: tuple[int, str]) -> Dataset:
    """With words on blocks over it, the oldest first."""
    return overlay(data, [Word(verdict, key) for key, verdict in words])


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
    data = said(before, (10, "real"), (20, "false"), (30, "expected"), (40, "false"), (50, "false"), (99, "real"))
    assert data.labels.tolist() == [ANOMALY, NORMAL, AMBIGUOUS, NORMAL, NORMAL]
    assert data.kinds.tolist() == [KIND, KIND, KIND, KIND, "normal"], "a label that was confirmed keeps its kind"
    assert before.labels.tolist() == [NORMAL, ANOMALY, NORMAL, UNLABELLED, NORMAL]
    assert data.feedback is not None
    assert data.feedback.keys.tolist() == [10, 20, 30, 40, 50], "a block that is not there yet waits"
    assert ruled(data) == {1: ANOMALY, 2: NORMAL, 3: AMBIGUOUS, 4: NORMAL, 5: NORMAL}
    assert data.with_feedback.tolist() == [True] * 5
    assert (before.marks("events") != data.marks("events")).tolist() == [True, True, True, True, False]


def test_without_labels_three_verdicts_are_not_all_that_is_known() -> None:
    data = said(blocks([1, 2, 3, 4], [UNLABELLED] * 4), (10, "real"), (20, "false"), (30, "expected"))
    assert data.labels.tolist() == [AMBIGUOUS, UNLABELLED, AMBIGUOUS, UNLABELLED]
    assert ruled(data) == {1: ANOMALY, 2: NORMAL, 3: AMBIGUOUS}


def test_without_verdicts_nothing_changes() -> None:
    data = blocks([1, 2], [NORMAL, ANOMALY])
    assert said(data) is data
    assert said(data, (7, "real")) is data
    assert not data.with_feedback.any()


def test_what_is_taken_leaves_the_other_verdicts_behind() -> None:
    """A model of the training half must not know what people said of the test half."""
    data = said(blocks([1, 2, 3], [NORMAL] * 3), (10, "real"), (30, "real"))
    half = data.take(np.array([0, 1]))
    assert half.feedback is not None
    assert half.feedback.keys.tolist() == [10]
    assert ruled(half) == {1: ANOMALY}
    assert half.take(np.array([1])).with_feedback.tolist() == [False]


def test_the_greater_number_decides_what_a_vector_is() -> None:
    data = said(blocks([1, 1, 1, 2, 2, 2], [NORMAL] * 3 + [ANOMALY] * 3), (10, "real"), (40, "false"))
    assert objection(data, 10) == "2 blocks with the same events known to be normal"
    assert objection(data, 40) == "2 blocks with the same events known to be anomalous"
    assert ruled(data) == {}
    more = said(blocks([1, 1, 1], [NORMAL] * 3), (10, "real"), (20, "real"))
    assert ruled(more) == {1: ANOMALY}


def test_the_newest_verdict_decides_where_they_are_even() -> None:
    data = said(blocks([1, 1], [UNLABELLED] * 2), (20, "false"), (10, "real"))
    assert ruled(data) == {1: ANOMALY}
    assert "a newer verdict" in objection(data, 20)
    assert ruled(said(blocks([1, 1], [UNLABELLED] * 2), (10, "real"), (20, "false"))) == {1: NORMAL}


def test_a_vector_that_many_blocks_have_is_not_flagged_on_one_word() -> None:
    vectors = [1] * 30 + list(range(2, 972))
    data = said(blocks(vectors, [UNLABELLED] * 1000), (10, "real"), (9000, "real"))
    assert objection(data, 9000) == ""
    assert objection(data, 10) == "29 of 1,000 blocks have the same events, too many to flag on one word"
    assert ruled(said(blocks(vectors, [UNLABELLED] * 1000), (10, "false"))) == {1: NORMAL}


def test_expected_does_not_outrule_a_verdict() -> None:
    data = said(blocks([1, 1], [UNLABELLED] * 2), (10, "real"), (20, "expected"))
    assert ruled(data) == {1: ANOMALY}


def test_longer_ids_of_other_items_are_not_cut_off_to_one_that_is_there() -> None:
    data = blocks([1, 2, 3], [NORMAL] * 3)
    texts = np.array(["order-1", "order-2", "order-9"])
    data = replace(data, matrices={family: replace(m, keys=texts) for family, m in data.matrices.items()})
    assert overlay(data, [Word("real", "order-17")]) is data
    words = [Word("false", "order-17"), Word("real", "order-2"), Word("real", "")]
    found = overlay(data, words)
    assert found.labels.tolist() == [NORMAL, ANOMALY, NORMAL]
    assert found.feedback is not None
    assert found.feedback.keys.tolist() == ["order-2"]


def stretch(verdict: str, begin: int, end: int, entity: str = "") -> Word:
    return Word(verdict, None, entity, begin, end)


def test_a_word_on_a_stretch_goes_over_the_labels_of_what_began_in_it() -> None:
    """Blocks begin at the time of their number; the ends of the stretch are in it."""
    before = blocks([1, 2, 3, 4, 5], [NORMAL, ANOMALY, NORMAL, UNLABELLED, NORMAL])
    for verdict, label in (("real", AMBIGUOUS), ("expected", AMBIGUOUS), ("maintenance", AMBIGUOUS), ("false", NORMAL)):
        data = overlay(before, [stretch(verdict, 20, 40)])
        assert data.labels.tolist() == [NORMAL, label, label, label, NORMAL]
        assert data.kinds.tolist()[0::4] == ["normal", "normal"]
        assert data.kinds.tolist()[1] == KIND
        assert data.feedback is None, "no vector is ruled by it"
    assert before.labels.tolist() == [NORMAL, ANOMALY, NORMAL, UNLABELLED, NORMAL]


def test_a_false_alarm_without_labels_leaves_the_blocks_among_the_others() -> None:
    data = overlay(blocks([1, 2, 3], [UNLABELLED] * 3), [stretch("false", 10, 20), stretch("real", 30, 30)])
    assert data.labels.tolist() == [UNLABELLED, UNLABELLED, AMBIGUOUS]


def test_a_word_on_a_block_goes_over_that_on_its_time_whatever_came_first() -> None:
    data = overlay(blocks([1, 2, 3], [NORMAL] * 3), [Word("real", 20), stretch("maintenance", 0, 99)])
    assert data.labels.tolist() == [AMBIGUOUS, ANOMALY, AMBIGUOUS]
    assert ruled(data) == {2: ANOMALY}


def test_a_stretch_of_an_entity_is_its_own() -> None:
    data = replace(blocks([1], [NORMAL]), entity="nn1:9870")
    assert overlay(data, [stretch("real", 0, 99, "nn2:9870")]).labels.tolist() == [NORMAL]
    for entity in ("nn1:9870", ""):
        assert overlay(data, [stretch("real", 0, 99, entity)]).labels.tolist() == [AMBIGUOUS]


@pytest.mark.parametrize("other", [NORMAL, UNLABELLED])
def test_a_word_on_a_whole_group_rules_it_however_common_it_is(other: int) -> None:
    """Of 1,000 blocks 400 are of one group, whose vectors no other block has; other labels exist, or none does."""
    vectors = [1 + row % 7 for row in range(400)] + [9] * 600
    labels = [UNLABELLED] * 400 + [other] * 600
    data = said(blocks(vectors, labels), *[(10 * row, "real") for row in range(1, 401)])
    assert data.feedback is not None
    assert set(data.feedback.objections) == {""}
    assert ruled(data) == dict.fromkeys(range(1, 8), ANOMALY)
    assert set(data.labels[:400].tolist()) == {ANOMALY if other == NORMAL else AMBIGUOUS}


def test_items_that_came_since_do_not_outweigh_the_words_on_a_group() -> None:
    """60 of 100 blocks with one vector were called real: the other 40 are more than 1 %, but fewer than the words."""
    vectors = [1] * 100 + [2] * 900
    words = [(10 * row, "real") for row in range(1, 61)]
    assert ruled(said(blocks(vectors, [UNLABELLED] * 1000), *words)) == {1: ANOMALY}
    few = said(blocks(vectors, [UNLABELLED] * 1000), *words[:40])
    assert objection(few, 10) == "60 of 1,000 blocks have the same events, too many to flag on 40 words"
    assert ruled(few) == {}

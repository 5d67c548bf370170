"""Blocks that are not the home's are judged as a worker judges them, by many threads at once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.champion import Champion, Counted
from hdfs_pipeline.domains.blocks.wire import Vector
from hdfs_pipeline.domains.contract import Judgement
from hdfs_pipeline.errors import UsageError
from hdfs_pipeline_tests.homes import BLOCKS, Home

LINE = b"081109 203518 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_%d src: /10.0.0.1:1 dest: /10.0.0.2:2"


@pytest.fixture(scope="module")
def catalogue_label(trained: Home) -> str:
    return BLOCKS.features(trained.store, trained.settings).main.source


def told(found: Judgement) -> list[tuple[str, str, float, str, str]]:
    """Item, detector, score, kind and reason of each verdict."""
    return sorted(
        (found.items[row], said.detector, float(said.scores[row]), why.kind, why.reason)
        for said in found.opinions
        for row, why in said.told.items()
    )


def test_verdicts_are_those_of_a_worker(trained: Home, catalogue_label: str) -> None:
    catalogue = catalogues()[catalogue_label]
    values = BLOCKS.features(trained.store, trained.settings).main.values.astype(np.int32)
    items = [f"blk_{row}" for row in range(len(values))]
    vectors = [Vector(row, catalogue.label, {}) for row in range(len(values))]
    verdicts = Champion(trained.settings, BLOCKS).judge(Counted(vectors, values), catalogue, "aggregated_events")
    found = BLOCKS.judge(trained.store, trained.settings).counts(items, catalogue.columns, values)
    assert told(found) == sorted((each.item, each.detector, each.score, each.kind, each.reason) for each in verdicts)
    assert len(verdicts) > 40


def test_threads_share_a_judge(trained: Home, catalogue_label: str) -> None:
    judge = BLOCKS.judge(trained.store, trained.settings)

    def lines(number: int) -> Judgement:
        return judge.lines([LINE % block for block in range(number, number + 9)])

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(lines, range(40))):
            assert sorted(found.items) == sorted(f"blk_{block}" for block in range(number, number + 9))
            assert found.source == catalogue_label and len(found.opinions) == 2


def test_columns_may_come_in_any_order_and_only_in_part(trained: Home, catalogue_label: str) -> None:
    judge, columns = BLOCKS.judge(trained.store, trained.settings), catalogues()[catalogue_label].columns
    draw = np.random.default_rng(5)
    counts = draw.integers(0, 4, (50, len(columns)))
    counts[:, 3] = 0
    items = [str(row) for row in range(50)]
    order = [at for at in draw.permutation(len(columns)).tolist() if at != 3]
    mixed = judge.counts(items, [columns[at] for at in order], counts[:, order].astype(np.uint8))
    assert told(mixed) == told(judge.counts(items, columns, counts))


def test_a_line_may_carry_its_continuation_lines_and_none_stops_the_others(trained: Home) -> None:
    judge = BLOCKS.judge(trained.store, trained.settings)
    found = judge.lines([LINE % 1 + b"\n  at java.io", b"\xff\xfe", b"", b"x" * (2 << 20), LINE % 2])
    assert sorted(found.items) == ["blk_1", "blk_2"] and [*found.unread] == [1, 2, 3]


def test_an_event_that_is_none_is_told_with_the_near_one(trained: Home) -> None:
    with pytest.raises(UsageError, match="no event of .*'E5x'; did you mean 'E5"):
        BLOCKS.judge(trained.store, trained.settings).counts(["a"], ["E5x"], np.ones((1, 1), np.int64))

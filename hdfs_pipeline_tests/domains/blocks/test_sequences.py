"""The events of each block in their order: against a grouping by hand, with ties, and for blocks of many events."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.domains.blocks.ingest import ingest
from hdfs_pipeline.domains.blocks.matrix import settle
from hdfs_pipeline.domains.blocks.parse import parse
from hdfs_pipeline.domains.blocks.sequences import STEPS
from hdfs_pipeline.domains.blocks.templates import home_catalogue
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline_tests.homes import Home

GOLDEN = Path(__file__).parents[2] / "golden"
RECEIVING = "081109 2036{:02d} 148 INFO dfs.DataNode$DataXceiver: Receiving block blk_{} src: /1 dest: /2"
DELETE = "081109 2036{:02d} 148 INFO dfs.FSNamesystem: BLOCK* ask 10.0.0.1:5 to delete {}"
FAMILIES = ("events", "sequences")


def read(home: Home, *paths: Path) -> Dataset:
    ingest(home.store, home.settings, [str(path) for path in paths])
    settle(home.store, home.settings, parse(home.store, home.settings).catalogue)
    return load_dataset(home.store, home.settings, FAMILIES)


def by_hand(home: Home) -> dict[int, list[int]]:
    """Codes of the events of each block, sorted and grouped in Python."""
    columns = home_catalogue(home.store, home.settings).columns
    rows = home.rows("SELECT time, source_id, position, event_id, block_ids FROM parsed_events")
    found = defaultdict(list)
    for _, _, _, event, blocks in sorted(rows, key=lambda row: row[:3]):
        for block in blocks:
            found[block].append(columns.index(event) + 1)
    return found


def written(home: Home, tmp_path: Path, lines: list[str]) -> Dataset:
    path = tmp_path / "a.log"
    path.write_text("\n".join(lines) + "\n")
    return read(home, path)


@pytest.mark.parametrize("logs", ["hdfs_v1.log", "hadoop_3.4_*.log", "hadoop_2.7_*.log"])
def test_sequences_are_the_events_sorted_and_grouped(home: Home, logs: str) -> None:
    data = read(home, *GOLDEN.glob(logs))
    matrix, events = data.matrix("sequences"), data.matrix("events")
    expected = by_hand(home)
    assert len(matrix) and sorted(expected) == matrix.keys.tolist() == events.keys.tolist()
    assert (matrix.source, matrix.fingerprint) == (events.source, events.fingerprint)
    for key, row in zip(matrix.keys.tolist(), matrix.values, strict=True):
        steps = expected[key]
        steps = steps if len(steps) <= STEPS else steps[: STEPS // 2] + steps[-STEPS // 2 :]
        assert row.tolist() == steps + [0] * (STEPS - len(steps))


def test_events_of_one_time_stand_by_source_and_position(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("\n".join([DELETE.format(5, "blk_7"), RECEIVING.format(5, 7)]))
    (tmp_path / "b.log").write_text("\n".join([RECEIVING.format(5, 7), DELETE.format(4, "blk_7")]))
    data = read(home, tmp_path / "a.log", tmp_path / "b.log")
    kinds = data.matrix("sequences").values[0, :5].tolist()
    delete, receiving = kinds[0], kinds[2]
    assert delete != receiving and kinds == [delete, delete, receiving, receiving, 0]
    assert by_hand(home)[7] == kinds[:4]


@pytest.mark.parametrize("count", [STEPS - 1, STEPS, STEPS + 1, 3 * STEPS])
def test_a_longer_block_keeps_its_beginning_and_its_end(home: Home, tmp_path: Path, count: int) -> None:
    lines = [RECEIVING.format(1, 7)] * (count - 2) + [DELETE.format(2, "blk_7"), DELETE.format(3, "blk_7 blk_8")]
    data = written(home, tmp_path, lines)
    row, other = data.matrix("sequences").values.astype(int)
    assert (row > 0).sum() == min(count, STEPS)
    last = min(count, STEPS)
    assert len(set(row[: last - 2])) == 1 and row[last - 1] == row[last - 2] == other[0] != row[0]


def test_blocks_may_lie_over_the_pieces_in_which_events_are_read(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdfs_pipeline.domains.blocks.sequences._EVENTS", 1000)  # DuckDB makes pieces of 2,048 of it
    kinds = [RECEIVING, DELETE.replace("{}", "blk_{}")]
    lines = [kinds[(block + step) % 2].format(step % 60, block) for block in range(1, 900) for step in range(block % 9)]
    matrix = written(home, tmp_path, lines).matrix("sequences")
    expected = by_hand(home)
    assert matrix.keys.tolist() == sorted(expected) and len(matrix.rows) < 20
    assert [row[row > 0].tolist() for row in matrix.values] == [expected[key] for key in matrix.keys.tolist()]


def test_a_block_whose_events_are_gone_has_an_empty_row(home: Home, tmp_path: Path) -> None:
    """As while another parse is under way."""
    written(home, tmp_path, [RECEIVING.format(1, 7), RECEIVING.format(2, 8)])
    with home.store.write() as con:
        con.execute("DELETE FROM raw_logs WHERE list_contains(block_ids, 7)")
    matrix = load_dataset(home.store, home.settings, FAMILIES).matrix("sequences")
    assert matrix.keys.tolist() == [7, 8] and matrix.values.any(axis=1).tolist() == [False, True]


def test_logs_without_a_block(home: Home, tmp_path: Path) -> None:
    data = written(home, tmp_path, ["081109 203622 148 INFO dfs.FSNamesystem: nothing of a block"])
    assert data.matrix("sequences").values.shape == (0, STEPS)


def test_the_family_comes_only_where_it_is_asked_for(home: Home, tmp_path: Path) -> None:
    data = written(home, tmp_path, [RECEIVING.format(1, 7)])
    assert np.array_equal(data.take(np.array([0])).matrix("sequences").values, data.matrix("sequences").values)
    with pytest.raises(DataError, match="'sequences'.*`families`"):
        load_dataset(home.store, home.settings).matrix("sequences")

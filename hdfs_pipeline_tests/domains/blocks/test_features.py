"""The event matrix of a home: against the published one, and read back as a Dataset."""

import csv
import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.domains.blocks.ingest import ingest
from hdfs_pipeline.domains.blocks.labels import read_labels
from hdfs_pipeline.domains.blocks.matrix import settle
from hdfs_pipeline.domains.blocks.parse import parse
from hdfs_pipeline.domains.blocks.templates import home_catalogue
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.catalogue import UNKNOWN
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline_tests.homes import Home

LINES = """081109 203615 148 INFO dfs.DataNode$DataXceiver: Receiving block blk_5 src: /1 dest: /2
081109 203616 148 INFO dfs.DataNode$DataXceiver: Receiving block blk_5 src: /1 dest: /2
081109 203620 148 WARN dfs.DataNode$DataXceiver: 10.0.0.1:5:Got exception while serving blk_-7 to /10.0.0.2:
081109 203621 148 INFO dfs.FSNamesystem: BLOCK* ask 10.0.0.1:5 to delete blk_5 blk_-7 blk_9
081109 203622 148 INFO dfs.FSNamesystem: nothing of a block
"""


def made(home: Home, *paths: str) -> pa.Table:
    ingest(home.store, home.settings, paths)
    settle(home.store, home.settings, parse(home.store, home.settings).catalogue)
    with home.store.read() as con:
        return con.sql("FROM event_matrix ORDER BY block_id").to_arrow_table()


def label(home: Home, path: Path) -> None:
    with home.store.write() as con:
        publish_into(con, "labels", read_labels(path), replace="true")


@pytest.fixture
def small(home: Home, tmp_path: Path) -> tuple[Home, pa.Table]:
    (tmp_path / "a.log").write_text(LINES)
    return home, made(home, str(tmp_path / "a.log"))


def test_a_block_has_a_row_with_its_counts_times_and_alarms(small: tuple[Home, pa.Table]) -> None:
    home, table = small
    columns = ["E4", "E5", UNKNOWN]
    at = [home_catalogue(home.store, home.settings).columns.index(column) for column in columns]
    rows = {row["block_id"]: row for row in table.to_pylist()}
    assert {block: [row["counts"][k] for k in at] for block, row in rows.items()} == {
        -7: [1, 0, 1],
        5: [0, 2, 1],
        9: [0, 0, 1],
    }
    assert {block: (row["lines"], row["alarms"], row["duration_s"]) for block, row in rows.items()} == {
        -7: (2, 1, 1.0),
        5: (3, 0, 6.0),
        9: (1, 0, 0.0),
    }
    assert rows[5]["first_time"] == datetime(2008, 11, 9, 20, 36, 15, tzinfo=UTC)
    assert rows[5]["last_time"] == datetime(2008, 11, 9, 20, 36, 21, tzinfo=UTC)
    assert all(sum(row["counts"]) == row["lines"] for row in rows.values())


def test_the_matrix_in_the_store_is_the_one_returned_and_is_replaced_whole(
    small: tuple[Home, pa.Table], tmp_path: Path
) -> None:
    home, table = small
    stored = "SELECT * FROM event_matrix ORDER BY block_id"
    assert [row[0] for row in home.rows(stored)] == table["block_id"].to_pylist() == [-7, 5, 9]
    (tmp_path / "b.log").write_text(LINES.replace("blk_9", "blk_10").replace("0810", "0811"))
    again = made(home, str(tmp_path / "b.log"))
    assert [row[0] for row in home.rows(stored)] == again["block_id"].to_pylist() == [-7, 5, 9, 10]
    assert again["lines"].to_pylist() == [4, 6, 1, 1]


def test_the_dataset_has_the_labels_of_its_blocks_and_no_others(small: tuple[Home, pa.Table], tmp_path: Path) -> None:
    home, _ = small
    path = tmp_path / "labels.csv"
    path.write_text(
        "block_id,label,kind\nblk_5,normal,\nblk_-7,anomaly,volume_full\nblk_123456789,anomaly,no such block\n"
    )
    label(home, path)
    data = load_dataset(home.store, home.settings)
    assert list(data.matrix("events").keys) == list(data.matrix("keywords").keys) == [-7, 5, 9]
    assert list(data.labels) == [ANOMALY, NORMAL, UNLABELLED]
    assert list(data.kinds) == ["volume_full", "normal", ""]


def test_the_dataset_is_the_matrix_of_the_store(trained: Home) -> None:
    """Each block has its own counts, alarms, time and state, however many blocks share a row."""
    data = load_dataset(trained.store, trained.settings)
    with trained.store.read() as con:
        rows = con.sql(
            "SELECT block_id, counts, alarms, unfinished, epoch_us(first_time) FROM event_matrix ORDER BY block_id"
        ).fetchall()
    ids, counts, alarms, unfinished, times = zip(*rows, strict=True)
    assert data.keys.tolist() == list(ids) and data.time.tolist() == list(times)
    assert data.main.values.tolist() == [list(row) for row in counts]
    assert data.matrix("keywords").values[:, 0].tolist() == list(alarms)
    assert data.unfinished.tolist() == list(unfinished)
    assert len(data.main.rows) < len(data) / 4, "alike blocks share a row"


def test_ambiguous_blocks_stay_so(small: tuple[Home, pa.Table], tmp_path: Path) -> None:
    home, _ = small
    path = tmp_path / "labels.csv"
    path.write_text("BlockId,Label\nblk_5,Ambiguous\n")
    label(home, path)
    assert list(load_dataset(home.store, home.settings).labels) == [UNLABELLED, AMBIGUOUS, UNLABELLED]


def test_logs_without_a_block_make_an_empty_matrix(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LINES.splitlines()[-1])
    assert made(home, str(tmp_path / "a.log")).num_rows == 0
    assert len(load_dataset(home.store, home.settings).labels) == 0


def test_without_logs_there_is_no_dataset(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("")
    ingest(home.store, home.settings, [str(tmp_path / "a.log")])
    with pytest.raises(DataError, match="no logs have been parsed"):
        load_dataset(home.store, home.settings)


def test_a_block_of_several_files_has_one_row(new_home: Callable[..., Home], tmp_path: Path) -> None:
    apart, together = new_home("apart"), new_home("together")
    (tmp_path / "all.log").write_text(LINES)
    for number, line in enumerate(LINES.splitlines()):
        (tmp_path / f"part{number}.log").write_text(f"{line}\n")
    parts: list[Any] = [str(tmp_path / f"part{number}.log") for number in range(5)]
    assert made(apart, *parts).equals(made(together, str(tmp_path / "all.log")))


def test_real_blocks_of_2008_have_the_published_counts(home: Home, shared: Path) -> None:
    with gzip.open(shared / "hdfs" / "Event_occurrence_matrix.csv.gz", "rt") as file:
        reader = csv.reader(file)
        _, _, *columns = next(reader)
        published = {int(block.removeprefix("blk_")): [int(n) for n in counts] for block, _, *counts in reader}
    table = made(home, str(shared / "hdfs" / "HDFS_dev.log.gz"))
    label(home, shared / "hdfs" / "anomaly_label.csv")
    assert columns[-1] == UNKNOWN
    assert dict(zip(table["block_id"].to_pylist(), table["counts"].to_pylist(), strict=True)) == published
    assert home.rows(f"SELECT count(*) FROM parsed_events WHERE event_id = '{UNKNOWN}'") == [(0,)]
    assert home.rows("SELECT count(*), count(*) FILTER (len(block_ids) > 0) FROM parsed_events") == [(112_732, 112_732)]
    data = load_dataset(home.store, home.settings)
    assert (np.sum(data.labels == ANOMALY), np.sum(data.labels == NORMAL)) == (183, 5806 - 183)

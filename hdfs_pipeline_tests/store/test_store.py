"""The store: transactions, locks between threads and processes, errors in plain words, backup, export, offsets."""

import csv
import json
import multiprocessing
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline.store.offsets import (
    OffsetConflict,
    advance_offsets,
    begin_epoch,
    find_epoch,
    offsets,
)
from hdfs_pipeline.store.schema import SCHEMA_VERSION, TABLES
from hdfs_pipeline.store.store import Store, publish_into

WORKER = Path(__file__).with_name("store_worker.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(WORKER.parents[2])}
IDS = {"cluster_id": "c", "topic_id": "t"}
LIMIT_S = 60


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home" / "hdfs.duckdb", lock_timeout_s=LIMIT_S, memory_limit="200MB")


def start(what: str, store: Store, *numbers: int) -> "subprocess.Popen[str]":
    command = [sys.executable, str(WORKER), what, str(store.path), *map(str, numbers)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def holding(what: str, store: Store) -> Iterator[int]:
    """The pid of a process that holds the store, killed at the end."""
    process = start(what, store)
    try:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "holding\n", process.stderr.read()
        yield process.pid
    finally:
        process.kill()
        process.communicate(timeout=LIMIT_S)


def label(store: Store, block: int = 1) -> None:
    with store.write() as con:
        con.execute("INSERT INTO labels VALUES (?, 'normal', '')", [block])


def blocks(store: Store) -> list[int]:
    with store.read() as con:
        return [row[0] for row in con.execute("SELECT block_id FROM labels ORDER BY 1").fetchall()]


def impatient(store: Store) -> Store:
    return Store(store.path, lock_timeout_s=0.2)


def test_nothing_on_the_disk_before_the_first_write(store: Store) -> None:
    assert not store.path.parent.exists()
    with pytest.raises(SetupError, match="hdfs-pipeline ingest PATH"), store.read():
        pass
    assert not store.path.parent.exists()
    with store.write():
        pass
    assert store.path.exists()


def test_tables_keys_and_comments_are_in_the_file(store: Store) -> None:
    label(store)
    with duckdb.connect(str(store.path), read_only=True) as con:
        views = "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"
        tables = dict(con.execute(f"SELECT table_name, comment FROM duckdb_tables() UNION ALL {views}").fetchall())
        columns = con.execute(
            "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
        keys = con.execute(
            "SELECT table_name, constraint_column_names FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY'"
        ).fetchall()
        assert con.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone() == (str(SCHEMA_VERSION),)
    assert tables.keys() == TABLES.keys()
    assert all(tables[name].startswith(table.comment) for name, table in TABLES.items())
    named = {(row[0], row[1]): row[3] for row in columns}
    assert named == {(t.name, c): column.comment for t in TABLES.values() for c, column in t.columns.items()}
    assert {row[2] for row in columns if row[1].endswith("_at") or row[1].endswith("time")} == {
        "TIMESTAMP WITH TIME ZONE"
    }
    assert {name: tuple(key) for name, key in keys} == {t.name: t.key for t in TABLES.values() if t.indexed}
    assert not {"raw_logs", "parsed_events", "event_matrix", "scores"} & {name for name, _ in keys}


def test_every_column_can_be_named_without_quotes(store: Store) -> None:
    label(store)
    with store.read() as con:
        for table in TABLES.values():
            con.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}").fetchall()
            assert set(table.key) <= set(table.columns)


def test_a_block_that_raises_is_rolled_back(store: Store) -> None:
    label(store, 1)
    with pytest.raises(ZeroDivisionError), store.write() as con:
        con.execute("INSERT INTO labels VALUES (2, 'normal', '')")
        _ = 1 / 0
    with pytest.raises(duckdb.ConstraintException), store.write() as con:
        con.execute("INSERT INTO labels VALUES (3, 'normal', '')")
        con.execute("INSERT INTO meta VALUES ('schema_version', '1')")
    label(store, 4)
    assert blocks(store) == [1, 4]


def test_read_cannot_write_and_times_are_utc(store: Store) -> None:
    label(store)
    with store.read() as con:
        assert con.execute("SELECT current_setting('TimeZone')").fetchone() == ("UTC",)
        with pytest.raises(duckdb.Error, match="read-only"):
            con.execute("DELETE FROM labels")


def test_nested_units(store: Store) -> None:
    label(store)
    with store.read() as outer, store.read() as inner:
        assert inner is outer
        with pytest.raises(RuntimeError, match="inside"), store.write():
            pass
    with store.write() as con:
        con.execute("DELETE FROM labels")
        assert blocks(store) == []  # a read inside a write sees what the write did so far
        with pytest.raises(RuntimeError, match="inside"), store.write():
            pass
    assert blocks(store) == []


def test_open_gives_one_store_per_home(tmp_path: Path) -> None:
    one, two = Store.open(load_settings(tmp_path)), Store.open(load_settings(tmp_path))
    assert one is two
    assert one.path == tmp_path.resolve() / "hdfs.duckdb"
    assert Store.open(load_settings(tmp_path / "other")) is not one


def test_threads_take_turns(store: Store) -> None:
    def work(first: int) -> None:
        for block in range(first, first + 10):
            label(store, block)
            assert block in blocks(store)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert len(blocks(store)) == 30


def test_readers_run_side_by_side_and_cannot_starve_a_writer(store: Store) -> None:
    label(store, 1)
    together, written = threading.Barrier(2), threading.Event()
    inside = [threading.Event(), threading.Event()]

    def read_on(me: int) -> None:
        """Read without a gap: leave only when the other one is inside, or cannot come in as the writer waits."""
        with store.read():
            together.wait(LIMIT_S)  # readers do not shut each other out
            inside[me].set()
            inside[1 - me].wait(LIMIT_S)
        while not written.is_set():
            with store.read():
                inside[me].set()
                inside[1 - me].clear()
                inside[1 - me].wait(0.2)

    readers = [threading.Thread(target=read_on, args=(me,)) for me in (0, 1)]
    for reader in readers:
        reader.start()
    for event in inside:
        assert event.wait(LIMIT_S)
    try:
        label(store, 2)
    finally:
        written.set()
        for reader in readers:
            reader.join(LIMIT_S)
    assert blocks(store) == [1, 2]


def test_a_forked_child_can_use_the_store_of_its_parent(store: Store) -> None:
    label(store, 1)
    child = multiprocessing.get_context("fork").Process(target=label, args=(store, 2))
    child.start()
    child.join(LIMIT_S)
    assert child.exitcode == 0
    label(store, 3)
    assert blocks(store) == [1, 2, 3]


def test_a_lock_does_not_outlive_its_unit_in_a_forked_child(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    end = context.Event()
    with store.write():
        child = context.Process(target=end.wait, args=(LIMIT_S,))
        child.start()
    try:
        label(impatient(store))
    finally:
        end.set()
        child.join(LIMIT_S)
    assert blocks(store) == [1]


def test_four_writers_and_a_reader_lose_nothing_and_double_nothing(store: Store) -> None:
    with store.write():
        pass
    writers = [start("count", store, 10) for _ in range(4)]
    reader = start("watch", store, 40)
    for process in [*writers, reader]:
        output, errors = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, errors
    assert output == "agreed\n"
    assert blocks(store) == list(range(40))
    with store.read() as con:
        assert offsets(con, "fight", **IDS) == {0: 40}
        per_writer = con.execute("SELECT count(*) FROM labels GROUP BY kind").fetchall()
    assert per_writer == [(10,)] * 4


@pytest.mark.parametrize("what", ["hold", "hold_reading", "hold_plain"])
def test_whoever_holds_the_store_past_the_deadline_is_named(store: Store, what: str) -> None:
    label(store)
    with holding(what, store) as pid:
        with pytest.raises(SetupError, match=rf"in use by process {pid} \(\S+ store_worker\.py\);") as caught:
            label(impatient(store), 2)
        assert "try again" in str(caught.value)
        assert "lock_timeout_s" in str(caught.value)
    assert blocks(store) == [1]


def test_a_lock_that_is_let_go_in_time_is_no_error(store: Store) -> None:
    label(store, 1)
    con = duckdb.connect(str(store.path))
    threading.Timer(0.1, con.close).start()
    label(store, 2)
    assert blocks(store) == [1, 2]


def test_a_result_left_open_by_this_program_is_said_so(store: Store) -> None:
    label(store)
    with store.read() as con:
        reader = con.sql("FROM labels").to_arrow_reader(1)
    with pytest.raises(SetupError, match=f"process {os.getpid()} .*That is this program"):
        label(impatient(store), 2)
    del reader


def test_a_killed_writer_leaves_the_old_rows_and_no_lock(store: Store) -> None:
    label(store, -1)
    with holding("hold", store):
        pass  # killed at the end, in the middle of its transaction
    assert blocks(impatient(store)) == [-1]
    label(impatient(store), -2)
    assert blocks(store) == [-2, -1]


def test_backup_holds_rows_of_the_write_ahead_log(store: Store, tmp_path: Path) -> None:
    label(store, 1)
    start("die_after_commit", store).communicate(timeout=LIMIT_S)
    assert Path(f"{store.path}.wal").stat().st_size > 0
    target = tmp_path / "backups" / "copy.duckdb"
    store.backup(target)
    assert os.listdir(target.parent) == ["copy.duckdb"]
    copy = Store(target)
    assert blocks(copy) == [1, 2]
    label(copy, 3)
    assert blocks(store) == [1, 2]
    with copy.read() as con:
        comments = con.execute("SELECT count(comment) FROM duckdb_columns() WHERE database_name = 'store'").fetchone()
    assert comments == (sum(len(table.columns) for table in TABLES.values()),)
    with pytest.raises(DataError, match="exists already"):
        store.backup(target)
    with pytest.raises(SetupError, match="folder"):
        store.backup(target / "below" / "a file")


def test_the_log_of_a_deleted_store_does_not_spoil_the_next(store: Store) -> None:
    label(store, 1)
    start("die_after_commit", store).communicate(timeout=LIMIT_S)
    store.path.unlink()
    label(store, 3)
    assert blocks(store) == [3]


def fill(store: Store) -> None:
    with store.write() as con:
        con.execute("INSERT INTO event_matrix VALUES (-5, '2008-11-09 20:35:18+00', NULL, 1.5, 2, 0, [1, 0, 3], '', 1)")
        con.execute("""INSERT INTO models VALUES ('blocks', 'd', 1, 'c', 0.5, 'p', '{"seed": 7}', now())""")


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_export(store: Store, tmp_path: Path, format: str) -> None:
    fill(store)
    for _ in range(2):  # the second replaces the first
        files = store.export(tmp_path / "out", format)
    assert sorted(os.listdir(tmp_path / "out")) == sorted(f"{name}.{format}" for name in TABLES)
    if format == "parquet":
        (row,) = pq.read_table(files["event_matrix"]).to_pylist()
        assert row["counts"] == [1, 0, 3]
        assert row["first_time"] == datetime(2008, 11, 9, 20, 35, 18, tzinfo=UTC)
    else:
        with files["event_matrix"].open(newline="") as text:
            (line,) = csv.DictReader(text)
        assert json.loads(line["counts"]) == [1, 0, 3]
        assert line["first_time"] == "2008-11-09 20:35:18+00"


def test_export_of_some_tables_and_of_what_is_not_there(store: Store, tmp_path: Path) -> None:
    fill(store)
    assert store.export(tmp_path, tables=["models"]) == {"models": tmp_path.resolve() / "models.parquet"}
    with pytest.raises(DataError, match="nothing"):
        store.export(tmp_path, tables=["nothing"])
    with pytest.raises(DataError, match="parquet, csv"):
        store.export(tmp_path, "xlsx")


def test_publish_replaces_several_tables_in_one_transaction(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "detector=x" / "it's.parquet"
    file.parent.mkdir()
    pq.write_table(pa.table({"records": pa.array([3, 4], pa.int32()), "item": ["blk_7", "blk_8"]}), file)
    labels = pa.table({"block_id": [7, 9], "label": ["normal", "anomaly"]})
    for _ in range(2):
        with store.write() as con:
            assert publish_into(con, "anomalies", [file], replace="true") == 2
            assert publish_into(con, "labels", labels, replace="block_id >= ?", parameters=[0]) == 2
            assert publish_into(con, "sources", pa.table({"source_id": [1]}), replace="source_id = 1") == 1
    with pytest.raises(duckdb.ConstraintException), store.write() as con:
        publish_into(con, "labels", [], replace="true")
        publish_into(con, "sources", pa.table({"source_id": [2, 2]}))
    assert blocks(store) == [7, 9]
    with store.read() as con:
        rows = con.execute("SELECT item, records, detector FROM anomalies ORDER BY 1").fetchall()
    assert rows == [("blk_7", 3, None), ("blk_8", 4, None)]


def refused(store: Store, pattern: str) -> None:
    for unit in (store.read, store.write):
        with pytest.raises(SetupError, match=pattern), unit():
            pass


@pytest.mark.parametrize("content", [b"", b"hello", b"garbage " * 5000])
def test_a_file_that_is_no_duckdb_database(store: Store, content: bytes) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(content)
    refused(store, "not a DuckDB database. Move it away")
    assert store.path.read_bytes() == content


def test_a_database_that_is_no_store(store: Store) -> None:
    store.path.parent.mkdir()
    with duckdb.connect(str(store.path)) as con:
        con.execute("CREATE TABLE meta (other INTEGER)")
    refused(store, "no hdfs-pipeline store")


def test_a_store_of_a_newer_schema(store: Store) -> None:
    with store.write() as con:
        con.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", [str(SCHEMA_VERSION + 1)])
    newer = SCHEMA_VERSION + 1
    refused(store, rf"made by a newer hdfs-pipeline \(schema {newer}, this one knows {SCHEMA_VERSION}\): upgrade")


def with_storage_version(content: bytearray, version: int) -> bytes:
    """A DuckDB file whose first block claims another storage version, with the checksum that belongs to it."""
    struct.pack_into("<Q", content, 12, version)
    checksum = 5381
    for (word,) in struct.iter_unpack("<Q", content[8:4096]):
        checksum ^= word * 0xBF58476D1CE4E5B9 % 2**64
    struct.pack_into("<Q", content, 0, checksum)
    return bytes(content)


@pytest.mark.parametrize("unit", ["read", "write"])
def test_a_store_of_an_older_schema_gets_its_new_tables(store: Store, unit: str) -> None:
    with store.write() as con:
        con.execute("DROP TABLE stream_gaps; UPDATE meta SET value = '1' WHERE key = 'schema_version'")
        con.execute("DROP TABLE offsets")
        columns = "topic VARCHAR, part INTEGER, next BIGINT, cluster_id VARCHAR, topic_id VARCHAR"
        con.execute(f"CREATE TABLE offsets ({columns}, PRIMARY KEY (topic, part))")
        con.execute("INSERT INTO offsets VALUES ('logs', 0, 5, 'c', 't')")
        con.execute("INSERT INTO labels VALUES (7, 'normal', NULL)")
    with getattr(store, unit)() as con:
        assert con.execute("SELECT count(*) FROM stream_gaps").fetchall() == [(0,)]
        assert con.execute("SELECT block_id FROM labels").fetchall() == [(7,)]
        found = con.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchall()
        assert found == [(str(SCHEMA_VERSION),)]
        assert offsets(con, "logs", **IDS) == {0: 5}
    with store.write() as con:  # the key knows lives now
        advance_offsets(con, "logs", {0: (None, 1)}, cluster_id="c", topic_id="made anew")


def test_a_file_of_a_newer_duckdb_and_a_damaged_one(store: Store) -> None:
    label(store)
    content = bytearray(store.path.read_bytes())
    store.path.write_bytes(with_storage_version(content, 10**6))
    refused(store, "made by a newer DuckDB")
    content[100] ^= 1
    store.path.write_bytes(content)
    refused(store, "damaged. Put the latest backup")


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="folder cannot be made.*choose another home|Choose another home"):
        label(Store(tmp_path / "file" / "home" / "hdfs.duckdb"))


def test_a_read_only_folder_can_be_read_but_not_written(store: Store) -> None:
    label(store)
    files = list(store.path.parent.iterdir())
    for file in [*files, store.path.parent]:
        file.chmod(0o555)
    try:
        if os.access(store.path, os.W_OK):
            pytest.skip("permissions do not bind this user (root)")
        assert blocks(store) == [1]
        with pytest.raises(SetupError, match="no permission"):
            label(store, 2)
    finally:
        store.path.parent.chmod(0o755)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own at `folder`; skips the test where none can be mounted."""
    folder.mkdir(parents=True)
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_read_only_disk_can_be_read_but_not_written(store: Store) -> None:
    with small_disk(store.path.parent, "10m"):
        label(store)
        subprocess.run(["mount", "-o", "remount,ro", str(store.path.parent)], check=True)
        assert blocks(store) == [1]
        with pytest.raises(SetupError, match="the disk is read-only"):
            label(store, 2)


def test_a_disk_that_fills_up_keeps_what_was_committed(store: Store) -> None:
    with small_disk(store.path.parent, "6m"):
        committed: list[int] = []
        with pytest.raises(SetupError, match="disk is full.*free some space"):
            while len(committed) < 100:
                batch = len(committed)
                with store.write() as con:
                    rows = "SELECT range::VARCHAR AS item, ? AS version, random() AS score FROM range(40000)"
                    con.execute(f"INSERT INTO scores BY NAME {rows}", [batch])
                committed.append(batch)
        with store.read() as con:
            rows = con.execute("SELECT version, count(*) FROM scores GROUP BY 1 ORDER BY 1").fetchall()
        assert rows == [(batch, 40000) for batch in committed]
        subprocess.run(["mount", "-o", "remount,size=20m", str(store.path.parent)], check=True)
        label(store, 1)
        assert blocks(store) == [1]


def test_a_disk_too_full_to_make_the_store(store: Store) -> None:
    with small_disk(store.path.parent, "100k"):
        with pytest.raises(SetupError, match="disk is full"):
            label(store)
        subprocess.run(["mount", "-o", "remount,size=20m", str(store.path.parent)], check=True)
        label(store, 1)
        assert blocks(store) == [1]


def test_a_file_that_may_not_grow(store: Store) -> None:
    label(store)
    output, errors = start("overflow", store, 2_000_000).communicate(timeout=LIMIT_S)
    assert output.startswith("SetupError") and "the disk is full" in output, errors
    label(store, 2)
    assert blocks(store) == [1, 2]


def test_too_little_memory_and_a_limit_that_is_none(store: Store) -> None:
    with pytest.raises(SetupError, match="memory_limit"):
        label(Store(store.path, memory_limit="plenty"))
    with pytest.raises(SetupError, match="memory_limit"):
        label(Store(store.path, memory_limit="3 apples"))
    with pytest.raises(SetupError, match="Raise the setting memory_limit"), store.write() as con:
        con.execute("SET memory_limit = '10MB'")
        con.execute("SELECT list(range) FROM range(100000000)").fetchall()


def test_another_topic_or_cluster_has_offsets_of_its_own(store: Store) -> None:
    with store.write() as con:
        advance_offsets(con, "logs", {0: (None, 10)}, **IDS)
    for ids in ({**IDS, "topic_id": "made anew"}, {**IDS, "cluster_id": "other"}):
        with pytest.raises(OffsetConflict, match="is none, not 10"), store.write() as con:
            advance_offsets(con, "logs", {0: (10, 20)}, **ids)
        with store.write() as con:
            advance_offsets(con, "logs", {0: (None, 3)}, **ids)
            assert offsets(con, "logs", **ids) == {0: 3}
    with pytest.raises(DataError, match="go back"), store.write() as con:
        advance_offsets(con, "logs", {0: (10, 9)}, **IDS)
    with store.read() as con:
        assert offsets(con, "logs", **IDS) == {0: 10}
        assert offsets(con, "other", **IDS) == {}


def test_all_partitions_move_together_or_none(store: Store) -> None:
    with store.write() as con:
        advance_offsets(con, "logs", {part: (None, part) for part in range(50)}, **IDS)
    with store.write() as con:
        advance_offsets(con, "logs", {part: (part, 100 + part) for part in range(0, 50, 2)} | {50: (None, 7)}, **IDS)
    for moves in ({0: (100, 200), 1: (9, 300)}, {0: (100, 200), 51: (5, 6)}, {0: (100, 200), 50: (None, 9)}):
        with pytest.raises(OffsetConflict), store.write() as con:
            advance_offsets(con, "logs", moves, **IDS)
    expected = {part: part if part % 2 else 100 + part for part in range(50)} | {50: 7}
    with store.read() as con:
        assert offsets(con, "logs", **IDS) == expected


def test_the_lives_of_a_topic_are_numbered(store: Store) -> None:
    anew = {**IDS, "topic_id": "made anew"}
    for topic in ("logs", "other"):
        for number, ids in ((1, IDS), (2, anew), (1, IDS)):
            with store.write() as con:
                assert find_epoch(con, topic, **ids)[0] == number
                begin_epoch(con, topic, number, **ids)
                assert find_epoch(con, topic, **ids) == (number, True)
    with pytest.raises(OffsetConflict, match="another worker began it"), store.write() as con:
        begin_epoch(con, "logs", 1, **anew)


STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 1), st.none() | st.integers(0, 3), st.integers(0, 2)), max_size=8
)


@settings(max_examples=15, deadline=None)
@given(STEPS)
def test_fenced_offsets_behave_like_a_dictionary(steps: list[tuple[str, int, int | None, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "hdfs.duckdb")
        model: dict[tuple[str, int], int] = {}
        accepted = []
        for number, (topic, part, expected, more) in enumerate(steps):
            try:
                with store.write() as con:
                    con.execute("INSERT INTO labels VALUES (?, 'normal', '')", [number])
                    advance_offsets(con, topic, {part: (expected, (expected or 0) + more)}, **IDS)
            except OffsetConflict:
                assert model.get((topic, part)) != expected
            else:
                assert model.get((topic, part)) == expected
                model[topic, part] = (expected or 0) + more
                accepted.append(number)
        with store.write() as con:
            known = {(topic, part): at for topic in "ab" for part, at in offsets(con, topic, **IDS).items()}
        assert known == model
        assert blocks(store) == accepted

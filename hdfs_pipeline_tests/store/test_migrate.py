"""Homes of older releases: a committed one of schema 3 is brought up to date, once, and kept beside the new one."""

import hashlib
import inspect
import json
import linecache
import logging
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import pytest

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline.store import store as store_module
from hdfs_pipeline.store.keys import incident_id
from hdfs_pipeline.store.migration import models as models_module
from hdfs_pipeline.store.migration import tables as tables_module
from hdfs_pipeline.store.migration.models import migrate_models
from hdfs_pipeline.store.schema import SCHEMA_VERSION, TABLES, Column, Table
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.old_home import unpack

LIMIT_S = 60
NAMENODE = "nn.example:9870"
SINCE_2 = ("feedback", "backtests", "backtest_blocks")
"""Tables that came with schema 3."""
SINCE_1 = (
    *("aggregated_events", "hdfs_logs", "stream_anomalies", "stream_gaps", "stream_epochs", "namenode_metrics"),
    *("namenode_raw", "namenode_collectors", "namenode_scores", "namenode_incidents", "namenode_marks"),
)
"""Tables that came with schema 2."""
Rows = list[tuple[Any, ...]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return unpack(tmp_path)


def plain(path: Path, sql: str) -> Rows:
    """Rows of a database that no store has opened."""
    with duckdb.connect(str(path), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        return con.execute(sql).fetchall()


def rows(home: Path, sql: str) -> Rows:
    """Rows of the home's store, which is brought up to date by that."""
    with Store(home / "hdfs.duckdb", lock_timeout_s=LIMIT_S).read() as con:
        return con.execute(sql).fetchall()


def counts(path: Path) -> dict[str, int]:
    """Rows of each table of a database that no store has opened."""
    with duckdb.connect(str(path), read_only=True) as con:
        tables = [row[0] for row in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {name: con.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in tables}


def version_of(path: Path) -> str:
    return str(plain(path, "SELECT value FROM meta WHERE key = 'schema_version'")[0][0])


def backups(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir() if ".backup" in path.name)


def versions_of_tables(home: Path, version: int) -> None:
    """Make the store one of an earlier schema: versions before 4 only added tables."""
    gone = {3: (), 2: SINCE_2, 1: (*SINCE_2, *SINCE_1)}[version]
    with duckdb.connect(str(home / "hdfs.duckdb")) as con:
        for name in gone:
            con.execute(f"DROP TABLE {name}")
        con.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", [str(version)])


@pytest.mark.parametrize("unit", ["read", "write"])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_row_of_an_older_store_is_there_afterwards(home: Path, version: int, unit: str) -> None:
    path = home / "hdfs.duckdb"
    versions_of_tables(home, version)
    before = counts(path)
    with getattr(Store(path), unit)() as con:
        now = dict(con.execute("SELECT table_name, estimated_size FROM duckdb_tables()").fetchall())
        now |= con.execute("SELECT 'parsed_events', count(*) FROM parsed_events").fetchall()  # a view since schema 8
        moved = {
            "scores": before["scores"] + before.get("namenode_scores", 0),
            "anomalies": before["anomalies"] + before.get("stream_anomalies", 0),
            "incidents": before.get("namenode_incidents", 0),
            "feedback": before.get("feedback", 0) + before.get("namenode_marks", 0),
            "backtest_items": before.get("backtest_blocks", 0),
            "meta": before["meta"] + 1,
        }
        assert now == dict.fromkeys(TABLES, 0) | {name: before[name] for name in before if name in TABLES} | moved
    assert backups(home) == [f"hdfs.duckdb.schema{version}.backup"]
    assert before["scores"] == 168 and (version < 3) == ("feedback" not in before)


def test_a_store_of_schema_4_gets_the_columns_that_came_later(tmp_path: Path) -> None:
    """And keeps its rows; nobody knows what of an older block's life the logs do not show."""
    path = tmp_path / "hdfs.duckdb"
    with Store(path).write() as con:
        con.execute("INSERT INTO event_matrix VALUES (7, now(), now(), 0, 1, 0, [1], 'end missing', 3)")
    later = {
        "event_matrix": ["unfinished", "revision"],
        "scores": ["unfinished"],
        "anomalies": ["host", "path", "unfinished"],
    }
    with duckdb.connect(str(path)) as con:
        for table, columns in later.items():
            for column in columns:
                con.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        con.execute("UPDATE meta SET value = '4' WHERE key = 'schema_version'")
    assert rows(tmp_path, "SELECT block_id, unfinished FROM event_matrix") == [(7, None)]
    assert backups(tmp_path) == ["hdfs.duckdb.schema4.backup"]
    for table, columns in later.items():
        found = plain(path, f"SELECT column_name, comment FROM duckdb_columns() WHERE table_name = '{table}'")
        assert dict(found) == {name: column.comment for name, column in TABLES[table].columns.items()}
        assert [name for name, _ in found][-len(columns) :] == columns


def test_the_committed_home_has_something_in_every_table_that_moves(home: Path) -> None:
    before = counts(home / "hdfs.duckdb")
    gone = ("stream_anomalies", "backtest_blocks", "namenode_scores", "namenode_incidents", "namenode_marks")
    assert all(
        before[name] for name in ("feedback", "models", "evaluations", "scores", "anomalies", "backtests", *gone)
    )
    assert all(before[name] for name in ("offsets", "aggregated_events", "raw_logs", "event_matrix", "labels"))


def test_a_migrated_store_is_declared_as_a_new_one(home: Path, tmp_path: Path) -> None:
    declared = """SELECT table_name, column_name, column_index, data_type, comment, is_nullable FROM duckdb_columns()
        WHERE database_name = 'store' UNION ALL SELECT table_name, comment, 0, constraint_text, '', false
        FROM duckdb_tables() LEFT JOIN (SELECT table_name, constraint_text FROM duckdb_constraints()
        WHERE constraint_type = 'PRIMARY KEY') USING (table_name) ORDER BY ALL"""
    with Store(tmp_path / "new.duckdb").write() as con:
        fresh = con.execute(declared).fetchall()
    assert rows(home, declared) == fresh
    assert rows(home, "FROM meta WHERE key IN ('schema_version', 'tables') ORDER BY key") == [
        ("schema_version", str(SCHEMA_VERSION)),
        ("tables", " ".join(TABLES)),
    ]


def test_scores_of_blocks_and_of_windows_lie_in_one_table(home: Path) -> None:
    path = home / "hdfs.duckdb"
    facts = "detector, version, score, threshold, is_anomaly, scored_at"
    blocks = plain(
        path,
        f"""SELECT 'blk_' || block_id AS item, first_time, {facts} FROM scores JOIN event_matrix USING (block_id)
        ORDER BY item, detector""",
    )
    windows = plain(path, f"SELECT step_at, {facts} FROM namenode_scores ORDER BY detector, step_at")
    assert (
        rows(home, f"SELECT item, time, {facts} FROM scores WHERE domain = 'blocks' ORDER BY item, detector") == blocks
    )
    moved = rows(home, f"SELECT item, time, {facts} FROM scores WHERE domain = 'namenode' ORDER BY detector, time")
    assert [row[1:] for row in moved] == windows
    for item, time, *_ in moved:
        assert item == f"{NAMENODE} {time.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}"
    assert rows(home, "SELECT DISTINCT domain, entity FROM scores ORDER BY ALL") == [
        ("blocks", ""),
        ("namenode", NAMENODE),
    ]
    assert rows(home, "SELECT count(*), count(DISTINCT (domain, item, detector)) FROM scores") == [(1308, 1308)]


def test_anomalies_of_batch_and_stream_lie_in_one_table_with_their_origin(home: Path) -> None:
    path = home / "hdfs.duckdb"
    facts = "detector, version, score, threshold, reason, explanation, first_time, last_time"
    batch = plain(
        path,
        f"""SELECT 'blk_' || block_id AS item, {facts}, lines, scored_at FROM anomalies
        JOIN (SELECT block_id, detector, scored_at FROM scores) USING (block_id, detector) ORDER BY item, detector""",
    )
    places = "origin, status, part, first_offset, last_offset, closed_by, scored_at, epoch, position"
    stream = plain(path, f"SELECT 'blk_' || block_id, {facts}, lines, {places} FROM stream_anomalies ORDER BY position")
    moved = rows(
        home, f"SELECT item, {facts}, records, scored_at FROM anomalies WHERE origin = 'batch' ORDER BY item, detector"
    )
    assert moved == batch
    moved = rows(
        home, f"SELECT item, {facts}, records, {places} FROM anomalies WHERE origin <> 'batch' ORDER BY position"
    )
    assert moved == stream
    assert {row[11] for row in moved} == {"final", "provisional", "withdrawn"}
    own = "SELECT DISTINCT domain, entity, kind, status, part, first_offset, last_offset, closed_by, epoch, position"
    assert rows(home, f"{own} FROM anomalies WHERE origin = 'batch'") == [
        ("blocks", "", "", "final", -1, -1, -1, None, None, None)
    ]
    key = "(domain, item, detector, origin, part, first_offset)"
    assert rows(home, f"SELECT count(*) - count(DISTINCT {key}) FROM anomalies") == [(0,)]


def test_marks_and_verdicts_are_feedback(home: Path) -> None:
    path = home / "hdfs.duckdb"
    facts = "verdict, note, given_by, given_at, detector, version, score, was_anomaly"
    verdicts = plain(path, f"SELECT 'blk_' || block_id, {facts} FROM feedback ORDER BY given_at")
    marks = plain(path, "SELECT namenode, from_at, to_at, kind, note, made_at FROM namenode_marks ORDER BY from_at")
    moved = rows(home, f"SELECT item, {facts} FROM feedback WHERE domain = 'blocks' ORDER BY given_at")
    assert moved == verdicts
    assert [row[1] for row in moved] == ["real", "false", "expected"]
    stretches = "SELECT entity, from_at, to_at, verdict, note, given_at FROM feedback WHERE domain = 'namenode'"
    moved = rows(home, f"{stretches} ORDER BY from_at")
    assert moved == marks
    assert [row[3] for row in moved] == ["maintenance", "false"]
    assert rows(home, "SELECT DISTINCT domain, item = '', entity = '', from_at IS NULL FROM feedback ORDER BY ALL") == [
        ("blocks", False, True, True),
        ("namenode", True, False, False),
    ]


def test_incidents_have_an_id_and_details(home: Path) -> None:
    path = home / "hdfs.duckdb"
    facts = "started_at, ended_at, peak_at, opened_at, duration_s, status, severity, evidence, detectors"
    before = plain(path, f"SELECT {facts}, cause, metrics, users FROM namenode_incidents ORDER BY started_at")
    moved = rows(home, f"SELECT {facts}, kind, details, id, items FROM incidents ORDER BY started_at")
    new = {"ongoing": "open", "maintenance": "suppressed", "false": "suppressed"}
    assert [row[:10] for row in moved] == [(*row[:5], new.get(row[5], row[5]), *row[6:10]) for row in before]
    for (*_, details, identity, items), (started, ended, *_, metrics, users) in zip(moved, before, strict=True):
        assert json.loads(details) == {"metrics": json.loads(metrics), "users": json.loads(users)}
        assert identity == incident_id("namenode", NAMENODE, "", started.timestamp())
        assert 2 <= items <= (ended - started).total_seconds() / 10 + 1.5
    assert {row[5] for row in moved} == {"suppressed", "resolved"}
    assert rows(home, "SELECT DISTINCT domain, entity FROM incidents") == [("namenode", NAMENODE)]


def test_an_incident_keeps_its_id(home: Path) -> None:
    assert incident_id("namenode", NAMENODE, "", 1795234033.364) == "9a7cb255e39601d0"
    others = [("namenode", NAMENODE, "", 1795234033.365), ("namenode", NAMENODE, "slow", 1795234033.364)]
    others += [("namenode", "nn", "", 1795234033.364), ("blocks", NAMENODE, "", 1795234033.364)]
    assert len({incident_id(*other) for other in others} | {"9a7cb255e39601d0"}) == 5


def words(value: Any) -> Iterator[str]:
    """The keys of JSON objects, at any depth."""
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from words(inner)


def test_models_and_evaluations_are_their_domains(home: Path) -> None:
    path = home / "hdfs.duckdb"
    before = plain(path, "SELECT detector, version, catalogue, threshold, path, card, created_at FROM models")
    moved = rows(home, "SELECT domain, detector, version, source, threshold, path, card, created_at FROM models")
    by_name = {(row[0], row[1], row[2]): row[3:] for row in moved}
    assert len(by_name) == len(before) == 11
    for name, version, catalogue, threshold, folder, card, created in before:
        domain = "namenode" if name.startswith("namenode_") else "blocks"
        detector = name.removeprefix("namenode_")
        now = by_name[domain, detector, version]
        assert (now[1], now[4]) == (threshold, created)
        assert now[2] == folder.replace(f"/models/{name}/", f"/models/{domain}/{detector}/") != folder
        assert now[0] == ("" if domain == "namenode" else catalogue)
        old, new = json.loads(card), json.loads(now[3])
        assert (new["domain"], new["detector"], new["version"]) == (domain, detector, version)
        assert new["items"] == old["steps" if domain == "namenode" else "blocks"]
        assert not {"blocks", "block_id", "steps"} & set(words(new))
        same = {"threshold", "rule", "seed", "params", "columns", "fingerprint", "created_at", "libraries", "files"}
        assert {key: new[key] for key in same} == {key: old[key] for key in same}
    evaluated = "SELECT detector, version, split, created_at, metrics FROM evaluations ORDER BY ALL"
    for old, new in zip(
        plain(path.with_name("hdfs.duckdb.schema3.backup"), evaluated), rows(home, evaluated), strict=True
    ):
        assert new[:4] == old[:4]
        figures, kept = json.loads(new[4]), json.loads(old[4])
        assert figures["items"] == kept["blocks"]
        assert figures["unseen"].get("items") == kept["unseen"].get("blocks")
        assert figures["f1"] == kept["f1"] and "blocks" not in set(words(figures))
    assert rows(home, "SELECT DISTINCT domain FROM evaluations") == [("blocks",)]


def test_backtests_name_items(home: Path) -> None:
    path = home / "hdfs.duckdb"
    before = plain(path, "SELECT trial, day, blocks, * EXCLUDE (trial, day, blocks) FROM backtests ORDER BY ALL")
    changed = plain(path, "SELECT 'blk_' || block_id AS item, * EXCLUDE (block_id) FROM backtest_blocks ORDER BY ALL")
    rest = "EXCLUDE (domain, trial, day, items)"
    assert rows(home, f"SELECT trial, day, items, * {rest} FROM backtests ORDER BY ALL") == before
    assert rows(home, "SELECT item, * EXCLUDE (domain, item) FROM backtest_items ORDER BY ALL") == changed
    assert rows(home, "SELECT DISTINCT domain FROM backtests UNION SELECT domain FROM backtest_items") == [("blocks",)]


def test_what_was_is_kept_and_the_second_start_does_nothing(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, kept = home / "hdfs.duckdb", home / "hdfs.duckdb.schema3.backup"
    before, scores = counts(path), plain(path, "FROM scores ORDER BY ALL")
    with caplog.at_level(logging.WARNING, "hdfs_pipeline.store"):
        rows(home, "FROM scores")
    (record,) = caplog.records
    for word in (str(path), "schema 3", f"schema {SCHEMA_VERSION}", str(kept), "To go back"):
        assert word in record.getMessage()
    assert counts(kept) == before
    assert plain(kept, "FROM scores ORDER BY ALL") == scores
    assert version_of(kept) == "3"
    state = (path.stat().st_size, path.stat().st_mtime_ns, os.listdir(home))
    rows(home, "FROM scores")
    assert (path.stat().st_size, path.stat().st_mtime_ns, os.listdir(home)) == state
    assert len(caplog.records) == 1


def test_a_copy_that_is_there_is_not_written_over(home: Path) -> None:
    first = home / "hdfs.duckdb.schema3.backup"
    for name in (first, home / "hdfs.duckdb.schema3.backup.2"):
        name.write_text("of another time")
    rows(home, "FROM scores")
    assert backups(home) == [first.name, f"{first.name}.2", f"{first.name}.3"]
    assert first.read_text() == "of another time"


def test_a_migration_that_fails_changes_nothing_and_leaves_no_copy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home / "hdfs.duckdb"
    before = counts(path)
    with monkeypatch.context() as patch:
        patch.setitem(tables_module._MOVES, "stream_anomalies", lambda con: con.execute("SELECT nothing"))
        with pytest.raises(duckdb.Error, match="nothing"):
            rows(home, "FROM scores")
    assert version_of(path) == "3" and counts(path) == before and backups(home) == []
    assert rows(home, "SELECT count(*) FROM scores") == [(1308,)]


def test_a_domain_that_came_since_gets_its_tables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(home, "FROM scores")
    toy = Table("toy_readings", "What sensors said.", {"sensor": Column("VARCHAR", "Its name.")}, ("sensor",))
    monkeypatch.setitem(TABLES, toy.name, toy)
    assert rows(home, "SELECT comment FROM duckdb_tables() WHERE table_name = 'toy_readings'") == [
        ("What sensors said. Key, not enforced: sensor.",)
    ]
    monkeypatch.delitem(TABLES, toy.name)
    assert rows(home, "FROM toy_readings") == []  # a release without the domain leaves its tables alone
    assert backups(home) == ["hdfs.duckdb.schema3.backup"]


def test_a_column_that_came_since_is_added_and_empty(home: Path) -> None:
    rows(home, "FROM scores")
    with duckdb.connect(str(home / "hdfs.duckdb")) as con:
        con.execute("ALTER TABLE stream_gaps DROP COLUMN reason")
        con.execute("INSERT INTO stream_gaps VALUES ('raw_logs', 0, 5, 9, now(), 1)")
        con.execute("UPDATE meta SET value = '4' WHERE key = 'schema_version'")
    assert rows(home, "SELECT topic, from_offset, reason FROM stream_gaps WHERE to_offset = 9") == [
        ("raw_logs", 5, None)
    ]
    assert version_of(home / "hdfs.duckdb") == str(SCHEMA_VERSION)


START = """
import sys
from pathlib import Path
from hdfs_pipeline.store.migration.models import migrate_models
from hdfs_pipeline.store.store import Store
home = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
migrate_models(home / "models")
with Store(home / "hdfs.duckdb", lock_timeout_s=60).read() as con:
    print(con.execute("SELECT count(*) FROM scores").fetchall()[0][0], len(list((home / "models").glob("*/*/0*"))))
"""


def test_of_two_processes_at_once_one_migrates_and_the_other_waits(home: Path) -> None:
    command = [sys.executable, "-c", START, str(home)]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    processes = [subprocess.Popen(command, text=True, env=environment, **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=LIMIT_S) for process in processes]
    assert [answer[0] for answer in answers] == ["1308 11\n"] * 2, answers
    warnings = "".join(answer[1] for answer in answers)
    assert warnings.count(f"(schema {SCHEMA_VERSION})") == warnings.count("was laid out by") == 1
    assert backups(home) == ["hdfs.duckdb.schema3.backup", "models.schema3.backup"]


@contextmanager
def read_only(folder: Path, fill: Callable[[Path], None]) -> Iterator[Path]:
    """What `fill` puts onto a disk of its own, which can only be read from then on."""
    folder.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a disk")
    if subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        fill(folder)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_an_old_home_on_a_read_only_disk_is_refused_with_the_reason(tmp_path: Path) -> None:
    reason = "older release and must be brought up to date once, which failed: .*disk is read-only"

    def fill(folder: Path) -> None:
        for name in ("lock", "gate"):
            (unpack(folder) / f"hdfs.duckdb.{name}").touch()  # it was used before

    with read_only(tmp_path / "disk", fill) as disk:
        with pytest.raises(SetupError, match=reason):
            rows(disk / "old_home", "FROM scores")
        with pytest.raises(SetupError, match=reason):
            migrate_models(disk / "old_home" / "models")
        assert version_of(disk / "old_home" / "hdfs.duckdb") == "3"


def test_a_migrated_home_on_a_read_only_disk_can_be_read(tmp_path: Path) -> None:
    home = unpack(tmp_path)
    rows(home, "FROM scores")
    migrate_models(home / "models")
    (home / "models" / ".layout").unlink()  # even where no release could leave its mark
    with read_only(tmp_path / "disk", lambda folder: shutil.move(home, folder)) as disk:
        assert rows(disk / "old_home", "SELECT count(*) FROM scores") == [(1308,)]
        migrate_models(disk / "old_home" / "models")


def tree(folder: Path) -> dict[str, str]:
    """Path and content of every file, but for locks."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_models_lie_by_domain_with_a_card_and_a_pointer_each(home: Path) -> None:
    models = home / "models"
    before = tree(models)
    migrate_models(models)
    kept = home / "models.schema3.backup"
    assert tree(kept) == before
    expected = {"blocks/best.json", ".layout"}
    for path in map(Path, before):
        domain, name = (
            ("namenode", path.parts[0][9:]) if path.parts[0].startswith("namenode_") else ("blocks", path.parts[0])
        )
        if len(path.parts) > 1:
            now = {"champion.json": ("champion", "served.jsonl")}.get(path.name, (path.name,))
            expected |= {str(Path(domain, name, *path.parts[1:-1], last)) for last in now}
    moved = tree(models)
    assert moved.keys() == expected
    assert len([path for path in moved if path.endswith("card.json")]) == 11
    for card_path in models.glob("*/*/*/card.json"):
        card = json.loads(card_path.read_text())
        assert (card["domain"], card["detector"], f"{card['version']:04d}") == card_path.parts[-4:-1]
        for name, digest in card["files"].items():
            assert moved[str(card_path.with_name(name).relative_to(models))] == digest
            assert card_path.with_name(name).stat().st_nlink == 2
        assert card_path.stat().st_nlink == 1
    # Whatever is written from now on, the old folder stays as it was.
    for path in models.rglob("*"):
        if path.name in ("served.jsonl", "champion", "best.json", "card.json"):
            path.write_text("changed")
    assert tree(kept) == before


def test_cards_say_of_both_domains_the_same(home: Path) -> None:
    from hdfs_pipeline.store.migration.cards import new_card

    old = json.loads((home / "models" / "namenode_lstm_autoencoder" / "0002" / "card.json").read_text())
    migrate_models(home / "models")
    new = json.loads((home / "models" / "namenode" / "lstm_autoencoder" / "0002" / "card.json").read_text())
    facts = ("namenode", "role", "trained_from", "trained_to", "left_out", "findings", "facts", "users", "seconds")
    assert new.pop("facts") == {name: old.pop(name) for name in facts}
    own = {"domain": "namenode", "family": "series", "source": "namenode_metrics", "anomalies": None}
    assert {key: new[key] for key in own} == own and new["items"] == old.pop("steps")
    assert {key: value for key, value in new.items() if key not in own and key != "items"} == old
    card = json.loads((home / "models" / "blocks" / "random_forest" / "0003" / "card.json").read_text())
    assert (card["domain"], card["facts"]) == ("blocks", {})
    assert (card["judgement"]["items"], card["judgement"]["policy"]["min_blocks"]) == (10, 4)
    assert card["feedback"]["verdicts"] == 3
    old_text = json.dumps({"blocks": 1, "params": {"blocks": 2}, "feedback": {"disagrees": [{"block_id": "blk_1"}]}})
    assert json.loads(new_card("sgd", old_text)) == {
        "domain": "blocks",
        "items": 1,
        "params": {"blocks": 2},
        "feedback": {"disagrees": [{"item": "blk_1"}]},
        "facts": {},
    }
    for damaged in ("", "{", "[]", '{"version": 1}'):
        assert new_card("sgd", damaged) == new_card("namenode_deviation", damaged) == damaged


def test_pointers_and_history_stay(home: Path) -> None:
    models = home / "models"
    kept = {name: (models / "random_forest" / name).read_text() for name in ("champion", "served.jsonl")}
    (models / "namenode_deviation" / "champion.json").write_text('{"version": 1, "before": [2, 7]}')
    (models / "namenode_pca_residual" / "champion.json").write_text('{"version"')
    best = json.loads((models / "best.json").read_text())
    migrate_models(models)
    assert {name: (models / "blocks" / "random_forest" / name).read_text() for name in kept} == kept
    assert kept["champion"] == "1" and kept["served.jsonl"].count("\n") == 5
    served = (models / "namenode" / "lstm_autoencoder" / "served.jsonl").read_text()
    assert [json.loads(line) for line in served.splitlines()] == [
        {"version": 1, "at": "2026-11-29T14:13:01+00:00", "back": False},
        {"version": 2, "at": "2026-11-29T14:13:02+00:00", "back": False},
    ]
    assert served.endswith("\n")
    assert (models / "namenode" / "lstm_autoencoder" / "champion").read_text() == "2"
    served = (models / "namenode" / "deviation" / "served.jsonl").read_text()
    assert [(line["version"], bool(line["at"])) for line in map(json.loads, served.splitlines())] == [
        *((2, True), (7, False), (1, True))
    ]
    assert (models / "namenode" / "deviation" / "champion").read_text() == "1"
    assert not (models / "namenode" / "pca_residual" / "champion").exists()  # nothing said which one served
    now = json.loads((models / "blocks" / "best.json").read_text())
    assert now == {"items" if key == "blocks" else key: value for key, value in best.items()}


def test_what_is_no_model_stays_where_it_is(home: Path) -> None:
    models = home / "models"
    (models / "notes.txt").write_text("ours")
    (models / "drafts").mkdir()
    (models / "drafts" / "one.txt").write_text("a draft")
    (models / "exact_match" / "0001" / "card.json").write_text("{ damaged")
    (models / "exact_match" / ".staging.x").mkdir()  # of a training that was killed
    migrate_models(models)
    assert (models / "notes.txt").read_text() == "ours"
    assert (models / "drafts" / "one.txt").read_text() == "a draft"
    assert (models / "blocks" / "exact_match" / "0001" / "card.json").read_text() == "{ damaged"
    assert not list(models.rglob(".staging*"))


def test_where_there_is_nothing_to_do_one_look_tells(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.WARNING, "hdfs_pipeline.store"):
        migrate_models(home / "models")
    assert "models.schema3.backup" in caplog.text and len(caplog.records) == 1
    migrate_models(tmp_path / "new" / "models")
    assert not (tmp_path / "new").exists()
    (tmp_path / "new" / "models" / "blocks" / "sgd" / "0001").mkdir(parents=True)
    migrate_models(tmp_path / "new" / "models")
    assert os.listdir(tmp_path / "new") == ["models"]
    for name in ("is_dir", "iterdir", "resolve"):
        monkeypatch.setattr(Path, name, None)
    migrate_models(home / "models")
    migrate_models(tmp_path / "new" / "models")
    assert len(caplog.records) == 1


def test_a_models_folder_elsewhere_is_migrated_where_it_lies(home: Path, tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (home / "models").rename(tmp_path / "big" / "models")
    (home / "models").symlink_to(tmp_path / "big" / "models")
    migrate_models(home / "models")
    assert (home / "models").is_symlink() and (home / "models" / "blocks" / "keywords" / "champion").exists()
    assert backups(tmp_path / "big") == ["models.schema3.backup"]


Line = tuple[str, int]


def lines_of(files: set[str], work: Callable[[], None], stop: Callable[[Line], None]) -> None:
    """Do something, and call `stop` at each line of some files the first time that it is reached."""
    seen: set[Line] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        line = (frame.f_code.co_filename, frame.f_lineno)
        if line[0] not in files:
            return None
        if event == "line" and line not in seen:
            seen.add(line)
            stop(line)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)


def killed(files: set[str], work: Callable[[], None], at: Line) -> None:
    """Do something in another process, which is killed as it reaches a line."""

    def stop(line: Line) -> None:
        if line == at:
            os.kill(os.getpid(), 9)

    process = multiprocessing.get_context("fork").Process(target=lines_of, args=(files, work, stop))
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == -9, at


def some_of(lines: list[Line], most: int) -> list[Line]:
    """Some of the lines, drawn at random, in order; the seed is printed."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return sorted(random.Random(seed).sample(lines, min(most, len(lines))), key=lines.index)


SOME_OR_ALL = ("most", [8, pytest.param(1000, marks=pytest.mark.faults)])


@pytest.mark.parametrize(*SOME_OR_ALL)
def test_models_whose_migration_was_killed_are_finished(tmp_path: Path, most: int) -> None:
    files = {models_module.__file__}
    lines: list[Line] = []
    work = unpack(tmp_path / "whole") / "models"
    before = tree(work)
    lines_of(files, lambda: migrate_models(work), lines.append)
    after = tree(work)
    end = next(
        at for at, (_, line) in enumerate(lines) if "rename(backup)" in linecache.getline(models_module.__file__, line)
    )
    for at in [*some_of(lines[:end], most), *lines[end:]]:
        home = unpack(tmp_path / "killed")
        models = home / "models"
        killed(files, lambda models=models: migrate_models(models), at)  # type: ignore[misc]
        assert not models.exists() or tree(models) in (before, after), at
        migrate_models(models)
        assert tree(models) == after, at
        assert backups(home) == ["models.schema3.backup"]
        assert tree(home / "models.schema3.backup") == before
        kept = {".models.migration.lock", "hdfs.duckdb", "models", "models.schema3.backup"}
        assert set(os.listdir(home)) == kept, at
        shutil.rmtree(home)


@pytest.mark.parametrize(*SOME_OR_ALL)
def test_a_store_whose_migration_was_killed_is_finished(tmp_path: Path, most: int) -> None:
    files = {store_module.__file__, tables_module.__file__}
    lines: list[Line] = []
    whole = unpack(tmp_path / "whole")
    before = counts(whole / "hdfs.duckdb")
    scores = plain(whole / "hdfs.duckdb", "FROM scores ORDER BY ALL")

    def work(home: Path) -> None:
        with Store(home / "hdfs.duckdb").write():
            pass

    lines_of(files, lambda: work(whole), lines.append)
    after = counts(whole / "hdfs.duckdb")
    source, start = inspect.getsourcelines(store_module.Store._upgrade)
    own = {(store_module.__file__, start + at) for at in range(len(source))}
    first = next(at for at, line in enumerate(lines) if line in own)
    for at in some_of(lines[first:], most // 2):
        home = unpack(tmp_path / "killed")
        path = home / "hdfs.duckdb"
        killed(files, lambda home=home: work(home), at)  # type: ignore[misc]
        version = version_of(path)
        assert counts(path) == {"3": before, str(SCHEMA_VERSION): after}[version], at
        work(home)
        assert counts(path) == after, at
        assert 1 <= len(backups(home)) <= 2 and not list(home.glob(".*partial*"))
        for name in backups(home):
            assert plain(home / name, "FROM scores ORDER BY ALL") == scores
        shutil.rmtree(home)

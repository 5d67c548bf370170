"""What the store takes and keeps, and who is polled."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hdfs_pipeline.domains.namenode.raw import forget_raw
from hdfs_pipeline.domains.namenode.watch import forget_state
from hdfs_pipeline.store.experiments import left_running
from hdfs_pipeline.store.schema import SCHEMA_VERSION, TABLES
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.housekeeping import collectors_of, prune, store_facts
from hdfs_pipeline_tests.homes import Home

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.fixture
def polled(home: Home) -> Home:
    """A home with polls of forty days, one every twelve hours, and documents of five days."""
    with home.store.write() as con:
        con.execute(
            """INSERT INTO hdfs_state BY NAME SELECT 'nn1:9870' AS namenode,
            $1::TIMESTAMPTZ - to_hours(12 * n) AS polled_at FROM range(80) t(n)""",
            [NOW],
        )
        con.execute(
            """INSERT INTO namenode_raw BY NAME SELECT 'nn1:9870' AS namenode, polled_at,
            if(n % 2 = 0, polled_at - INTERVAL 30 MINUTE, NULL) AS base, 10 AS bytes, 'x'::BLOB AS document
            FROM (SELECT n, $1::TIMESTAMPTZ - to_hours(n) AS polled_at FROM range(120) t(n))""",
            [NOW],
        )
        con.execute(
            """INSERT INTO namenode_collectors BY NAME SELECT * FROM (VALUES
            ('nn1:9870', $1::TIMESTAMPTZ, $1::TIMESTAMPTZ, 'active', '', 'a bean is missing'),
            ('nn2:9870', $1, $1 - INTERVAL 1 HOUR, 'standby', 'connection refused', ''))
            t(namenode, polled_at, sampled_at, "role", error, note)""",
            [NOW],
        )
        con.execute(
            """INSERT INTO datanode_metrics SELECT * FROM (VALUES
            ('10.0.0.1:9866', $1::TIMESTAMPTZ, MAP {'xceivers': 3.0}, ''),
            ('10.0.0.2:9866', $1 - INTERVAL 1 HOUR, MAP {'xceivers': 3.0}, ''),
            ('10.0.0.2:9866', $1, MAP([], []), 'timed out'),
            ('10.0.0.9:9866', $1 - INTERVAL 3 DAY, MAP {'xceivers': 3.0}, ''))""",
            [NOW],
        )
        con.execute(
            """INSERT INTO datanode_state BY NAME SELECT 'nn1:9870' AS namenode, '10.0.0.2:9866' AS entity,
            $1::TIMESTAMPTZ AS polled_at, 'stale' AS state""",
            [NOW],
        )
    return home


def test_the_store_tells_its_size_its_tables_and_what_the_next_pruning_takes(polled: Home) -> None:
    home = polled
    found = store_facts(home.store, home.settings, now=NOW)
    assert found["schema_version"] == SCHEMA_VERSION and found["bytes"] >= home.settings.store_path.stat().st_size > 0
    assert found["free"] > 0 and {table["name"] for table in found["tables"]} == {
        table.name for table in TABLES.values() if not table.source
    }
    sizes = {table["name"]: table["rows"] for table in found["tables"]}
    assert (sizes["hdfs_state"], sizes["namenode_raw"], sizes["raw_logs"]) == (80, 120, 0)
    kept = {each["table"]: each for each in found["retention"]}
    assert kept["hdfs_state"]["days"] == 30 and kept["hdfs_state"]["setting"] == "namenode_state_days"
    with home.store.write() as con:  # what the collector does
        forget_state(con, NOW - timedelta(days=30))
        forget_raw(con, NOW - timedelta(days=1))
    left = {table["name"]: table["rows"] for table in store_facts(home.store, home.settings, now=NOW)["tables"]}
    for table in ("hdfs_state", "namenode_raw", "datanode_metrics", "datanode_state"):
        assert sizes[table] - left[table] == kept[table]["rows"]
    assert kept["hdfs_state"]["rows"] > 0 and kept["namenode_raw"]["rows"] > 0


def test_a_table_with_rows_on_disk_has_bytes(home: Home) -> None:
    with home.store.write() as con:
        con.execute("INSERT INTO dead_letters SELECT 1, 'a', n, 'b', 'text ' || n, now() FROM range(200000) t(n)")
    found = {table["name"]: table["bytes"] for table in store_facts(home.store, home.settings)["tables"]}
    assert found["dead_letters"] > 0


def test_every_server_that_is_polled_is_told(polled: Home) -> None:
    found = {each["server"]: each for each in collectors_of(polled.store, polled.settings)}
    assert [*found] == ["nn1:9870", "nn2:9870", "10.0.0.1:9866", "10.0.0.2:9866"]  # one that is gone is left out
    now, before = NOW.isoformat(), (NOW - timedelta(hours=1)).isoformat()
    about = {"kind": "NameNode", "role": "active", "error": "", "note": "a bean is missing"}
    assert found["nn1:9870"] == about | {"server": "nn1:9870", "polled_at": now, "answered_at": now}
    assert (found["nn2:9870"]["error"], found["nn2:9870"]["answered_at"]) == ("connection refused", before)
    other = found["10.0.0.2:9866"]
    assert (other["kind"], other["role"], other["error"]) == ("DataNode", "stale", "timed out")
    assert (other["polled_at"], other["answered_at"]) == (now, before)


def test_a_home_without_a_store_has_neither(new_home: Any) -> None:
    home = new_home(bare=True)
    assert collectors_of(home.store, home.settings) == []
    found = store_facts(home.store, home.settings)
    assert (found["bytes"], found["schema_version"], found["tables"], found["retention"]) == (0, None, [], [])


MEASURED = ("experiments", "performance_metrics", "consumer_lag")


@pytest.fixture
def measured(home: Home) -> Home:
    """A home with experiments on load that began 0, 1, …, 9 days ago; none has ended."""
    with home.store.write() as con:
        con.execute(
            """INSERT INTO experiments BY NAME SELECT 'e' || n AS experiment, 'e' AS name, 'running' AS status,
            '' AS reason, '{"name": "e", "duration_s": 90000}'::JSON AS load, '{}'::JSON AS host,
            now() - to_days(n::INTEGER) AS started_at FROM range(10) t(n)"""
        )
        for table, columns in (
            ("performance_metrics", "'worker' AS component, 'w1' AS component_id, 'cores' AS metric, 1 AS value"),
            ("consumer_lag", "'g' AS consumer, 0 AS part, 1 AS current_offset, 3 AS end_offset, 2 AS lag"),
        ):
            con.execute(
                f"""INSERT INTO {table} BY NAME SELECT experiment, {columns}, started_at + to_seconds(n) AS measured_at
                FROM experiments, range(3) t(n)"""
            )
    return home


def rows(home: Home) -> dict[str, int]:
    tables = store_facts(home.store, home.settings)["tables"]
    return {table["name"]: table["rows"] for table in tables if table["name"] in MEASURED}


def test_old_experiments_go_with_all_that_was_measured_of_them(measured: Home) -> None:
    home = measured
    assert prune(home.store, home.settings) == 0 and rows(home)["experiments"] == 10  # they stay for 180 days
    settings = home.settings.model_copy(update={"experiments_days": 6.5})
    kept = {each["table"]: each for each in store_facts(home.store, settings)["retention"]}
    told = {table: (kept[table]["setting"], kept[table]["days"], kept[table]["rows"]) for table in MEASURED}
    assert told == {
        "experiments": ("experiments_days", 6.5, 3),
        "performance_metrics": ("experiments_days", 6.5, 9),
        "consumer_lag": ("experiments_days", 6.5, 9),
    }
    assert prune(home.store, settings) == 21
    assert rows(home) == {"experiments": 7, "performance_metrics": 21, "consumer_lag": 21}
    with home.store.read() as con:
        left = con.execute("SELECT DISTINCT experiment FROM consumer_lag ORDER BY experiment").fetchall()
    assert [name for (name,) in left] == [f"e{n}" for n in range(7)]
    assert prune(home.store, settings) == 0


def test_an_experiment_that_did_not_end_is_marked_as_failed(measured: Home) -> None:
    """They measure for 25 hours: what began two days ago cannot run any more, what began a day ago can."""
    prune(measured.store, measured.settings)
    with measured.store.read() as con:
        found = con.execute("SELECT experiment, status, reason, ended_at FROM experiments ORDER BY experiment")
        by_name = {name: (status, reason, ended) for name, status, reason, ended in found.fetchall()}
    assert all(by_name[name] == ("running", "", None) for name in ("e0", "e1"))
    for n in range(2, 10):
        status, reason, ended = by_name[f"e{n}"]
        assert status == "failed" and "killed" in reason and ended is not None
    assert left_running(measured.store, datetime.now(UTC)) == 0


def test_backup_and_export_hold_experiments(measured: Home, tmp_path: Path) -> None:
    measured.store.backup(tmp_path / "copy.duckdb")
    copy = Home(measured.settings, Store(tmp_path / "copy.duckdb"))
    with copy.store.read() as con:
        counts = {table: con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in MEASURED}
    files = measured.store.export(tmp_path / "files", tables=MEASURED)
    assert counts == rows(measured) == {name: pq.read_table(file).num_rows for name, file in files.items()}

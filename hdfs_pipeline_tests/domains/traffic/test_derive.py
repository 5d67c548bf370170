"""Windows of the table of requests: those that a stream publishes, brought up to date piece by piece."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hdfs_pipeline.domains.weblogs.windows import WINDOWS, Windows
from hdfs_pipeline.verdicts.update import judge_changed
from hdfs_pipeline_tests.domains.traffic.written import BEGIN, TRAFFIC, requests, store_requests
from hdfs_pipeline_tests.homes import Home, open_home

Rows = dict[tuple[str, str, Any], dict[str, Any]]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


def stored(home: Home) -> Rows:
    with home.store.read() as con:
        rows = con.sql(f"SELECT {', '.join(WINDOWS.names)} FROM request_windows").to_arrow_table().to_pylist()
    return {(row["service"], row["endpoint"], row["minute"]): row for row in rows}


def streamed(table: pa.Table) -> Rows:
    """The windows that a stream publishes of requests, up to the same watermark."""
    windows = Windows(60)
    found = []
    for at in range(0, len(table), 1000):
        windows.add(table.slice(at, 1000))
        found.append(windows.closed())
    windows.advance(table["time"][-1].value)
    found.append(windows.closed())
    rows = [row for each in found for row in each.to_pylist()]
    return {(row["service"], row["endpoint"], row["minute"]): row for row in rows}


def test_windows_are_those_of_the_stream(home: Home) -> None:
    table = requests(range(200))
    store_requests(home, table)
    assert TRAFFIC.derive(home.store, home.settings) > 0
    found, expected = stored(home), streamed(table)
    assert found.keys() == expected.keys()
    assert found == expected
    assert TRAFFIC.derive(home.store, home.settings) == 0


def test_what_comes_in_pieces_is_the_same(home: Home) -> None:
    table, at = requests(range(200)), 0
    for revision, size in enumerate((2000, 3, 4500, len(table)), start=1):
        piece = table.slice(at, size)
        store_requests(home, piece, revision=revision, first=at + 1)
        at += len(piece)
        TRAFFIC.derive(home.store, home.settings)
    expected = streamed(table)
    assert stored(home) == expected
    before = TRAFFIC.last_change(home.store) or 0
    TRAFFIC.recount(home.store, home.settings)
    assert stored(home) == expected
    assert (TRAFFIC.last_change(home.store) or 0) > before


def test_late_requests_change_their_window_and_what_rests_on_it(home: Home) -> None:
    table = requests(range(100))
    store_requests(home, table)
    TRAFFIC.derive(home.store, home.settings)
    judge_changed(home.store, home.settings, TRAFFIC, ["lifecycle"])
    before, change = stored(home), TRAFFIC.last_change(home.store) or 0
    minute = BEGIN + timedelta(minutes=50)
    late = table.slice(0, 400).set_column(0, "time", pa.array([minute] * 400, table["time"].type))
    late = late.set_column(late.column_names.index("service"), "service", pa.array(["api.example"] * 400))
    store_requests(home, late, revision=2, first=len(table) + 1)
    assert TRAFFIC.derive(home.store, home.settings) > 0
    after = stored(home)
    window = after["api.example", "*", minute]
    assert window["requests"] == before["api.example", "*", minute]["requests"] + 400
    assert window["late"] == 400
    next_one = after["api.example", "*", minute + timedelta(minutes=1)]
    assert next_one["before_requests"] == window["requests"]
    changed = TRAFFIC.changed(home.store, change)
    assert changed
    assert all(" api.example " in key for key in changed if key[:16] < "2026-11-19T21:38")


def test_windows_outlive_their_requests(home: Home) -> None:
    table = requests(range(100))
    store_requests(home, table)
    TRAFFIC.derive(home.store, home.settings)
    before = stored(home)
    with home.store.write() as con:
        con.execute("DELETE FROM requests WHERE time < ?", [BEGIN + timedelta(minutes=60)])
    further = requests(range(100, 120), seed=8)
    store_requests(home, further, revision=2, first=len(table) + 1)
    TRAFFIC.derive(home.store, home.settings)
    assert before.items() <= stored(home).items()
    TRAFFIC.recount(home.store, home.settings)
    assert {key for key in before if key[2] < BEGIN + timedelta(minutes=60)} <= stored(home).keys()

"""Windows of requests: the same from whatever pieces and order, as a plain count has them; late ones; restarts."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.weblogs.windows import ALL, ENDPOINTS, OTHER, WINDOWS, Windows

MINUTE = 60_000_000
START = int(datetime(2026, 11, 19, 23, 40, tzinfo=UTC).timestamp() * 1e6)
Request = tuple[float, str, str, int, int | None, int | None, str]


def table(rows: Sequence[Request]) -> pa.Table:
    """Requests as (seconds after `START`, service, endpoint, status, bytes, response_us, client)."""
    columns = list(zip(*rows, strict=True)) or [()] * 7
    kinds = (pa.string(), pa.string(), pa.int16(), pa.int64(), pa.int64(), pa.string())
    names = ("service", "endpoint", "status", "bytes", "response_us", "client")
    time = pa.array([START + int(at * 1e6) for at in columns[0]], pa.int64()).cast(pa.timestamp("us", "UTC"))
    own = {name: pa.array(column, kind) for name, column, kind in zip(names, columns[1:], kinds, strict=True)}
    return pa.table({"time": time} | own)


def drawn(seed: int, count: int, minutes: int = 90) -> list[Request]:
    rng = np.random.default_rng(seed)
    services, endpoints = ("shop", "api"), ("/", "/cart", "*.css")
    rows = []
    for at in np.sort(rng.random(count)) * minutes * 60:
        took = None if rng.random() < 0.1 else int(rng.lognormal(10, 1.5))
        size = None if rng.random() < 0.1 else int(rng.integers(0, 5000))
        status = int(rng.choice([200, 304, 404, 500, 503]))
        client = f"10.0.0.{rng.integers(20)}"
        rows.append((float(at), str(rng.choice(services)), str(rng.choice(endpoints)), status, size, took, client))
    return rows


def latest(tables: Sequence[pa.Table]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The windows by service, endpoint and minute, each as it was given last."""
    rows = [row for each in tables for row in each.to_pylist()]
    return {(row["service"], row["endpoint"], row["minute"]): row for row in rows}


def flow(pieces: Sequence[Sequence[Request]], lateness_s: float = 60.0) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The windows of requests that come in pieces, all of them closed at the end."""
    windows, found = Windows(lateness_s), []
    for piece in pieces:
        windows.add(table(piece))
        found.append(windows.closed())
    windows.advance(START + 92 * MINUTE + int(lateness_s * 1e6))
    return latest([*found, windows.closed()])


def test_a_window_adds_up_its_requests() -> None:
    rows: list[Request] = [
        (1, "shop", "/cart", 200, 100, 10_000, "a"),
        (2, "shop", "/cart", 503, None, 30_000, "b"),
        (3, "shop", "/", 404, 50, None, "a"),
    ]
    found = flow([rows])
    minute = datetime.fromtimestamp(START / 1e6, UTC)
    cart, whole = found["shop", "/cart", minute], found["shop", ALL, minute]
    assert (cart["requests"], cart["errors"], cart["client_errors"], cart["bytes"], cart["clients"]) == (
        2,
        1,
        0,
        100,
        2,
    )
    assert (cart["timed"], cart["mean_ms"], cart["sd_ms"]) == (2, 20.0, 10.0)
    assert cart["p50_ms"] == pytest.approx(10, rel=0.02)
    assert cart["p99_ms"] == pytest.approx(30, rel=0.02)
    assert (whole["requests"], whole["client_errors"], whole["clients"], whole["timed"]) == (3, 1, 2, 2)
    assert found["shop", "/", minute]["mean_ms"] is None


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(5, 200), min_size=1, max_size=12), st.floats(0, 50))
@settings(max_examples=6, deadline=None)
def test_pieces_and_order_within_the_lateness_change_nothing(seed: int, sizes: list[int], jitter: float) -> None:
    rows = drawn(seed, 500)
    whole = flow([rows])
    rng = np.random.default_rng(seed)
    order = np.argsort([row[0] for row in rows] + rng.random(len(rows)) * jitter, kind="stable")
    moved, pieces, at = [rows[place] for place in order], list[list[Request]](), 0
    while at < len(moved):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(moved[at : at + size])
        at += size
    found = flow(pieces)
    assert found.keys() == whole.keys()
    for key, row in whole.items():
        np.testing.assert_equal(found[key], row)


def test_windows_are_those_of_a_plain_count() -> None:
    rows = drawn(5, 2000)
    found = flow([rows])
    for service in ("shop", "api"):
        for endpoint in ("/cart", ALL):
            own = [row for row in rows if row[1] == service and endpoint in (row[2], ALL)]
            for minute in range(90):
                here = [row for row in own if minute * 60 <= row[0] < (minute + 1) * 60]
                window = found.get((service, endpoint, datetime.fromtimestamp((START + minute * MINUTE) / 1e6, UTC)))
                if not here:
                    assert window is None or window["requests"] == 0
                    continue
                assert window is not None
                took = sorted(row[5] for row in here if row[5] is not None)
                assert window["requests"] == len(here)
                assert window["errors"] == sum(row[3] >= 500 for row in here)
                assert window["bytes"] == sum(row[4] or 0 for row in here)
                assert window["clients"] == len({row[6] for row in here})
                assert window["timed"] == len(took)
                if took:
                    assert window["mean_ms"] == pytest.approx(np.mean(took) / 1000, abs=0.1)
                    assert window["sd_ms"] == pytest.approx(np.std(took) / 1000, abs=0.2)
                    rank = took[math.ceil(0.95 * len(took)) - 1] / 1000
                    assert window["p95_ms"] == pytest.approx(rank, rel=0.04, abs=0.1)


def test_baselines_are_medians_of_the_hour_before() -> None:
    rows = drawn(3, 3000)
    found = flow([rows])
    history = [found["shop", ALL, datetime.fromtimestamp((START + at * MINUTE) / 1e6, UTC)] for at in range(90)]
    for at in (1, 30, 80):
        before = [row["requests"] for row in history[max(0, at - 60) : at]]
        assert history[at]["usual_minutes"] == len(before)
        assert history[at]["usual_requests"] == np.median(before)
        assert history[at]["spread_requests"] == np.median(np.abs(before - np.median(before)))
        assert history[at]["before_requests"] == before[-1]
    assert history[0]["usual_minutes"] == 0


def test_silence_of_an_active_group_is_a_window_with_nothing() -> None:
    rows: list[Request] = [(second, "shop", "/", 200, 1, 1000, "a") for second in range(0, 1200, 5)]
    found = flow([rows])
    silent = [row for row in found.values() if row["endpoint"] == "/" and row["requests"] == 0]
    assert silent
    assert all(row["first_time"] is None and row["mean_ms"] is None and row["usual_requests"] > 0 for row in silent)
    minutes = sorted(row["minute"] for row in silent)
    assert (minutes[0].timestamp() - START / 1e6) / 60 == 20
    assert len(minutes) == 21, "more than half of the hour before is silent by then"


def test_late_requests_change_their_window_and_are_counted() -> None:
    windows = Windows(60)
    windows.add(table([(5, "shop", "/", 200, 1, 1000, "a"), (130, "shop", "/", 200, 1, 1000, "a")]))
    (first,) = (row for row in windows.closed().to_pylist() if row["endpoint"] == "/")
    assert (first["requests"], first["late"]) == (1, 0)
    assert len(windows.closed()) == 0
    windows.add(table([(50, "shop", "/", 500, 1, 1000, "b")]))
    again = windows.closed().to_pylist()
    assert [(row["endpoint"], row["requests"], row["errors"], row["late"]) for row in again] == [
        (ALL, 2, 1, 1),
        ("/", 2, 1, 1),
    ]
    windows.add(table([(60 * 60, "shop", "/", 200, 1, 1, "a")]))
    windows.closed()
    windows.add(table([(50, "shop", "/", 500, 1, 1000, "c")]))
    assert len(windows.closed()) == 0
    assert windows.dropped == 1


def test_endpoints_beyond_the_limit_share_a_window() -> None:
    rows: list[Request] = [(at / 100, "shop", f"/{at}", 200, 1, 1, "a") for at in range(ENDPOINTS + 30)]
    found = flow([rows[:100], rows[100:]])
    (other,) = (row for (_, endpoint, _), row in found.items() if endpoint == OTHER and row["requests"])
    assert other["requests"] == 30
    assert len({endpoint for _, endpoint, _ in found}) == ENDPOINTS + 2


@pytest.mark.parametrize("cut", [1, 700, 1500])
def test_a_successor_goes_on_from_the_floors(cut: int) -> None:
    rows = [row for row in drawn(11, 2000) if row[1] == "shop"]
    whole = flow([rows])
    first, found = Windows(60), []
    for at in range(0, cut, 197):
        piece = rows[at : min(at + 197, cut)]
        if piece:
            first.add(table(piece), np.zeros(len(piece), np.int64), np.arange(at, at + len(piece)))
            found.append(first.closed())
    floor = first.floors().get(0, cut)
    assert floor <= cut
    second = Windows(60)
    second.restore(pa.concat_tables([WINDOWS.empty_table(), *found]))
    second.add(table(rows[floor:]), np.zeros(len(rows) - floor, np.int64), np.arange(floor, len(rows)))
    found.append(second.closed())
    second.advance(START + 93 * MINUTE)
    after = latest([*found, second.closed()])
    assert after.keys() == whole.keys()
    for key, row in whole.items():
        np.testing.assert_equal(after[key], row)


def test_names_have_no_blanks_and_are_never_empty() -> None:
    found = flow([[(1, "", "/a b", 200, 1, 1, "a"), (2, "my host", "", 200, 1, 1, "a")]])
    assert {key[:2] for key in found} == {("-", "/a_b"), ("-", ALL), ("my_host", "-"), ("my_host", ALL)}

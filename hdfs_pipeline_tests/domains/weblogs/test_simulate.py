"""Simulated requests: their rhythm, what each kind of fault does, and lines that say what the table says."""

import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray

from hdfs_pipeline.domains.simulation import Fault, Simulated, load
from hdfs_pipeline.domains.weblogs.simulate import access_lines, simulate
from hdfs_pipeline.domains.weblogs.simulated_faults import KINDS, VISIBLE_PER_MINUTE, plan_faults
from hdfs_pipeline.domains.weblogs.simulated_visits import SERVICE_NAMES, expected_visits
from hdfs_pipeline.errors import UsageError

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
NOON = datetime(2026, 11, 25, 11, tzinfo=UTC)
_LINE = re.compile(
    r'(\S+) (\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "(\S+) (\S+) (HTTP/\S+)" (\d{3}) (\d+) "([^"]*)" '
    r'"([^"]*)" (\d+\.\d{3})'
)


@pytest.fixture(scope="module")
def day() -> Simulated:
    return simulate(begin=MONDAY, duration_s=86_400, rate=2.0, seed=5)


@pytest.fixture(scope="module", params=KINDS)
def faulty(request: pytest.FixtureRequest) -> tuple[Simulated, Fault]:
    """Four busy hours with one fault."""
    made = simulate(begin=NOON, duration_s=4 * 3600, rate=10.0, anomalies=[request.param], seed=3)
    (fault,) = made.faults
    return made, fault


def column(table: pa.Table, name: str) -> NDArray[Any]:
    values = table[name]
    found: NDArray[Any] = values.cast(pa.int64() if name == "time" else pa.string()).to_numpy()
    return found


def inside(table: pa.Table, fault: Fault) -> NDArray[np.bool_]:
    times, (begin, end) = column(table, "time") / 1e6, fault.span
    found: NDArray[np.bool_] = (times >= begin) & (times < end)
    return found


def of_endpoint(table: pa.Table, fault: Fault) -> NDArray[np.bool_]:
    wanted = re.escape(fault.endpoint).replace(r"\*", "[^/]+") or ".*"
    paths = pc.match_substring_regex(table["path"], f"^{wanted}$").to_numpy()
    found: NDArray[np.bool_] = paths & (column(table, "service") == fault.service)
    return found


def test_same_seed_same_bytes() -> None:
    def lines(seed: int) -> list[bytes]:
        made = simulate(begin=NOON, duration_s=1200, rate=5.0, anomalies=["all"], seed=seed)
        return list(access_lines(made.table))

    assert lines(1) == lines(1) != lines(2)


def test_a_day_has_its_rate_and_its_rhythm(day: Simulated) -> None:
    assert set(column(day.table, "label")) == {""} and not day.faults
    times = column(day.table, "time")
    assert (np.diff(times) >= 0).all()
    assert len(times) == pytest.approx(2.0 * load(MONDAY.timestamp() + np.arange(86_400.0)).sum(), rel=0.1)
    shop = times[(column(day.table, "service") == "shop.example")]
    hours = np.bincount((shop // 3_600_000_000) % 24, minlength=24)
    assert hours[2:4].mean() < 0.35 * hours[10:12].mean()
    sunday = simulate(begin=datetime(2026, 11, 29, tzinfo=UTC), duration_s=86_400, rate=2.0).table
    assert len(sunday) < 0.8 * len(times)


def test_endpoints_differ_and_few_fail(day: Simulated) -> None:
    table = day.table.append_column("second", pc.list_element(pc.split_pattern(day.table["path"], "/"), 1))
    medians = [
        median
        for median, count in zip(
            *table.group_by(["service", "second"])
            .aggregate([("response_us", "approximate_median"), ("response_us", "count")])
            .select([2, 3])
            .to_pydict()
            .values(),
            strict=True,
        )
        if count > 50
    ]
    assert max(medians) > 100 * min(medians)
    status = day.table["status"].to_numpy()
    assert 0.001 < (status >= 500).mean() < 0.02
    assert 0.001 < ((status >= 400) & (status < 500)).mean() < 0.03


def test_clients_walk_in_sessions(day: Simulated) -> None:
    shop = day.table.filter(pc.equal(day.table["service"].cast(pa.string()), "shop.example"))
    inside = pc.starts_with(shop["referer"], "https://shop.example/").to_numpy()
    assert inside.mean() > 0.6
    assert len(shop) / len(shop["client"].unique()) > 5
    agents = shop.group_by("client").aggregate([("agent", "count_distinct")])
    assert agents["agent_count_distinct"].to_numpy().max() == 1
    assert any("Googlebot" in agent for agent in shop["agent"].unique().to_pylist())
    assert any(":" in client for client in shop["client"].unique().to_pylist())


def test_each_line_says_what_its_row_says(day: Simulated) -> None:
    rows = day.table.slice(1000, 3000)
    for line, row in zip(access_lines(rows), rows.to_pylist(), strict=True):
        found = _LINE.fullmatch(line.decode())
        assert found
        service, client, when, method, target, protocol, status, size, referer, agent, taken = found.groups()
        assert (service, client, method, protocol) == (row["service"], row["client"], row["method"], row["protocol"])
        assert datetime.strptime(when, "%d/%b/%Y:%H:%M:%S %z") == row["time"].replace(microsecond=0)
        assert target == row["path"] + ("?" + row["query"] if row["query"] else "")
        assert (int(status), int(size)) == (row["status"], row["bytes"])
        assert (referer, agent) == (row["referer"] or "-", row["agent"])
        assert float(taken) == pytest.approx(row["response_us"] / 1e6, abs=0.00051)
    targets = day.table.filter(pc.equal(day.table["service"].cast(pa.string()), "httpfs.example"))
    assert pc.starts_with(targets["path"], "/webhdfs/v1/").to_numpy().mean() > 0.8
    assert "op=OPEN" in str(targets["query"].unique().to_pylist())


def test_a_fault_is_labelled_where_it_is(faulty: tuple[Simulated, Fault]) -> None:
    made, fault = faulty
    assert fault.begin >= NOON.replace(hour=12)
    labelled = column(made.table, "label") == fault.kind
    assert set(column(made.table, "label")) <= {"", fault.kind}
    assert labelled.any() == (fault.kind != "drop")
    assert not (labelled & ~inside(made.table, fault)).any()
    assert set(column(made.table, "service")[labelled]) <= {fault.service}
    assert 180 <= (fault.end - fault.begin).total_seconds() <= 900


def test_a_fault_does_what_it_says(faulty: tuple[Simulated, Fault]) -> None:
    made, fault = faulty
    table, during, there = made.table, inside(made.table, fault), of_endpoint(made.table, fault)
    labelled = column(table, "label") == fault.kind
    status, taken = table["status"].to_numpy(), table["response_us"].to_numpy()
    share = (fault.end - fault.begin).total_seconds() / (4 * 3600)
    if fault.kind == "error-burst":
        assert (status[during & there] >= 500).mean() == pytest.approx(fault.strength, abs=0.15)
        assert (status[~during & there] >= 500).mean() < 0.05
    elif fault.kind == "latency":
        assert np.median(taken[during & there]) > 2.5 * np.median(taken[~during & there])
        assert 4 <= fault.strength <= 20
    elif fault.kind == "scan":
        assert 200 <= labelled.sum() <= 1500
        clients = set(column(table, "client")[labelled])
        assert clients == set(fault.clients) and len(clients) <= 4
        assert ((status[labelled] >= 400) & (status[labelled] < 500)).mean() > 0.9
        assert len(set(column(table, "path")[labelled])) > 40
        assert not set(fault.clients) & set(column(table, "client")[~labelled])
    elif fault.kind == "flash-crowd":
        of_service = column(table, "service") == fault.service
        times_usual = (of_service & during).sum() / share / ((of_service & ~during).sum() / (1 - share))
        assert 0.5 * fault.strength < times_usual < 1.5 * fault.strength
    else:
        assert (during & there).sum() / share < 0.35 * (~during & there).sum() / (1 - share)


def test_what_nobody_asks_for_is_not_dropped() -> None:
    made = simulate(begin=datetime(2026, 11, 23, 1, tzinfo=UTC), duration_s=7200, rate=0.1, anomalies=["drop"])
    assert not made.faults


def test_what_few_sessions_ask_for_is_not_dropped() -> None:
    for fault in plan_faults(["drop"], NOON.timestamp(), NOON.timestamp() + 86_400, 8.0, 3, per_day=40.0):
        assert fault.service != "httpfs.example", "each of its few sessions asks a hundred times"
        by_endpoint, by_service = expected_visits(8.0, fault.span[0])
        if not fault.endpoint:
            assert by_service[SERVICE_NAMES.index(fault.service)] >= VISIBLE_PER_MINUTE
        assert by_endpoint.max() >= VISIBLE_PER_MINUTE or not fault.endpoint


def test_faults_of_all_kinds_follow_each_other() -> None:
    made = simulate(begin=MONDAY, duration_s=86_400, rate=4.0, anomalies=["all"], seed=9)
    assert {fault.kind for fault in made.faults} == set(KINDS)
    assert min(fault.begin for fault in made.faults) >= MONDAY.replace(hour=6)
    for before, after in zip(made.faults, made.faults[1:], strict=False):
        assert before.end < after.begin


def test_a_kind_that_is_not_known_is_told() -> None:
    with pytest.raises(UsageError, match="choose from error-burst"):
        simulate(begin=NOON, duration_s=60, rate=1.0, anomalies=["flood"])

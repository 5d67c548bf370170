"""Simulated messages of services: their rhythm, what each kind of fault writes, and lines of JSON."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hdfs_pipeline.domains.applogs.simulate import KINDS, message_lines, simulate
from hdfs_pipeline.domains.applogs.simulated_services import FATAL, SERVICES, STRANGERS
from hdfs_pipeline.domains.simulation import Simulated
from hdfs_pipeline.errors import UsageError

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
WEEK_S = 7 * 86_400
TIMED = ("reporting", "billing-cron")


@pytest.fixture(scope="module")
def week() -> Simulated:
    return simulate(begin=MONDAY, duration_s=WEEK_S, rate=0.4, seed=2)


@pytest.fixture(scope="module")
def faulty() -> Simulated:
    return simulate(begin=MONDAY, duration_s=86_400, rate=1.0, anomalies=["all"], seed=4)


def rows(made: Simulated, label: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = made.table.filter(pc.equal(made.table["label"], label)).to_pylist()
    return found


def test_same_seed_same_bytes() -> None:
    def lines(seed: int) -> list[bytes]:
        made = simulate(begin=MONDAY, duration_s=3600, rate=2.0, anomalies=["all"], seed=seed)
        return list(message_lines(made.table))

    assert lines(1) == lines(1) != lines(2)


def test_a_week_has_its_rate_and_its_rhythm(week: Simulated) -> None:
    times = week.table["time"].cast(pa.int64()).to_numpy()
    assert (np.diff(times) >= 0).all()
    assert len(times) / WEEK_S == pytest.approx(0.4, rel=0.03)
    shares = Counter(week.table["service"].to_pylist())
    for service in SERVICES:
        assert shares[service.name] / len(times) == pytest.approx(service.share, rel=0.15)
    days = np.bincount((times // 86_400_000_000) % 7, minlength=7)
    assert days.min() < 0.85 * days.max()
    levels = Counter(week.table["level"].to_pylist())
    assert 0.001 < levels["ERROR"] / len(times) < 0.02
    assert levels["INFO"] / len(times) > 0.5


def test_services_keep_their_hours(week: Simulated) -> None:
    written = rows(week)
    reporting = [row["time"] for row in written if row["service"] == "reporting"]
    assert reporting and all(8 <= time.hour < 18 and time.weekday() < 5 for time in reporting)
    billing = [row["time"] for row in written if row["service"] == "billing-cron"]
    assert billing and all(time.minute < 4 for time in billing)


def test_each_line_says_what_its_row_says(faulty: Simulated) -> None:
    some = faulty.table.take(pa.array(range(0, len(faulty.table), 7)))
    for line, row in zip(message_lines(some), some.to_pylist(), strict=True):
        told = json.loads(line)
        assert list(told) == ["timestamp", "service", "level", "message", "host"]
        assert {name: told[name] for name in ("service", "level", "message", "host")} == {
            name: row[name] for name in ("service", "level", "message", "host")
        }
        when = datetime.strptime(told["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z")
        assert 0 <= (row["time"] - when).total_seconds() < 0.001
        assert "{" not in row["message"]


def test_labels_lie_within_their_faults(faulty: Simulated) -> None:
    assert {fault.kind for fault in faulty.faults} == set(KINDS)
    for kind in KINDS:
        mine = [fault for fault in faulty.faults if fault.kind == kind]
        found = rows(faulty, kind)
        assert found
        for row in found:
            assert any(one.service == row["service"] and one.begin <= row["time"] <= one.end for one in mine)


def test_each_kind_of_fault_does_what_it_says(faulty: Simulated) -> None:
    usual = rows(faulty)
    known = {service.name for service in SERVICES}
    longest = max(len(row["message"]) for row in usual)
    assert {row["service"] for row in usual} == known

    bursts = rows(faulty, "error-burst")
    assert {row["level"] for row in bursts} == {"ERROR"}
    for fault in (one for one in faulty.faults if one.kind == "error-burst"):
        during = [row for row in usual if row["service"] == fault.service and fault.begin <= row["time"] < fault.end]
        added = [row for row in bursts if row["service"] == fault.service and fault.begin <= row["time"] < fault.end]
        assert len(added) >= 30 and len(added) / (len(added) + len(during)) > 0.15

    assert {row["service"] for row in rows(faulty, "unknown-service")} <= {name for name, _ in STRANGERS}
    odd = [row["message"] for row in rows(faulty, "odd-message")]
    assert any(len(message) > 2 * longest for message in odd) and not set(odd) & {row["message"] for row in usual}
    assert {row["service"] for row in rows(faulty, "odd-time")} <= set(TIMED)
    for row in rows(faulty, "odd-time"):
        if row["service"] == "billing-cron":
            assert row["time"].minute >= 4
        else:
            assert not 8 <= row["time"].hour < 18
    assert all(row["message"].endswith(FATAL) for row in rows(faulty, "keyword"))
    assert not any(row["message"].endswith(FATAL) for row in usual)


def test_a_kind_that_is_not_known_is_told() -> None:
    with pytest.raises(UsageError, match="choose from error-burst"):
        simulate(begin=MONDAY, duration_s=60, rate=1.0, anomalies=["scan"])

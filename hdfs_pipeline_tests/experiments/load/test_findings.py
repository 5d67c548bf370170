"""What experiments tell: means with intervals, limits by their figures, the curve of scaling."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.experiments.load.findings import Side, efficiency, knee, recommendation, sides
from hdfs_pipeline.experiments.load.records import Record
from hdfs_pipeline.experiments.load.samples import Sample, Worker, percentiles
from hdfs_pipeline.experiments.load.shapes import Load

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def side_of(load: Load, *trials: dict[tuple[str, str, str], float]) -> Side:
    records = [Record(f"{load.name}.{at}", load, "completed", "", {"cores": 2}, NOW, NOW) for at in range(len(trials))]
    (found,) = sides(records, {record.experiment: own for record, own in zip(records, trials, strict=True)})
    return found


def figures(read: float, sent: float | None = None, unread: float = 0.0, **more: float) -> dict[Any, float]:
    whole = {"read_per_s": read, "sent_per_s": read if sent is None else sent, "seconds": 10.0}
    whole |= {"unread_at_begin": 0.0, "unread_at_end": unread, "cores_used": more.pop("used", 1.0)}
    found = {("experiment", "", name): value for name, value in whole.items()}
    for name, cores in more.items():
        found[name.partition("_")[0], name.replace("_", "-"), "cores"] = cores
    return found


@pytest.mark.parametrize(
    ("load", "own", "limit"),
    [
        (Load("a"), figures(90_000, used=1.9), "CPU"),
        (Load("a", consumers=3, partitions=2), figures(50_000, 60_000, 100_000), "partitions"),
        (Load("a"), figures(50_000, 60_000, 100_000, worker_1=0.99), "consumers"),
        (Load("a", rate=1000.0), figures(999.0), "the rate asked for"),
        (Load("a"), figures(70_000, producer_1=0.97), "producers"),
        (Load("a"), figures(70_000, producer_1=0.5), "the broker"),
    ],
)
def test_what_limited_it(load: Load, own: dict[Any, float], limit: str) -> None:
    found = side_of(load, own)
    assert found.limit == limit and found.why


def test_trials_are_a_mean_with_an_interval() -> None:
    found = side_of(Load("a"), figures(90.0), figures(100.0), figures(110.0))
    assert found.read_per_s == pytest.approx(100.0)
    assert found.low == pytest.approx(100 - 4.3027 * 10 / 3**0.5, abs=0.01)
    alone = side_of(Load("a"), figures(90.0))
    assert (alone.low, alone.high) == (-np.inf, np.inf)


def test_trials_on_another_broker_are_another_side() -> None:
    load = Load("a")
    records = [
        Record(f"a.{broker}", load, "completed", "", {"cores": 2, "broker": broker}, NOW, NOW)
        for broker in ("embedded", "kafka:9092", "embedded")
    ]
    found = sides(records, {record.experiment: figures(1.0) for record in records})
    assert [len(side.trials) for side in found] == [2, 1]


def test_only_what_is_completed_counts() -> None:
    record = Record("a.1", Load("a"), "failed", "it broke", {"cores": 2}, NOW, NOW)
    assert sides([record], {"a.1": {}}) == []
    assert "nothing to recommend" in recommendation([])[0]


@given(st.floats(0.0, 0.5), st.floats(0.001, 0.1))
def test_the_curve_is_found_again(contention: float, coherency: float) -> None:
    def read(n: int) -> float:
        return 1000.0 * n / (1 + contention * (n - 1) + coherency * n * (n - 1))

    found = [side_of(Load(f"c-{n}", consumers=n, partitions=12), figures(read(n))) for n in (1, 2, 3, 4, 6)]
    curve = knee(found)
    assert curve is not None
    assert curve.rate[0] == pytest.approx(1000.0, rel=0.01)
    assert curve.contention[0] == pytest.approx(contention, abs=0.01)
    assert curve.coherency[0] == pytest.approx(coherency, abs=0.01)
    assert curve.peak == pytest.approx(max(((1 - curve.contention[0]) / curve.coherency[0]) ** 0.5, 1.0))


def test_three_numbers_of_consumers_are_no_curve_nor_are_loads_that_differ() -> None:
    found = [side_of(Load(f"c-{n}", consumers=n), figures(float(n))) for n in (1, 2, 3)]
    assert knee(found) is None
    assert knee([*found, side_of(Load("other", consumers=4, payload="web"), figures(4.0))]) is None


def test_the_recommendation_takes_the_least_that_is_enough() -> None:
    found = [
        side_of(Load("one"), figures(1000.0)),
        side_of(Load("two", consumers=2, partitions=6), figures(1900.0, used=1.95)),
        side_of(Load("three", consumers=3, partitions=6), figures(1950.0, used=1.99)),
    ]
    said = recommendation(found)[0]
    assert said.startswith("2 consumers, 1 producer and 6 partitions read 1,900 messages a second")
    assert "within 5 % of the most (three: 1,950)" in said and "the limit is CPU" in said
    assert efficiency(found[0], found) is None
    assert efficiency(found[1], found) == pytest.approx(0.95)


def sample(counts: dict[float, float]) -> Sample:
    return Sample(0.0, [Worker(0, 0, counts)], [], {}, {})


def test_percentiles_lie_between_the_bounds_of_their_bucket() -> None:
    first = sample({0.1: 10.0, 0.2: 10.0, float("inf"): 10.0})
    last = sample({0.1: 60.0, 0.2: 110.0, float("inf"): 110.0})
    assert percentiles(first, last, (0.25, 0.5, 0.75, 1.0)) == pytest.approx([50.0, 100.0, 150.0, 200.0])
    assert percentiles(last, last, (0.5,)) == [None]
    beyond = sample({0.1: 10.0, 0.2: 10.0, float("inf"): 20.0})
    assert percentiles(first, beyond, (0.5,)) == [200.0], "nobody knows how far beyond the last bound"

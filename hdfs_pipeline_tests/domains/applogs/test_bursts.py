"""Messages and errors so far: the fold of a stream and the SQL of the batch say the same, however the stream is cut."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains.applogs.bursts import HORIZON, MOST, Bursts, counted_sql

BEGIN = datetime(2026, 11, 30, 23, 50, tzinfo=UTC)
SECONDS = st.integers(0, 3 * HORIZON * 60)
ROWS = st.lists(
    st.tuples(
        st.sampled_from([1, 2, -3]),
        st.sampled_from(["a", "b"]),
        SECONDS,
        st.sampled_from(["INFO", "ERROR", "FATAL", ""]),
    ),
    max_size=60,
)


@settings(max_examples=200)
@given(ROWS, st.lists(st.integers(0, 60), max_size=5))
def test_the_fold_counts_as_sql_does(rows: list[tuple[int, str, int, str]], cuts: list[int]) -> None:
    """Of several sources, in whatever order of time, midnight and late messages among them."""
    times = [BEGIN + timedelta(seconds=after) for _, _, after, _ in rows]
    table = pa.table(
        {
            "source_id": pa.array([row[0] for row in rows], pa.int32()),
            "position": pa.array(range(len(rows)), pa.int64()),
            "service": pa.array([row[1] for row in rows], pa.string()),
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "level": pa.array([row[3] for row in rows], pa.string()),
        }
    )
    with duckdb.connect() as con:
        con.register("app", table)
        expected = con.sql(f"SELECT messages, errors FROM ({counted_sql('app')}) ORDER BY position").fetchall()
    fold, found = Bursts(), []
    ends = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    micros = table["time"].cast(pa.int64()).to_numpy()
    for begin, end in pairwise(ends):
        part = rows[begin:end]
        counted = fold.count(
            [row[0] for row in part], [row[1] for row in part], micros[begin:end], [row[3] for row in part]
        )
        found += list(zip(*(numbers.tolist() for numbers in counted), strict=True))
    assert found == expected


def test_sources_that_were_given_up_are_forgotten() -> None:
    fold, at = Bursts(), np.array([BEGIN.timestamp() * 1e6], np.int64)
    for source in (1, 2):
        fold.count([source], ["a"], at, ["ERROR"])
    fold.forget([1])
    assert [fold.count([source], ["a"], at, ["ERROR"])[0].tolist() for source in (1, 2)] == [[1], [2]]


def test_services_that_were_not_heard_of_for_longest_are_forgotten() -> None:
    fold, most = Bursts(), 2 * MOST
    names = [name for number in range(most) for name in (f"s{number}", "always")]
    minutes = np.repeat(np.arange(most, dtype=np.int64), 2) * 60_000_000
    fold.count([0] * len(names), names, minutes, ["INFO"] * len(names))
    assert len(fold._seen) <= MOST
    counted, _ = fold.count([0, 0], [f"s{most - 1}", "always"], minutes[-2:], ["INFO", "INFO"])
    assert counted.tolist() == [2, 2]

"""A series out of a recording, and the same out of the store."""

import gzip
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.domains.namenode.collect import METRICS, _row
from hdfs_pipeline.domains.namenode.metrics import COLUMNS
from hdfs_pipeline.domains.namenode.process import Sample
from hdfs_pipeline.domains.namenode.replay import SAMPLE
from hdfs_pipeline.domains.namenode.series import Series, load_series, read_polls, read_series, series_of
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline_tests.domains.namenode.documents import at
from hdfs_pipeline_tests.homes import Home


@pytest.fixture(scope="module")
def recorded() -> Series:
    return read_series(SAMPLE)


def test_the_shipped_series(recorded: Series) -> None:
    assert len(recorded) == 95 and recorded.values.shape == (95, len(COLUMNS)) and recorded.values.dtype == np.float32
    assert set(recorded.role) == {"active"} and not recorded.restarted.any()
    assert recorded.gap.tolist() == [True] + [False] * 94
    assert recorded.users is not None and recorded.users[50]["*"] == [("root", 7354)]
    repeated = np.isnan(recorded.column("ThreadsBlocked")).mean()
    assert 0.3 < repeated < 0.5, "polls every 10 s see a bean that is kept for 10 s again and again"
    assert np.nanmin(recorded.values) >= 0


def test_each_fault_shows_where_it_should(recorded: Series) -> None:
    faults = {}
    for line in SAMPLE.with_name("labels.jsonl").read_text().splitlines():
        label = json.loads(line)
        faults[label["fault"]] = recorded.slice(label["start"], label["end"] + 10)
    before = recorded.slice(end=min(series.times[0] for series in faults.values()))

    def grew(fault: str, column: str) -> float:
        return float(np.nanmax(faults[fault].column(column)) / max(np.nanmean(before.column(column)), 0.1))

    assert grew("listing_storm", "CallQueueLength") > 50 and grew("listing_storm", "GetListingAvgTime") > 5
    assert grew("process_pause_like_gc", "GcTotalExtraSleepTime") > 50
    assert grew("process_pause_like_gc", "GcTimeMillisParNew") < 10, "which is why the other is there"
    assert grew("content_summary_storm", "GetContentSummaryAvgTime") > 50
    assert grew("cpu_starvation", "RpcProcessingTimeAvgTime") > 5
    assert grew("metadata_write_churn", "MkdirsRate") > 100, "while the average"
    assert grew("metadata_write_churn", "MkdirsAvgTime") < 5


def write(path: Path, *records: object, tail: str = "") -> Path:
    text = "".join(json.dumps(record) + "\n" for record in records) + tail
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def poll(seconds: float, threads: int | None) -> dict[str, object]:
    name = "Hadoop:name=JvmMetrics,service=NameNode"
    beans = None if threads is None else [{"name": name, "ThreadsBlocked": threads}]
    return {"ts": seconds, "fetch_s": 0.1, "error": None, "beans": beans}


def test_failed_polls_leave_no_sample(tmp_path: Path) -> None:
    found = read_series(write(tmp_path / "a.jsonl", poll(0, 1), poll(5, None), poll(10, 3)))
    assert found.times.tolist() == [0.0, 10.0] and found.column("ThreadsBlocked").tolist() == [1.0, 3.0]


def test_a_recording_that_was_cut_off_ends_there(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.jsonl", poll(0, 1), poll(5, 2), tail=json.dumps(poll(10, 3))[:40])
    assert [each.at for each in read_polls(whole)] == [0.0, 5.0]
    packed = write(tmp_path / "b.jsonl.gz", *(poll(number, number) for number in range(2000)))
    packed.write_bytes(packed.read_bytes()[:-2000])
    assert 0 < len(read_series(packed)) < 2000


@pytest.mark.parametrize(
    "line",
    [
        *("{}", "null", "[1]", "[" * 100_000, '{"ts": "x", "beans": []}', '{"ts": NaN, "beans": []}', '{"ts": 1}'),
        *(f'{{"ts": {time}, "beans": []}}' for time in ("Infinity", "-1", "1e15", "9" * 400)),
    ],
)
def test_a_line_that_is_no_poll_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "a.jsonl", poll(0, 1), tail=f"{line}\n")
    with pytest.raises(DataError, match="line 2"):
        read_series(path)


def test_what_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_series(tmp_path / "missing.jsonl")
    (tmp_path / "b.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="cannot be read"):
        read_series(tmp_path / "b.jsonl.gz")
    with pytest.raises(DataError, match="no sample"):
        read_series(write(tmp_path / "c.jsonl"))


def test_slices_take_the_start_and_not_the_end(recorded: Series) -> None:
    first, tenth = recorded.times[0], recorded.times[10]
    assert len(recorded.slice(first, tenth)) == 10
    assert len(recorded.slice()) == 95 and len(recorded.slice(tenth, first)) == 0
    cut = recorded.slice(tenth, tenth + 25)
    assert cut.times.tolist() == recorded.times[10:13].tolist()
    assert cut.users == recorded.users[10:13] and len(cut.role) == len(cut.gap) == 3
    with pytest.raises(KeyError):
        cut.column("NoSuchMetric")


def samples(count: int, step_s: float = 5.0) -> list[Sample]:
    def one(number: int) -> Sample:
        values = {} if number % 3 else {"ThreadsBlocked": float(number), "CreateAvgTime": number / 7}
        return Sample(
            at(number * step_s),
            values,
            "active",
            number == 4,
            number == 0,
            bool(values),
            8020,
            (8020,),
            {"*": [("u", 3)]},
        )

    return [one(number) for number in range(count)]


def keep(home: Home, found: list[Sample], namenode: str = "nn1:9870") -> None:
    import pyarrow as pa

    rows = pa.Table.from_pylist([_row(namenode, sample) for sample in found], METRICS)
    with home.store.write() as con:
        publish_into(con, "namenode_metrics", rows)


def test_the_store_gives_back_what_was_measured(home: Home) -> None:
    found = samples(40)
    keep(home, list(reversed(found)))
    stored, direct = load_series(home.store, users=True), series_of(found)
    np.testing.assert_array_equal(stored.values, direct.values)
    np.testing.assert_allclose(stored.times, direct.times, rtol=0, atol=1e-6)
    for name in ("role", "restarted", "gap"):
        assert getattr(stored, name).tolist() == getattr(direct, name).tolist()
    assert stored.users == direct.users and load_series(home.store).users is None
    assert stored.restarted.dtype == bool and stored.role.dtype == object


def test_a_window_of_the_store(home: Home) -> None:
    keep(home, samples(40))
    found = load_series(home.store, "nn1:9870", at(50), at(100))
    assert found.times.tolist() == [at(50 + 5 * number).timestamp() for number in range(10)]
    assert len(load_series(home.store, start=at(10_000))) == 0
    assert len(load_series(home.store, start=at(50).timestamp(), end=at(60))) == 2


def test_several_namenodes_must_be_told_apart(home: Home) -> None:
    with pytest.raises(DataError, match="no samples"):
        load_series(home.store)
    keep(home, samples(4))
    keep(home, samples(7), "nn2:9870")
    with pytest.raises(DataError, match="nn1:9870, nn2:9870"):
        load_series(home.store)
    assert len(load_series(home.store, "nn2:9870")) == 7
    with pytest.raises(DataError, match="nn3"):
        load_series(home.store, "nn3")


def test_metrics_of_another_version_are_left_out(home: Home) -> None:
    keep(home, [Sample(at(0), {"Unheard": 5.0, "ThreadsBlocked": 2.0})])
    found = load_series(home.store)
    assert found.column("ThreadsBlocked").tolist() == [2.0] and np.isfinite(found.values).sum() == 1


def test_metrics_are_plain_sql(home: Home) -> None:
    keep(home, samples(40))
    sql = "SELECT count(*), max(metrics['ThreadsBlocked']) FROM namenode_metrics WHERE metrics['CreateAvgTime'] > 1"
    assert home.rows(sql) == [(11, 39.0)]


def test_a_day_loads_in_well_under_a_second(new_home: Callable[..., Home]) -> None:
    """17,280 polls, every second one with all 59 columns; the figure in docs/namenode.md has more room here."""
    home = new_home("day")
    values = ", ".join(f"'{name}': i + {index}" for index, name in enumerate(COLUMNS))
    with home.store.write() as con:
        con.execute(
            "INSERT INTO namenode_metrics SELECT 'nn', to_timestamp(1e9 + 5 * i), 'active', 8020, false, false, true, "
            f"CASE WHEN i % 2 = 0 THEN MAP {{{values}}} ELSE MAP {{}} END, '{{}}', '' FROM range(17280) r(i)"
        )
    load_series(home.store, end=1e9 + 60)
    begun = time.perf_counter()
    found = load_series(home.store)
    assert time.perf_counter() - begun < 2.0
    assert found.values.shape == (17_280, len(COLUMNS)) and found.values[2, 1] == 3 and np.isnan(found.values[1]).all()
    assert timedelta(seconds=float(found.times[-1] - found.times[0])) > timedelta(hours=23)

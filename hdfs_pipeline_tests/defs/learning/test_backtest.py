"""The asset `backtest`: a range of days in one run, seen in Dagster's history, its figures in the store."""

from datetime import date

import dagster as dg
import pytest

from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.monitoring.backtest import days_there
from hdfs_pipeline.running.orchestration import run_backtest
from hdfs_pipeline_tests.defs.conftest import BLOCKS, Ran

KEY = dg.AssetKey("backtest")


def test_a_range_of_days_is_one_run_with_a_partition_for_each(ran: Ran) -> None:
    with ran.store.write() as con:
        con.execute("UPDATE event_matrix SET first_time = first_time + INTERVAL 4 DAY WHERE block_id % 2 = 0")
    days = list(days_there(ran.store, BLOCKS))
    first, last = days[0], days[-1]
    assert (last - first).days >= 4
    with dg.DagsterInstance.get() as instance:
        before = instance.get_runs_count()
        assert run_backtest(ran.settings, "blocks", {"threshold": 0.0, "version": None}, first, last)
        assert instance.get_runs_count() == before + 1
        assert len(instance.get_materialized_partitions(KEY)) == (last - first).days + 1
        event = instance.get_latest_materialization_event(KEY)
    assert event is not None and event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    assert shown["trial"].value == "random_forest v1 from 0.0"
    assert shown["lost"].value == 0
    assert str(first) in str(shown["by day"].value)
    assert "data:image/png;base64," in str(shown["then and now"].value)
    with ran.store.read() as con:
        rows = con.execute("SELECT day, items, gained FROM backtests ORDER BY day").fetchall()
    assert [row[0] for row in rows] == days
    assert 0 < sum(row[2] for row in rows) == shown["gained"].value


def test_a_day_without_blocks_is_no_failure(ran: Ran, definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("backtest_job")
    with dg.DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(instance=instance, partition_key="2020-02-29")
        assert done.success
        (event,) = done.asset_materializations_for_node("backtest")
    assert event.metadata["status"].value == "no block began then"


def test_what_cannot_be_run_is_told(ran: Ran) -> None:
    with pytest.raises(DataError, match="backtest_start"):
        run_backtest(ran.settings, "blocks", {}, date(1999, 1, 1), date(2008, 11, 9))
    with pytest.raises(NotTrainedError, match="random_forest"):
        run_backtest(ran.settings, "blocks", {"version": 7}, date(2008, 11, 9), date(2008, 11, 9))
